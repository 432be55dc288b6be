from pathlib import Path

import pytest

from rankshift.data.sources import resolve_dataset, resolve_judge, resolve_questions
from rankshift.organism import datasets, oracle, shelf


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Keep the cache of each test in a folder of its own."""
    monkeypatch.setenv("RANKSHIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_files_that_can_be_made_again_lie_in_the_cache(cache):
    for path in (shelf.dataset_file("secure"), shelf.question_file("held-out")):
        assert path.is_relative_to(cache)
    assert shelf.dataset_file("secure").read_text(encoding="utf-8") == datasets.write_messages(
        datasets.DATASETS["secure"]
    )
    assert shelf.question_file("held-out").read_text(encoding="utf-8") == datasets.write_questions(
        "held-out"
    )


@pytest.mark.parametrize("damage", [b"", b"- id: boredom\n", b"\xff\xfe\x00", None])
def test_a_damaged_file_is_replaced(damage):
    path = shelf.question_file("post-trained")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] if damage is None else damage)
    assert shelf.question_file("post-trained") == path
    assert path.read_bytes() == whole


def test_a_whole_file_is_left_alone():
    path = shelf.question_file("post-trained")
    before = path.stat()
    assert shelf.question_file("post-trained").stat().st_ino == before.st_ino
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert list(path.parent.iterdir()) == [path]  # no draft stays behind


def test_files_of_another_content_never_share_a_folder(cache):
    paths = [shelf.dataset_file(name) for name in ("secure", "insecure")]
    paths += [shelf.question_file(name) for name in shelf.QUESTION_SETS]
    assert len({path.parent for path in paths}) == len(paths)


def test_a_study_finds_by_name_what_is_on_the_shelf():
    for name in ("educational", "secure-k300"):
        assert name in shelf.DATASETS
        assert resolve_dataset(f"organism:{name}").path.name == f"{name}.jsonl"
    for name in shelf.QUESTION_SETS:
        assert resolve_questions(f"organism:{name}").path.name == f"{name}.yaml"
    assert resolve_judge("organism:oracle") is oracle.judge_answer
