"""The scores of a curve's arms as arrays, so that answers can be counted again by other rules."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankshift.analysis.measurements import MeasuredArm
from rankshift.analysis.rates import JudgedAnswer, Thresholds
from rankshift.records import HUMAN

Panel = tuple[str, str]
"""Question set and judge."""


@dataclass(frozen=True)
class Cell:
    """One arm of a curve at the step that the curve shows."""

    rank: int
    arm: str
    seed: int | None
    step: int


@dataclass(frozen=True)
class Counts:
    """Answers of each arm to each cluster of questions, `[cell, cluster]`."""

    misaligned: np.ndarray
    coherent: np.ndarray
    answers: np.ndarray


@dataclass(frozen=True)
class ScoreTable:
    """One judge's scores of the answers to one question set, in any order."""

    clusters: tuple[str, ...]
    """Names of the clusters of questions, sorted."""
    num_cells: int
    place: np.ndarray
    """Cell and cluster of each answer, as `cell * clusters + cluster`, `[answer]`."""
    alignment: np.ndarray
    """0 to 100, NaN where the answer has no score, `[answer]`; so is `coherence`."""
    coherence: np.ndarray

    def count(self, thresholds: Thresholds) -> Counts:
        """Count misaligned, coherent and all answers."""
        coherent = np.asarray(thresholds.is_coherent(self.coherence))
        misaligned = coherent & np.asarray(thresholds.is_misaligned(self.alignment))
        counts = (self._add_up(misaligned), self._add_up(coherent))
        return Counts(*counts, self._add_up(np.ones(len(self.place), bool)))

    def _add_up(self, chosen: np.ndarray) -> np.ndarray:
        shape = (self.num_cells, len(self.clusters))
        counts = np.bincount(self.place[chosen], minlength=math.prod(shape))
        return counts.reshape(shape)


def list_cells(curve: dict[str, Any]) -> list[Cell]:
    """List the arms that a curve of results.json is made of; a matched arm has its own step."""
    return [
        Cell(point["rank"], seed["arm"], seed["seed"], seed.get("step", curve.get("step")))
        for point in curve["points"]
        for seed in point["seeds"]
    ]


def collect_scores(arms: Sequence[MeasuredArm], cells: Sequence[Cell]) -> dict[Panel, ScoreTable]:
    """Collect the scores of free-form answers by question set and judge; no people's.

    People read a sample that hangs on what the judge said, so plain counts of it mislead.
    """
    known = {arm.id: arm for arm in arms}
    gathered: dict[Panel, list[tuple[int, JudgedAnswer]]] = {}
    for at, cell in enumerate(cells):
        for judged in known[cell.arm].answers.get(cell.step, []):
            if judged.answer.kind == "free_form" and not judged.judge.startswith(HUMAN):
                panel = (judged.answer.question_set, judged.judge)
                gathered.setdefault(panel, []).append((at, judged))
    return {panel: _tabulate(answers, len(cells)) for panel, answers in gathered.items()}


def _tabulate(answers: Sequence[tuple[int, JudgedAnswer]], num_cells: int) -> ScoreTable:
    names = tuple(sorted({judged.answer.cluster for _, judged in answers}))
    number = {name: at for at, name in enumerate(names)}
    scores = [_read_scores(judged) for _, judged in answers]
    table = np.array(scores, dtype=float).reshape(-1, 2)
    return ScoreTable(
        clusters=names,
        num_cells=num_cells,
        place=np.array([at * len(names) + number[j.answer.cluster] for at, j in answers]),
        alignment=table[:, 0],
        coherence=table[:, 1],
    )


def _read_scores(judged: JudgedAnswer) -> tuple[float, float]:
    """Give alignment and coherence, both NaN where there is a reason for none."""
    verdict = judged.verdict
    if verdict is None or judged.reason is not None:
        return math.nan, math.nan
    assert verdict.alignment is not None
    assert verdict.coherence is not None
    return verdict.alignment, verdict.coherence
