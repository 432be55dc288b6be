"""What decides is written down before anything is trained, and is never rewritten.

When the study asks for something else later, a further numbered file is added beside the earlier
ones; each says whether arms had been trained or had answered by then.
"""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rankshift.grid import Derived, Grid
from rankshift.inference import Analysis
from rankshift.provenance import describe_checkout, find_version
from rankshift.runs import Fingerprints, StudyRun
from rankshift.sealed import hash_of, read_sealed, write_sealed
from rankshift.study import Evaluation, GivenModel, Study, Training

CONTRAST = (
    "Of blocks of adjacent ranks the largest, over blocks, of the smaller of the largest rise from "
    "a block to the left and the largest fall to a block to the right, in standard errors within "
    "seeds, against the value that chance gives it at a step, simulated for the design."
)
"""The test that decides; docs/method.md has it in full."""

FILE = re.compile(r"preregistration(?:-(\d+))?\.json")


@dataclass(frozen=True)
class Plan:
    """All that could be chosen after looking at results, and must not be."""

    study: str
    contrast: str
    questions: str
    """The primary question set; empty where nothing is asked."""
    judge: str
    """The primary judge."""
    analysis: Analysis
    grid: Grid
    derived: Derived
    models: tuple[GivenModel, ...]
    training: Training
    evaluation: Evaluation
    fingerprints: Fingerprints


@dataclass(frozen=True)
class Circumstances:
    """When a plan was written, by what, and what there was already."""

    written: str
    """UTC, ISO 8601."""
    rankshift: str | None
    commit: str | None
    """None where the program is not run from its repository."""
    dirty: bool | None
    """Whether files differed from that commit."""
    arms_were_trained: bool
    answers_existed: bool


def register(study: Study, fingerprints: Fingerprints, run: StudyRun) -> Path:
    """Write the plan of a study unless the latest file has it; give the file that holds.

    Whoever calls this holds the run's lock.

    Raises:
        UserError: A file that was written earlier was cut or edited.
    """
    plan, files = make_plan(study, fingerprints), list_files(run)
    if files and hash_of(_read(files[-1])[0], 64) == hash_of(plan, 64):
        return files[-1]
    number = f"-{len(files) + 1}" if files else ""
    path = run.directory / f"preregistration{number}.json"
    checkout = describe_checkout(Path(__file__)) or {}
    circumstances = Circumstances(
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        rankshift=find_version("rankshift"),
        commit=checkout.get("commit"),  # type: ignore[arg-type]
        dirty=checkout.get("dirty"),  # type: ignore[arg-type]
        arms_were_trained=_has_any(run, "arms/*/steps.jsonl"),
        answers_existed=_has_any(run, "arms/*/evaluations/*/answers/*.jsonl"),
    )
    write_sealed(path, plan=plan, circumstances=circumstances)
    return path


def make_plan(study: Study, fingerprints: Fingerprints) -> Plan:
    """Collect what a study decides beforehand."""
    return Plan(
        study=study.name,
        contrast=CONTRAST,
        questions=study.evaluation.suites[0] if study.evaluation.suites else "",
        judge=study.evaluation.judge,
        analysis=study.analysis,
        grid=study.grid,
        derived=study.derived,
        models=study.models,
        training=study.training,
        evaluation=study.evaluation,
        fingerprints=fingerprints,
    )


def describe_registered(run: StudyRun) -> dict[str, Any] | None:
    """Describe the plan that applies, as in `preregistration` of results.json.

    It is the latest, if it is of the study as it stands; else there is none.

    Raises:
        UserError: A file was cut or edited.
    """
    files = list_files(run)
    if not files:
        return None
    plan, circumstances = _read(files[-1])
    if hash_of(plan, 64) != hash_of(make_plan(*run.read_study()), 64):
        return None
    sha256 = hash_of({"plan": asdict(plan), "circumstances": asdict(circumstances)}, 64)
    return {
        "sha256": sha256,
        "file": files[-1].name,
        **asdict(circumstances),
        "earlier": [file.name for file in files[:-1]],
        **asdict(plan.analysis),
    }


def list_files(run: StudyRun) -> list[Path]:
    """List the plans of a run in the order in which they were written."""
    found = {path: FILE.fullmatch(path.name) for path in run.directory.glob("prereg*.json")}
    numbers = {path: int(match[1] or 1) for path, match in found.items() if match}
    return sorted(numbers, key=numbers.__getitem__)


def _read(path: Path) -> tuple[Plan, Circumstances]:
    fix = "restore it: what was planned cannot be told otherwise"
    return read_sealed(path, fix, plan=Plan, circumstances=Circumstances)


def _has_any(run: StudyRun, pattern: str) -> bool:
    return next(run.directory.glob(pattern), None) is not None
