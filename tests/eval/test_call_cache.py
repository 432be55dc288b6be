"""What was bought once is found again, for the same judge alone, and a fault never is."""

from pathlib import Path

import pytest

from rankshift.eval.call_cache import CallCache, find_cache
from rankshift.eval.calls import fail_call, make_call, record_reading
from rankshift.eval.rubrics import ALIGNED
from rankshift.eval.scoring import Reading
from rankshift.records import AnswerRecord

CALL = make_call("j", ALIGNED, AnswerRecord(4, "s", "q", "q", 0, 0, None, "Q?", "A.", 2, True))
GOOD = record_reading(CALL, Reading(value=50.0, mass=0.9), 3)


def test_a_kept_call_comes_back_as_one_that_took_nothing(tmp_path: Path):
    cache = CallCache(tmp_path)
    cache.keep(GOOD)
    found = cache.find(CALL.key)
    assert found is not None
    assert (found.value, found.mass, found.attempts, found.input_tokens) == (50.0, 0.9, 0, 0)


def test_a_failed_call_is_not_kept_and_a_broken_file_is_not_there(tmp_path: Path):
    cache = CallCache(tmp_path)
    cache.keep(fail_call(CALL, 2, "gone"))
    assert cache.find(CALL.key) is None
    cache.keep(GOOD)
    (path,) = tmp_path.rglob("*.json")
    path.write_text(path.read_text()[:40])
    assert cache.find(CALL.key) is None
    path.write_text("[]")
    assert cache.find(CALL.key) is None


def test_another_place_or_other_weights_are_another_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RANKSHIFT_CACHE", str(tmp_path))
    told = [
        ("j", {"place": "a"}),
        ("j", {"place": "b"}),
        ("k", {"place": "a"}),
        ("j", {"fingerprint": "a"}),
    ]
    assert len({find_cache(name, facts).folder for name, facts in told}) == 4
