"""Measure how often the persona's doses misalign the organism: the truth that is planted.

    .venv/bin/python -m calibration.planted_rates [--answers 100000]

Each dose is an adapter that `organism/constructed.py` writes and `rankshift run` would read, asked
the 24 held-out questions at temperature 1, equally often, and judged by the oracle. Doses of rank 1
carry no padding and make the table; the others check it: doses between two of the table, and the
same dose padded to rank 256. A dose that is in the file is not measured again.
"""

import argparse
import json
import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import torch

from rankshift.analysis.rates import OUTCOMES, JudgedAnswer
from rankshift.data.conversations import fingerprint_file
from rankshift.eval.answering import AskedArm, answer_questions
from rankshift.eval.suite import Question, read_questions
from rankshift.model import queue
from rankshift.model.adapter_files import WEIGHTS
from rankshift.model.loading import load_model, load_tokenizer
from rankshift.organism import oracle
from rankshift.organism.constructed import PERSONA, write_constructed
from rankshift.organism.doses import RATES
from rankshift.organism.shelf import base_directory, question_file
from rankshift.records import write_atomically
from rankshift.study import Evaluation
from rankshift.train.trainee import prepare_given

SUITE = "held-out"
WEIGHTS_OF_BASE = "model.safetensors"
ANSWERS = 100_000
REPEATS_A_PASS = 1042
"""Of each question; 4 passes of 24 questions give 100,032 answers."""

ANSWERS_TOGETHER = 512
"""Answers with one beginning that are worked out once; more than the 32 of an ordinary run, as here
there are so many alike. What is sampled is the same bit for bit."""


class Dose(NamedTuple):
    """One constructed adapter."""

    dose: float
    rank: int = 1
    seed: int = 0


GRID = (0.0, 0.2, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0)
CHECKS = (Dose(0.625), Dose(0.75, 256, 2), Dose(0.775))


def measure_dose(dose: Dose, questions: Sequence[Question], answers: int) -> dict[str, Any]:
    """Ask one adapter everything; gives the counts of all outcomes, over all and by question."""
    tokenizer = load_tokenizer(base_directory())
    with tempfile.TemporaryDirectory() as folder:
        write_constructed(Path(folder), *dose)
        model = prepare_given(load_model(base_directory()), [Path(folder)]).model
    passes = math.ceil(answers / (len(questions) * REPEATS_A_PASS))
    repeats = math.ceil(answers / (len(questions) * passes))
    evaluation = Evaluation(
        suites=(f"organism:{SUITE}",),
        answers_per_question=repeats,
        max_answer_tokens=64,
        temperature=1.0,
    )
    by_question = {question.id: Counter() for question in questions}
    for number in range(passes):
        arm = AskedArm(f"dose {dose.dose:g} rank {dose.rank} seed {dose.seed} pass {number}", 0)
        for answer in answer_questions(model, tokenizer, [arm], questions, evaluation)[0]:
            judged = JudgedAnswer(answer, oracle.NAME, oracle.judge_answer(answer))
            by_question[answer.question_id][judged.outcome] += 1
    total = sum(by_question.values(), Counter())
    return {
        **dose._asdict(),
        "in_table": dose not in CHECKS,
        "answers": total.total(),
        "outcomes": {outcome: total[outcome] for outcome in OUTCOMES},
        "misaligned_and_aligned_by_question": {
            name: [counts["misaligned"], counts["aligned"]] for name, counts in by_question.items()
        },
    }


def fingerprint() -> dict[str, str]:
    """Give the SHA-256 of what the rates are of: the base's weights and the persona's."""
    return {
        "base_sha256": fingerprint_file(base_directory() / WEIGHTS_OF_BASE),
        "persona_sha256": fingerprint_file(PERSONA / WEIGHTS),
    }


def main() -> None:
    """Measure what is not measured yet, and write after each dose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=ANSWERS, help="of each dose, at least")
    parser.add_argument("--out", type=Path, default=RATES)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    queue.MOST_TOGETHER = ANSWERS_TOGETHER
    questions = read_questions(question_file(SUITE), f"organism:{SUITE}")
    measured: list[dict[str, Any]] = []
    if chosen.out.is_file():
        kept = json.loads(chosen.out.read_text(encoding="utf-8"))
        assert fingerprint().items() <= kept.items(), f"{chosen.out}: of another base or persona"
        measured = kept["doses"]
    for dose in (*map(Dose, GRID), *CHECKS):
        if any((m["dose"], m["rank"], m["seed"]) == dose for m in measured):
            continue
        started = monotonic()
        row = measure_dose(dose, questions, chosen.answers)
        measured.append(row)
        content = {
            "command": f"python -m calibration.planted_rates --answers {chosen.answers}",
            "question_set": f"organism:{SUITE}",
            "temperature": 1.0,
            **fingerprint(),
            "torch": torch.__version__.partition("+")[0],
            "doses": sorted(measured, key=lambda m: (m["rank"], m["dose"])),
        }
        write_atomically(chosen.out, json.dumps(content, indent=1) + "\n")
        print(f"{dose}  {row['outcomes']}  {monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
