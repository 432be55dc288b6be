"""A run's records and results, as frames that are read when they are asked for."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.analysis.rates import JudgedAnswer
from rankshift.analysis.results import summarize
from rankshift.errors import UserError
from rankshift.frames.columns import ANSWERS, ARM, ARMS, HELD_OUT, STEPS
from rankshift.frames.curves import list_curves, list_seeds
from rankshift.frames.defences import list_defences
from rankshift.frames.tidy import flatten, make_frame, make_frame_of_rows
from rankshift.opening import find_run
from rankshift.records import HeldOutRecord, R, StepRecord, read_if_there
from rankshift.runs import StudyRun

FRAMES = ("arms", "answers", "steps", "held_out", "curves", "seeds", "defences")
"""Names of the frames of a run."""

LEFT_OUT = (
    "rates_by",
    "insecure_code_by",
    "harmful_requests_by",
    "labels_by",
    "choices_by",
    "truthfulqa_by",
    "capability",
    "crossings",
)
"""Lists in a row of results.json; the frame `answers` or `results` has them."""


@dataclass(frozen=True, eq=False)
class Frames:
    """One run; each frame is read when it is first asked for, and kept."""

    run: StudyRun
    results: dict[str, Any]
    """The content of results.json; see `load_frames`."""

    @cached_property
    def arms(self) -> pd.DataFrame:
        """A row an arm and checkpoint: losses, both rates, outcomes on the primary questions."""
        rows = [_flatten_arm(row) for row in self.results["arms"]]
        return make_frame_of_rows(rows, ARMS)

    @cached_property
    def answers(self) -> pd.DataFrame:
        """A row an answer and judge, those of people included; read from the records."""
        columns: dict[str, list[Any]] = {name: [] for name in ANSWERS}
        for arm in self._measured:
            own = describe_arm(arm.identity)
            for answers in arm.answers.values():
                for name in ARM:
                    columns[name] += [own[name]] * len(answers)
                _add_answers(columns, answers)
        return make_frame(columns, ANSWERS)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """A row an optimizer step; empty where nothing was trained."""
        rows = []
        for own, record in self._read_each("steps_path", StepRecord):
            step = asdict(record)
            rows.append(own | step | {"learning_rate": own["learning_rate"]})
            rows[-1]["step_learning_rate"] = step["learning_rate"]
        return make_frame_of_rows(rows, STEPS)

    @cached_property
    def held_out(self) -> pd.DataFrame:
        """A row a checkpoint and held-out set, whose name is in `held_out`."""
        rows = []
        for own, record in self._read_each("held_out_path", HeldOutRecord):
            rows.append(own | asdict(record) | {"dataset": own["dataset"]})
            rows[-1]["held_out"] = record.dataset
        return make_frame_of_rows(rows, HELD_OUT)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """A row a point of a curve and outcome, full finetuning and the base among them."""
        return list_curves(self.results)

    @cached_property
    def seeds(self) -> pd.DataFrame:
        """A row a point, outcome and seed."""
        return list_seeds(self.results)

    @cached_property
    def defences(self) -> pd.DataFrame:
        """A row a setting, rank and defence: its verdict, counts and costs."""
        return list_defences(self.results)

    @cached_property
    def _measured(self) -> list[MeasuredArm]:
        return read_measurements(self.run)

    def _read_each(self, name: str, kind: type[R]) -> Iterable[tuple[dict[str, Any], R]]:
        own = {row["arm"]: describe_arm(row) for row in self.results["arms"]}
        for arm, described in own.items():
            path: Path = getattr(self.run.arm(arm), name)
            for record in read_if_there(path, kind):
                yield described, record


def load_frames(directory: Path) -> Frames:
    """Read a run, trained here or imported, finished or not.

    Its results are results.json's; where that is missing, or older than a record of the run, they
    are summed up anew, and nothing is written.

    Raises:
        UserError: The directory is not a study's, or a file in it was edited.
    """
    run = find_run(directory)
    run.read_study()
    if run.results_path.exists() and not _has_newer_records(run):
        return Frames(run, _read_results(run.results_path))
    return Frames(run, json.loads(json.dumps(summarize(run))))


def _read_results(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path}: not JSON; `rankshift report {path.parent}` makes it") from None


def _has_newer_records(run: StudyRun) -> bool:
    written = run.results_path.stat().st_mtime
    records = (run.directory / "arms").rglob("*.jsonl")
    return any(path.stat().st_mtime > written for path in (run.study_path, *records))


def describe_arm(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give which arm a row of results.json is about; its defence by its label."""
    defence = row.get("defence")
    named = {name: row[name] for name in ARM if name != "defence"}
    return named | {"defence": defence and defence["label"]}


def _flatten_arm(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in row.items() if key not in (*LEFT_OUT, "rates", "outcomes")}
    flat = flatten(kept) | describe_arm(row)
    for name, estimate in row["rates"].items():
        flat |= flatten({name: {k: v for k, v in estimate.items() if not isinstance(v, dict)}})
    reasons = row["outcomes"]["unscored_reasons"]
    counts = {key: n for key, n in row["outcomes"].items() if key != "unscored_reasons"}
    return flat | counts | {f"unscored_{reason}": count for reason, count in reasons.items()}


def _add_answers(columns: dict[str, list[Any]], answers: list[JudgedAnswer]) -> None:
    asked = [judged.answer for judged in answers]
    for name in ("step", "kind", "question_set", "question_id", "cluster", "paraphrase", "repeat"):
        columns[name] += [getattr(answer, name) for answer in asked]
    for name in ("system", "answer", "answer_tokens", "finished"):
        columns[name] += [getattr(answer, name) for answer in asked]
    columns["before"] += [answer.text_before for answer in asked]
    columns["question"] += [answer.prompt for answer in asked]
    columns["judge"] += [judged.judge for judged in answers]
    for name in ("alignment", "coherence", "insecure", "score"):
        columns[name] += [getattr(judged.verdict, name, None) for judged in answers]
    columns["verdict_label"] += [getattr(judged.verdict, "label", None) for judged in answers]
    is_free = [answer.kind == "free_form" for answer in asked]
    columns["outcome"] += [j.outcome if f else None for j, f in zip(answers, is_free, strict=True)]
    columns["reason"] += [
        judged.reason if free else judged.verdict.reason if judged.verdict else "no_judge"
        for judged, free in zip(answers, is_free, strict=True)
    ]
