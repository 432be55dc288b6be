"""Let some arms of a study diverge, and see whether their neighbours notice."""

import json
from dataclasses import dataclass
from pathlib import Path

from rankshift.runs import StudyRun
from torture.small_study import RATES, Bench

CALM_RATE, WILD_RATE = 2e-3, 1e30
"""The first update at the latter leaves no finite number."""


@dataclass(frozen=True)
class Isolated:
    """What arms that diverged did to the others."""

    diverged: int
    neighbours: int
    unmoved: int
    """Neighbours of which every file is the same, weights and answers included."""

    def __str__(self) -> str:
        return f"diverged {self.diverged} neighbours {self.neighbours} unmoved {self.unmoved}"

    @property
    def is_clean(self) -> bool:
        """Say whether arms diverged and no other noticed."""
        return bool(self.diverged) and 0 < self.neighbours == self.unmoved


def torture_with_divergence(bench: Bench) -> Isolated:
    """Run a study twice under one plan; in the second the arms of one rate are made to diverge."""
    calm_study = bench.write_study((*RATES, CALM_RATE), "calm")
    wild_study = bench.write_study((*RATES, WILD_RATE), "wild")
    calm = bench.finish(calm_study, bench.folder / "calm")
    wild = bench.finish(wild_study, bench.folder / "wild")
    results = json.loads(wild.results_path.read_text(encoding="utf-8"))
    wild_arms = {row["arm"] for row in results["diverged"]}
    unlike = {arm for arm in _list_arms(wild) if not (calm.directory / "arms" / arm).exists()}
    assert wild_arms <= unlike, "an arm of a usual rate diverged"
    neighbours = _list_arms(calm) & _list_arms(wild)
    same = [arm for arm in neighbours if _read_arm(calm, arm) == _read_arm(wild, arm)]
    return Isolated(len(wild_arms), len(neighbours), len(same))


def _list_arms(run: StudyRun) -> set[str]:
    return {path.name for path in (run.directory / "arms").iterdir()}


def _read_arm(run: StudyRun, arm: str) -> dict[Path, bytes]:
    folder = run.arm(arm).directory
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "provenance.json"
    }
