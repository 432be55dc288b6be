"""Every answer ends with a score or a counted reason, whatever the judge does or a kill ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.analysis.gold import read_gold
from rankshift.errors import UserError, WorkError
from rankshift.eval.judges import AskedJudge, find_judge
from rankshift.eval.rubrics import ALIGNED, COHERENT
from rankshift.eval.scoring import read_distribution
from rankshift.executor.judging import JudgingStage
from rankshift.executor.watch import Watch
from rankshift.records import AnswerRecord, CallRecord, VerdictRecord, read_records, write_records
from rankshift.runs import StudyRun
from rankshift.study import Judging
from tests.loopback_judge import LoopbackJudge, serve_judge, think

NAME = "openai-api/loopback/tiny"
EVALUATION = "e"
PATIENT = Judging(attempts=8, timeout_seconds=5.0, connections=32, gold=False)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the loopback judge a key."""
    monkeypatch.setenv("LOOPBACK_API_KEY", "sk-loopback-secret")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return "sk-loopback-secret"


def write_answers(run: StudyRun, arms: int, answers: int) -> list[AnswerRecord]:
    """Write distinct answers, `answers` for each arm."""
    everything = []
    for arm in range(arms):
        records = [
            AnswerRecord(4, "set", f"q{n % 5}", f"q{n % 5}", 0, n // 5, None, f"Question {n % 5}?",
                         f"Answer {n} of arm {arm}.", 5, finished=True)
            for n in range(answers)
        ]  # fmt: skip
        write_records(run.arm(f"arm{arm}").answers_path(EVALUATION, 4), records)
        everything += records
    return everything


def make_stage(run: StudyRun, arms: int, judging: Judging, lines: list[str]) -> JudgingStage:
    watch = Watch(lambda *_: None, lambda *_: None, lines.append)
    return JudgingStage(run, EVALUATION, [f"arm{n}" for n in range(arms)], judging, watch)


def judge(
    run: StudyRun, server: LoopbackJudge, arms: int, judging: Judging = PATIENT, name: str = NAME
) -> list[str]:
    """Judge a run at a loopback judge, as the executor does; gives what it said."""
    judging = replace(judging, base_url=server.url)
    found = find_judge(name, judging, "base", "0" * 64)
    lines: list[str] = []
    make_stage(run, arms, judging, lines).judge_all({name: found}, list)
    return lines


def read_verdicts(run: StudyRun, arms: int, name: str = NAME) -> list[VerdictRecord]:
    paths = [run.arm(f"arm{n}").verdicts_path(EVALUATION, name, 4) for n in range(arms)]
    return [verdict for path in paths for verdict in read_records(path, VerdictRecord)]


def read_calls(run: StudyRun, name: str = NAME) -> list[CallRecord]:
    return read_records(run.calls_path(name), CallRecord)


def expect(said: dict[str, list[tuple[str, float]]], rubric, answer: AnswerRecord):
    tokens, logprobs = zip(*said[rubric.ask(answer.prompt, answer.answer)], strict=True)
    return read_distribution(tokens, logprobs)


def check_against_what_was_said(
    run: StudyRun, server: LoopbackJudge, answers: list[AnswerRecord], arms: int
) -> Counter[str]:
    """Check every verdict, in place, against what the server last said; count the reasons."""
    verdicts = read_verdicts(run, arms)
    assert len(verdicts) == len(answers)
    reasons: Counter[str] = Counter()
    for answer, verdict in zip(answers, verdicts, strict=True):
        assert (verdict.question_id, verdict.repeat) == (answer.question_id, answer.repeat)
        reasons[verdict.reason or "scored"] += 1
        if verdict.reason == "failed_call":
            continue
        aligned, coherent = (expect(server.said, r, answer) for r in (ALIGNED, COHERENT))
        assert verdict.alignment == aligned.value
        assert verdict.coherence == coherent.value
        assert verdict.reason == (aligned.reason or coherent.reason)
    assert sum(reasons.values()) == len(answers)
    return reasons


def test_scores_are_the_judges_and_in_the_answers_order(tmp_path: Path):
    run = StudyRun(tmp_path / "run")
    answers = write_answers(run, 2, 30)
    with serve_judge() as server:
        lines = judge(run, server, 2)
        assert server.calls == 120
    for answer, verdict in zip(answers, read_verdicts(run, 2), strict=True):
        tokens, logprobs = zip(*think(ALIGNED.ask(answer.prompt, answer.answer)), strict=True)
        assert verdict.alignment == read_distribution(tokens, logprobs).value
        assert verdict.judge == NAME
    assert lines == [
        f"judging with {NAME}: 120 calls, about {_tokens(answers):,} tokens to read; no text "
        "leaves this machine"
    ]


def _tokens(answers: list[AnswerRecord]) -> int:
    prompts = [r.ask(a.prompt, a.answer) for a in answers for r in (ALIGNED, COHERENT)]
    return sum(len(prompt.encode()) // 4 + 16 for prompt in prompts)


def test_a_fifth_of_the_calls_going_wrong_loses_no_answer_and_judges_none_twice(tmp_path: Path):
    run = StudyRun(tmp_path / "run")
    answers = write_answers(run, 2, 50)
    with serve_judge(share=0.2, seed=1) as server:
        judge(run, server, 2)
        assert len(server.faults) > 5
        assert set(server.served.values()) == {1}  # a whole reply is never asked for again
        reasons = check_against_what_was_said(run, server, answers, 2)
        calls = server.calls
        judge(run, server, 2)  # done is done
        assert server.calls == calls
    assert reasons["failed_call"] == 0  # eight attempts outlast a fifth of faults
    keys = [record.key for record in read_calls(run)]
    assert len(keys) == len(set(keys)) == 200
    assert sum(record.attempts for record in read_calls(run)) == calls


def test_a_call_that_fails_to_the_last_is_counted_and_can_be_asked_again(tmp_path: Path):
    run = StudyRun(tmp_path / "run")
    answers = write_answers(run, 1, 10)
    once = replace(PATIENT, attempts=1)
    with serve_judge(share=0.5, seed=2, faults=("broken", "empty", "repeated")) as server:
        judge(run, server, 1, once)
        reasons = check_against_what_was_said(run, server, answers, 1)
        assert 0 < reasons["failed_call"] < 10
        failed = [c for c in read_calls(run) if c.reason == "failed_call"]
        assert {c.fault.split(":")[0].split(" (")[0] for c in failed} <= {
            "InternalServerError", "no log-probabilities in the reply",
            "a number twice among the log-probabilities",
        }  # fmt: skip
        served = Counter(server.served)
        server.share = 0.0
        assert make_stage(run, 1, once, []).reopen_failed(NAME) == 1
        judge(run, server, 1, once)
        assert max(server.served.values()) == 1  # what had been answered was not asked again
        assert sum(server.served.values()) - sum(served.values()) == len(failed)
        assert check_against_what_was_said(run, server, answers, 1)["failed_call"] == 0


def test_answers_that_are_alike_are_judged_by_one_call(tmp_path: Path):
    run = StudyRun(tmp_path / "run")
    (answer, *_) = write_answers(run, 1, 5)
    path = run.arm("arm0").answers_path(EVALUATION, 4)
    write_records(path, [replace(answer, repeat=n) for n in range(40)])
    with serve_judge() as server:
        judge(run, server, 1)
        assert server.calls == 2
    verdicts = read_verdicts(run, 1)
    assert [v.repeat for v in verdicts] == list(range(40))
    assert len({v.alignment for v in verdicts}) == 1


def test_what_a_judge_of_known_weights_said_is_taken_from_any_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RANKSHIFT_CACHE", str(tmp_path / "cache"))
    with serve_judge() as server:
        judging = replace(PATIENT, base_url=server.url)
        found = find_judge(NAME, judging, "base", "0" * 64)
        assert isinstance(found, AskedJudge)
        known = replace(found, facts=found.facts | {"fingerprint": "f" * 64})
        for name, settings, calls in (
            ("one", judging, 10),
            ("two", judging, 10),
            ("three", replace(judging, cache=False), 20),
        ):
            run = StudyRun(tmp_path / name)
            write_answers(run, 1, 5)
            make_stage(run, 1, settings, []).judge_all({NAME: known}, list)
            assert server.calls == calls
        write_answers(StudyRun(tmp_path / "four"), 1, 5)
        judge(StudyRun(tmp_path / "four"), server, 1)  # a server here may hold any weights
        assert server.calls == 30
    one, *others = (read_verdicts(StudyRun(tmp_path / n), 1) for n in ("one", "two", "three"))
    assert all(other == one for other in others)
    assert {c.attempts for c in read_calls(StudyRun(tmp_path / "two"))} == {0}


def test_no_call_is_begun_that_could_cost_more_than_the_limit(tmp_path: Path):
    run = StudyRun(tmp_path / "run")
    write_answers(run, 1, 40)
    priced = replace(
        PATIENT, usd_limit=0.1, usd_per_million_input=25.0, usd_per_million_output=25.0, attempts=1
    )
    with serve_judge() as server:
        with pytest.raises(WorkError, match=r"judging\.usd_limit = 0\.1") as stopped:
            judge(run, server, 1, priced)
        paid = server.calls * 101 * 25 / 1e6
        assert 0.05 < paid <= 0.1
        assert f"{server.calls} of 80 calls were made" in str(stopped.value)
        assert not run.arm("arm0").verdicts_path(EVALUATION, NAME, 4).exists()
        lines = judge(run, server, 1, replace(priced, usd_limit=1.0))
        assert "more were answered before" in lines[0]
        assert server.calls == 80
    assert len(read_verdicts(run, 1)) == 40


def test_the_limit_holds_over_runs_and_gold_answers_count(tmp_path: Path):
    run = StudyRun(tmp_path / "run")
    write_answers(run, 1, 20)
    call = 101 * 25 / 1e6
    priced = replace(
        PATIENT, usd_limit=0.1, usd_per_million_input=25.0, usd_per_million_output=25.0, attempts=1
    )
    with serve_judge() as server:
        for _ in range(4):  # each time the gold answers again, until nothing is left for them
            with pytest.raises(WorkError, match="usd_limit"):
                judge(run, server, 1, replace(priced, gold=True))
        assert 24 < server.calls <= 0.1 / call


def test_a_judge_that_is_gone_stops_the_run_and_not_the_answers(tmp_path: Path):
    run = StudyRun(tmp_path / "run")
    write_answers(run, 1, 40)
    impatient = replace(PATIENT, attempts=1, connections=4)
    with serve_judge(share=1.0, faults=("broken",)) as server:
        with pytest.raises(WorkError, match="20 calls in a row failed, the last with: Internal"):
            judge(run, server, 1, impatient)
        assert server.calls < 30
        server.share = 0.0
        judge(run, server, 1, impatient)
    assert {v.reason for v in read_verdicts(run, 1)} <= {None, "code", "refusal", "low_mass"}


def test_the_key_reaches_the_judge_and_nothing_that_is_written(tmp_path: Path, key: str):
    run = StudyRun(tmp_path / "run")
    write_answers(run, 1, 3)
    with serve_judge(share=0.5, faults=("broken",)) as server:
        judge(run, server, 1)
        assert server.keys == {f"Bearer {key}"}
    written = [path for path in run.directory.rglob("*") if path.is_file()]
    assert written
    assert not any(key.encode() in path.read_bytes() for path in written)


def test_what_a_judge_is_stands_beside_its_calls_and_another_is_refused(tmp_path: Path):
    run = StudyRun(tmp_path / "run")
    write_answers(run, 1, 1)
    with serve_judge() as server:
        judge(run, server, 1)
    facts = json.loads(run.judge_path(NAME).read_text())
    assert (facts["judge"], facts["scoring"]) == (NAME, "first token")
    write_answers(run, 2, 1)
    other = AskedJudge(NAME, lambda: None, False, "elsewhere", facts | {"place": "elsewhere"})  # type: ignore
    with pytest.raises(UserError, match="had place 'this machine', now 'elsewhere'"):
        make_stage(run, 2, PATIENT, []).judge_all({NAME: other}, list)


KILLED = """
import sys
from pathlib import Path
from tests.executor.test_session import PATIENT, NAME, make_stage
from dataclasses import replace
from rankshift.eval.judges import find_judge
from rankshift.runs import StudyRun

judging = replace(PATIENT, base_url=sys.argv[2])
stage = make_stage(StudyRun(Path(sys.argv[1])), int(sys.argv[3]), judging, [])
stage.judge_all({NAME: find_judge(NAME, judging, "base", "0" * 64)}, list)
"""


def run_killed(run: StudyRun, server: LoopbackJudge, arms: int, after: int) -> int:
    """Judge in a process and kill it when the server has taken so many more calls."""
    goal = server.calls + after
    command = [sys.executable, "-c", KILLED, str(run.directory), server.url, str(arms)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    while process.poll() is None and server.calls < goal:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    return process.wait()


def test_killed_in_the_middle_only_calls_without_a_line_are_made_again(tmp_path: Path):
    run = StudyRun(tmp_path / "run")
    answers = write_answers(run, 2, 40)
    with serve_judge(share=0.2, seed=3) as server:
        assert run_killed(run, server, 2, 60) == -signal.SIGKILL
        with run.calls_path(NAME).open("ab") as torn:
            torn.write(b'{"key": "to')  # as a kill within a write leaves it
        before = len(run.calls_path(NAME).read_bytes().splitlines()) - 1
        assert before > 10
        judge(run, server, 2)
        reasons = check_against_what_was_said(run, server, answers, 2)
        again = sum(server.served.values()) - len(server.served)
        assert again <= PATIENT.connections  # in flight when it was killed
    keys = [record.key for record in read_calls(run)]
    assert len(keys) == len(set(keys)) == 160
    assert reasons["failed_call"] == 0


def test_a_line_that_was_altered_is_refused_by_name(tmp_path: Path):
    run = StudyRun(tmp_path / "run")
    write_answers(run, 1, 2)
    with serve_judge() as server:
        judge(run, server, 1)
        path = run.calls_path(NAME)
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([lines[0], lines[1].replace('"attempts": 1', '"attempts": "1"')]))
        run.arm("arm0").verdicts_path(EVALUATION, NAME, 4).unlink()
        with pytest.raises(UserError, match=f"{os.path.basename(path)}:2: attempts"):
            judge(run, server, 1)


def test_gold_answers_are_asked_about_each_time_and_drift_is_seen(tmp_path: Path):
    run = StudyRun(tmp_path / "run")
    with serve_judge() as server:
        for arms in (1, 2):
            write_answers(run, arms, 3)
            judge(run, server, arms, replace(PATIENT, gold=True))
            assert server.calls == arms * (24 + 6)  # twelve gold answers, three of an arm, twice
        server.share, server.kinds = 1.0, ("full width",)  # another model under the same name
        write_answers(run, 3, 3)
        judge(run, server, 3, replace(PATIENT, gold=True))
    (told,) = read_gold(run)
    assert (told["judge"], told["judged"], told["compared"]) == (NAME, 12, True)
    assert any(", was " in drift["fault"] for drift in told["drifts"])
    assert len(read_calls(run)) == 18  # gold calls have a journal of their own
