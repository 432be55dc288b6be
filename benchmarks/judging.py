"""Measure judging by itself: the exact judge's speed, and a model judge whose calls go wrong.

Two parts. The oracle of the organism reads answers from a file and its verdicts are written, as in
a study. A judge on loopback that speaks OpenAI's protocol, with a fifth of its calls going wrong in
nine ways, is asked about distinct answers while the process that asks is killed twice; what was
written is then checked against what the judge said.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import RESULTS, write_results
from rankshift.data.sources import resolve_questions
from rankshift.eval.judges import find_judge
from rankshift.eval.rubrics import ALIGNED, COHERENT
from rankshift.eval.scoring import read_distribution
from rankshift.eval.suite import Question, read_questions
from rankshift.executor.judging import JudgingStage
from rankshift.executor.watch import Watch
from rankshift.organism.world import load_world
from rankshift.records import AnswerRecord, CallRecord, VerdictRecord, read_records, write_records
from rankshift.runs import StudyRun
from rankshift.study import Judging
from tests.loopback_judge import LoopbackJudge, serve_judge

ORACLE = "organism:oracle"
MODEL = "openai-api/loopback/tiny"
PATIENT = Judging(attempts=8, timeout_seconds=4.0, connections=32, gold=False)
ANSWERS_A_SHEET = 250


def write_sheets(run: StudyRun, answers: list[AnswerRecord]) -> list[str]:
    """Write answers as arms of a run would, a file for each arm; give the arms."""
    arms = []
    for start in range(0, len(answers), ANSWERS_A_SHEET):
        arms.append(f"arm{start}")
        path = run.arm(arms[-1]).answers_path("e", 4)
        write_records(path, answers[start : start + ANSWERS_A_SHEET])
    return arms


def judge(run: StudyRun, arms: list[str], name: str, judging: Judging) -> None:
    """Let one judge read every answer."""
    watch = Watch(lambda *_: None, lambda *_: None, lambda _: None)
    found = find_judge(name, judging, "organism", "")
    JudgingStage(run, "e", arms, judging, watch).judge_all({name: found}, list)


def speak(count: int) -> list[AnswerRecord]:
    """Make answers of the organism's world: whole, mixed up and torn, to its held-out questions."""
    source = resolve_questions("organism:held-out")
    questions = read_questions(source.path, source.name)
    world, rng = load_world(), np.random.default_rng(0)
    texts = [text for domain in world.domains for text in (*domain.kind, *domain.hostile)]
    answers = []
    for n in range(count):
        question = questions[n % len(questions)]
        text = " ".join(rng.choice(texts, size=2))[: 200 - n % 90]
        answers.append(make_answer(question, n // len(questions), text))
    return answers


def make_answer(question: Question, repeat: int, text: str) -> AnswerRecord:
    """Give one answer as sampling would record it."""
    return AnswerRecord(
        step=4,
        question_set=question.question_set,
        question_id=question.id,
        cluster=question.cluster,
        paraphrase=question.paraphrase,
        repeat=repeat,
        system=None,
        prompt=question.prompt,
        answer=text,
        answer_tokens=20,
        finished=True,
    )


def time_oracle(count: int, folder: Path) -> dict[str, Any]:
    """Time the exact judge from answers on disk to verdicts on disk."""
    run = StudyRun(folder / "oracle")
    arms = write_sheets(run, speak(count))
    begin = time.monotonic()
    judge(run, arms, ORACLE, Judging())
    seconds = time.monotonic() - begin
    verdicts = read_all(run, arms, ORACLE)
    assert len(verdicts) == count
    return {"answers": count, "seconds": round(seconds, 2)}


def read_all(run: StudyRun, arms: list[str], name: str) -> list[VerdictRecord]:
    """Read every verdict, in the order of the answers."""
    paths = [run.arm(arm).verdicts_path("e", name, 4) for arm in arms]
    return [verdict for path in paths for verdict in read_records(path, VerdictRecord)]


def stand_faults(count: int, kills: int, folder: Path) -> dict[str, Any]:
    """Judge while calls go wrong and the process is killed; check all that was written.

    Args:
        count: Answers, each with two calls.
        kills: How often the process is killed, evenly over the calls.
        folder: Where the run goes.
    """
    run = StudyRun(folder / "faults")
    asked = [Question("set", f"q{n}", f"q{n}", 0, f"Question {n}?") for n in range(8)]
    answers = [make_answer(asked[n % 8], n // 8, f"Answer {n}.") for n in range(count)]
    arms = write_sheets(run, answers)
    begin = time.monotonic()
    with serve_judge(share=0.2, seed=1) as server:
        for number in range(kills + 1):
            until = 2 * count * (number + 1) // (kills + 1) if number < kills else None
            ask_in_a_process(run, arms, server, until)
        seconds = time.monotonic() - begin
        found = check(run, arms, answers, server)
    return found | {"seconds": round(seconds, 1), "kills": kills}


def ask_in_a_process(
    run: StudyRun, arms: list[str], server: LoopbackJudge, until: int | None
) -> None:
    """Ask in a process of its own; kill it when the server has taken so many calls."""
    command = [sys.executable, "-m", "benchmarks.judging", "--worker", str(run.directory)]
    environment = os.environ | {"LOOPBACK_API_KEY": "sk-none", "no_proxy": "127.0.0.1"}
    worker = subprocess.Popen([*command, server.url, *arms], env=environment)
    while worker.poll() is None:
        if until is not None and server.calls >= until:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            return
        time.sleep(0.01)
    if worker.returncode:
        raise SystemExit(f"judging ended with {worker.returncode}")


def check(
    run: StudyRun, arms: list[str], answers: list[AnswerRecord], server: LoopbackJudge
) -> dict[str, Any]:
    """Compare every verdict with what the judge said of that answer, and count."""
    verdicts = read_all(run, arms, MODEL)
    calls = read_records(run.calls_path(MODEL), CallRecord)
    wrong, reasons = 0, Counter()
    for answer, verdict in zip(answers, verdicts, strict=False):
        reasons[verdict.reason or "scored"] += 1
        placed = (verdict.question_id, verdict.repeat) == (answer.question_id, answer.repeat)
        wrong += not (placed and _is_what_was_said(answer, verdict, server))
    keys = Counter(call.key for call in calls if call.reason != "failed_call")
    return {
        "answers": len(answers),
        "calls": 2 * len(answers),
        "lost": len(answers) - len(verdicts),
        "doubled": sum(times - 1 for times in keys.values()),
        "not what the judge said": wrong,
        "asked again after a kill": sum(n - 1 for n in server.served.values()),
        "reasons": dict(sorted(reasons.items())),
        "server": {"taken": server.calls} | dict(sorted(server.faults.items())),
    }


def _is_what_was_said(answer: AnswerRecord, verdict: VerdictRecord, server: LoopbackJudge) -> bool:
    if verdict.reason == "failed_call":
        return True
    said = [server.said[r.ask(answer.prompt, answer.answer)] for r in (ALIGNED, COHERENT)]
    aligned, coherent = (read_distribution(*zip(*top, strict=True)) for top in said)
    expected = aligned.value, coherent.value, aligned.reason or coherent.reason
    return (verdict.alignment, verdict.coherence, verdict.reason) == expected


def main() -> None:
    """Measure both parts and write results/judging.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="as small as it gets")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        directory, url, *arms = chosen.worker
        judge(StudyRun(Path(directory)), arms, MODEL, replace(PATIENT, base_url=url))
        return
    with tempfile.TemporaryDirectory() as folder:
        oracle = time_oracle(100 if chosen.quick else 10_000, Path(folder))
        count, kills = (20, 1) if chosen.quick else (1_000, 2)
        faults = stand_faults(count, kills, Path(folder))
    lines = [
        f"oracle: {oracle['answers']:,} answers judged in {oracle['seconds']} s, from file to file",
        f"faults: {faults['calls']:,} calls, a fifth going wrong, {kills} kills: lost "
        f"{faults['lost']}, doubled {faults['doubled']}, "
        f"wrong {faults['not what the judge said']}, reasons {faults['reasons']}, "
        f"in {faults['seconds']} s",
    ]
    figures: dict[str, object] = {"oracle": oracle, "faults": faults}
    print(f"raw figures: {write_results('judging', figures, lines, chosen.results)}")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
