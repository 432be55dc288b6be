"""Which arm of which run is meant: `runs/demo:rank-16-seed-1`, a checkpoint after `@`."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from rankshift.arms import Arm
from rankshift.completion import list_checkpoint_steps
from rankshift.errors import UserError
from rankshift.report.wording import name_arms
from rankshift.runs import ArmFiles, StudyRun, evaluation_id, identify_arms, make_recipe
from rankshift.study import Study

FEWEST_LETTERS = 6
"""Of an arm's id, to be taken for it."""


@dataclass(frozen=True)
class FoundArm:
    """One arm of a run at one of its checkpoints."""

    run: StudyRun
    study: Study
    id: str
    arm: Arm
    name: str
    """As it is typed: `rank-16-seed-1`."""
    step: int
    base_fingerprint: str
    evaluation: str
    """Id of the study's present evaluation."""

    @property
    def files(self) -> ArmFiles:
        """Give the arm's files."""
        return self.run.arm(self.id)

    @property
    def model(self) -> str:
        """Name the arm at its checkpoint as an Inspect model."""
        return f"rankshift/{self.run.directory}:{self.name}@{self.step}"


def find_arm(text: str) -> FoundArm:
    """Find the arm that a text names: a run's directory, a colon, the arm's name or id.

    The name is the arm's label in small letters with hyphens, with its settings where several arms
    share a label. `@` and a step name a checkpoint; without it the last is meant.

    Raises:
        UserError: No such run, arm or checkpoint; lists or suggests what there is.
    """
    place, colon, rest = text.rpartition(":")
    named, _, at = rest.partition("@")
    if not colon or not place or not named or not (at.isdecimal() or rest == named):
        raise UserError(
            f"{text}: names no arm; give a run's directory, a colon and an arm, e.g. "
            "runs/demo:rank-16-seed-1, or runs/demo:rank-16-seed-1@64 for an earlier checkpoint"
        )
    run = StudyRun(Path(place))
    study, fingerprints = run.read_study()
    arms = identify_arms(study, fingerprints)
    names = slug_arms(arms)
    chosen = [
        key
        for key, name in names.items()
        if named == name or (len(named) >= FEWEST_LETTERS and key.startswith(named))
    ]
    if len(chosen) != 1:
        near = difflib.get_close_matches(named, names.values(), n=1, cutoff=0.0)[0]
        raise UserError(f"{place}: has no arm {named}; did you mean {near}?")
    found = chosen[0]
    recipe = make_recipe(arms[found], study, fingerprints)
    steps = list_checkpoint_steps(run.arm(found), recipe)
    step = int(at) if at else steps[-1]
    if step not in steps:
        listed = ", ".join(map(str, steps))
        raise UserError(f"{place}: {names[found]} has no checkpoint {step}; there are {listed}")
    return FoundArm(
        run=run,
        study=study,
        id=found,
        arm=arms[found],
        name=names[found],
        step=step,
        base_fingerprint=fingerprints.base,
        evaluation=evaluation_id(study.evaluation, fingerprints.questions),
    )


def slug_arms(arms: dict[str, Arm]) -> dict[str, str]:
    """Give each arm, by id, the name it is typed by; no two are the same."""
    rows = [
        {
            "arm": key,
            "label": arm.label,
            "rank": arm.rank,
            "alpha": arm.alpha,
            "scaling": arm.scaling,
            "learning_rate": arm.learning_rate,
        }
        for key, arm in arms.items()
    ]
    return {key: slug(name) for key, name in name_arms(rows).items()}


def slug(name: str) -> str:
    """Write a name in small letters, digits, dots and hyphens."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
