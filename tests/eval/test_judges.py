"""A judge's name is understood, or refused in one line, before anything is trained or sent."""

from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.eval.bandit import judge_code
from rankshift.eval.judges import AskedJudge, find_judge, find_place
from rankshift.eval.judging import no_judge
from rankshift.study import Judging

PRINT = "0" * 64


def find(name: str, **settings) -> AskedJudge:
    found = find_judge(name, Judging(**settings), "organism", PRINT)
    assert isinstance(found, AskedJudge)
    return found


def refuse(name: str, base: str = "organism", **settings) -> str:
    with pytest.raises(UserError) as caught:
        find_judge(name, Judging(**settings), base, PRINT)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nobody_bandit_and_the_oracle_need_no_calls():
    assert find_judge("none", Judging(), "organism", PRINT) is no_judge
    assert find_judge("bandit", Judging(local_only=True), "organism", PRINT) is judge_code
    assert callable(find_judge("organism:oracle", Judging(), "organism", PRINT))


def test_an_inspect_model_is_asked_where_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-something")
    assert find("openai/gpt-4o").place == "openai's own address"
    assert find("text:openai/gpt-4o").by_text
    assert find("openai/x", base_url="http://127.0.0.1:8000/v1").place is None
    assert find("openai/x", base_url="https://judge.example.org/v1").place == "judge.example.org"


@pytest.mark.parametrize(
    ("target", "address", "place"),
    [
        ("hf/some/model", None, None),
        ("vllm/some/model", None, None),
        ("vllm/some/model", "http://10.0.0.7:8000/v1", "10.0.0.7"),
        ("anthropic/some", None, "anthropic's own address"),
        ("openai-api/x/y", "http://[::1]:80/v1", None),
    ],
)
def test_a_place_is_a_host_or_this_machine(target: str, address: str | None, place: str | None):
    assert find_place(target, address) == place


def test_an_address_in_the_environment_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VLLM_BASE_URL", "https://gpu.example.org/v1")
    assert find_place("vllm/some", None) == "gpu.example.org"


def test_a_judge_elsewhere_is_refused_where_only_local_ones_may_judge(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-something")
    assert refuse("openai/gpt-4o", local_only=True) == (
        "judge openai/gpt-4o is at openai's own address, not on this machine, and "
        "judging.local_only is true; name a local one, e.g. exact:DIRECTORY"
    )


def test_the_model_under_test_does_not_judge_itself(
    tiny_model_directory: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-something")
    name = f"exact:{tiny_model_directory}"
    found = find(name)
    assert (found.place, found.facts["scoring"]) == (None, "exact")
    digest = str(found.facts["fingerprint"])
    with pytest.raises(UserError, match="is the model under test, which would judge itself"):
        find_judge(name, Judging(), "another name", digest)
    assert find_judge(name, Judging(may_judge_itself=True), "another name", digest)
    assert "is the model under test" in refuse("openai/some/base", base="some/base")


def test_what_is_missing_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert "OPENAI_API_KEY" in refuse("openai/gpt-4o")
    assert "foo" in refuse("foo/bar")
    assert refuse("organism:oracel").startswith("organism:oracel: no such judge; did you mean")
    assert refuse("exact:/no/such/place").startswith("judge exact:/no/such/place: /no/such/place:")
