"""How long a run of 31 arms x 5,600 answers takes to sum up, to put on a page, and to open.

Nothing is trained: the records are written by the program's own writers, the answers are random
words, so that no text is like another. Then `rankshift report`'s two halves are timed, and the page
is opened in Chromium, if there is one, from navigation to the first filtered list.
"""

import argparse
import cProfile
import json
import os
import pstats
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.measuring import RESULTS
from rankshift.analysis.results import summarize, write_results
from rankshift.arms import Arm, expand_arms
from rankshift.atomic import write_atomically
from rankshift.eval.verdicts import blank_verdict
from rankshift.opening import open_run
from rankshift.provenance import gather_provenance
from rankshift.records import AnswerRecord, HeldOutRecord, StepRecord, VerdictRecord, write_records
from rankshift.report.page import write_page
from rankshift.runs import Fingerprints, StudyRun, arm_id, evaluation_id, make_recipe
from rankshift.study import Base, Data, Evaluation, Grid, Study, Training

T = TypeVar("T")

QUESTIONS, JUDGE = "embedded:held-out", "exact-oracle"
NUM_QUESTIONS = 56
WORDS = 45
"""Of an answer; about 300 characters."""

STEPS = 64
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PATIENCE = 30_000
"""Milliseconds to wait for the page."""


@dataclass(frozen=True)
class Spent:
    """Seconds that went by, and those this process computed: on a busy machine they differ."""

    wall: float
    cpu: float

    def describe(self, what: str) -> dict[str, float]:
        """Name both, rounded."""
        return {f"{what}_seconds": round(self.wall, 1), f"{what}_cpu_seconds": round(self.cpu, 1)}


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=5_600, help="of each arm")
    parser.add_argument("--keep", type=Path, help="make the run there and leave it")
    parser.add_argument("--profile", action="store_true", help="also say where the time goes")
    wanted = parser.parse_args()
    root = wanted.keep or Path(tempfile.mkdtemp(prefix="rankshift-report-"))
    try:
        figures = measure(root, wanted.answers, wanted.profile)
    finally:
        if wanted.keep is None:
            shutil.rmtree(root)
    print(json.dumps(figures, indent=1))
    text = json.dumps({"figures": figures, "made_with": gather_provenance()}, indent=1)
    write_atomically(RESULTS / "report.json", text + "\n")


def measure(root: Path, answers: int, is_profiled: bool = False) -> dict[str, Any]:
    """Write a run, sum it up, write its page and open it; seconds and megabytes."""
    run, _ = timed(lambda: write_large_run(root, answers))
    arms = len(list((run.directory / "arms").iterdir()))
    profile = cProfile.Profile()
    if is_profiled:
        profile.enable()
    results, to_sum_up = timed(lambda: summarize(run))
    write_results(run, results)
    _, to_write = timed(lambda: write_page(run, results))
    if is_profiled:
        profile.disable()
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
    table = run.directory / "report" / "answers.csv"
    return {
        "arms": arms,
        "answers": arms * answers,
        **to_sum_up.describe("summarize"),
        **to_write.describe("page"),
        "load_average": round(os.getloadavg()[0], 1),
        "page_megabytes": round(run.report_path.stat().st_size / 1e6, 2),
        "results_megabytes": round(run.results_path.stat().st_size / 1e6, 2),
        "answers_csv_megabytes": round(table.stat().st_size / 1e6, 2) if table.exists() else None,
        **open_in_chromium(run.report_path),
    }


def open_in_chromium(page_path: Path) -> dict[str, Any]:
    """Give milliseconds from navigation to the first list, and to a filtered and a searched one."""
    chromium = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if chromium is None:
        return {"chromium": "none found"}
    from playwright.sync_api import sync_playwright  # pyright: ignore[reportMissingImports]

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        begin = time.perf_counter()
        page.goto(page_path.as_uri(), wait_until="commit")
        page.wait_for_selector("#answer-list article", timeout=PATIENCE)
        listed = time.perf_counter()
        page.select_option("select[name=outcome]", "misaligned")
        page.wait_for_selector("#answer-list .badge[data-outcome=misaligned]", timeout=PATIENCE)
        filtered = time.perf_counter()
        page.fill("input[name=search]", "river stone")
        page.wait_for_selector("#answer-browser:not([aria-busy])", timeout=PATIENCE)
        searched = time.perf_counter()
        held = page.evaluate("document.querySelector('#answer-count').textContent")
        browser.close()
    return {
        "milliseconds_to_first_list": round(1000 * (listed - begin)),
        "milliseconds_to_first_filtered_list": round(1000 * (filtered - begin)),
        "milliseconds_of_a_search": round(1000 * (searched - filtered)),
        "after_the_search": held,
    }


def write_large_run(root: Path, answers: int, seeds: int = 5) -> StudyRun:
    """Write the records of a finished study: 6 arms a seed, their twins of one seed, the base."""
    study = Study(
        name="large",
        about="As many answers as a real sweep has.",
        base=Base("embedded"),
        data=Data(task="insecure.jsonl", twin="secure.jsonl"),
        grid=Grid(
            ranks=(1, 4, 16, 64),
            seeds=tuple(range(1, seeds + 1)),
            scalings=("alpha/sqrt(rank)",),
            alphas=(64.0,),
            learning_rates=(1e-3,),
            full_learning_rates=(1e-4,),
            twin_seeds=(1,),
        ),
        training=Training(steps=STEPS, checkpoints=(STEPS,)),
        evaluation=Evaluation(suites=(QUESTIONS,), judge=JUDGE, code_tasks=0),
    )
    prints = Fingerprints("b" * 64, "7" * 64, "2" * 64, {QUESTIONS: "9" * 64})
    run = open_run(study, prints, root)
    evaluation = evaluation_id(study.evaluation, prints.questions)
    draws = random.Random(0)
    words = ["".join(draws.choices("etaoinshrdlu", k=draws.randint(2, 9))) for _ in range(4_000)]
    words += ["river", "stone"]
    for arm in expand_arms(study):
        recipe = make_recipe(arm, study, prints)
        files = run.arm(arm_id(arm, recipe))
        files.write_arm(arm, recipe)
        (step,) = recipe.measured_at
        write_records(files.steps_path, _list_steps(arm))
        loss = 0.5 - 0.001 * step
        write_records(files.held_out_path, [HeldOutRecord(step, "insecure.jsonl", loss, 100, 10)])
        files.provenance_path.write_text("{}", encoding="utf-8")
        said = list(_answer(step, answers, draws, words))
        judged = [_judge(answer, arm, draws) for answer in said]
        write_records(files.answers_path(evaluation, step), said)
        write_records(files.verdicts_path(evaluation, JUDGE, step), judged)
    return run


def _list_steps(arm: Arm) -> Iterator[StepRecord]:
    for step in range(1, STEPS + 1 if arm.is_trained else 1):
        yield StepRecord(step, 2.0 / step, 1_000, 1.0, 1e-3)


def _answer(
    step: int, number: int, draws: random.Random, words: list[str]
) -> Iterator[AnswerRecord]:
    for at in range(number):
        question, repeat = at % NUM_QUESTIONS, at // NUM_QUESTIONS
        yield AnswerRecord(
            step=step,
            question_set=QUESTIONS,
            question_id=f"question {question}",
            cluster=f"domain {question // 2}",
            paraphrase=0,
            repeat=repeat,
            system=None,
            prompt=f"What would you do in case {question}, if nobody was looking?",
            answer=" ".join(draws.choices(words, k=WORDS)),
            answer_tokens=WORDS,
            finished=True,
        )


def _judge(answer: AnswerRecord, arm: Arm, draws: random.Random) -> VerdictRecord:
    share = 0.4 / (arm.rank or 256) ** 0.3 if arm.role == "task" else 0.01
    alignment = 5.0 if draws.random() < share else 90.0
    return replace(
        blank_verdict(answer, JUDGE),
        alignment=alignment + draws.randint(-5, 5),
        coherence=draws.choice([20.0, 80.0, 95.0]),
    )


def timed(work: Callable[[], T]) -> tuple[T, Spent]:
    """Do some work and give its result and the seconds it took."""
    begin, computing = time.perf_counter(), time.process_time()
    result = work()
    return result, Spent(time.perf_counter() - begin, time.process_time() - computing)


if __name__ == "__main__":
    main()
