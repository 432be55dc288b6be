"""Which weights a run holds: of each arm those of its last checkpoint, or of a given step."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankshift.arms import Arm
from rankshift.errors import UserError
from rankshift.runs import Recipe, StudyRun, identify_arms
from rankshift.watch_files import read_crossings

CONFIGS = {"lora": "adapter_config.json", "full": "config.json"}
"""Method to the file that is written last, so that a checkpoint with it is whole."""


@dataclass(frozen=True)
class Weights:
    """The weights of one arm after one step, and what they were made with."""

    arm_id: str
    arm: Arm
    recipe: Recipe
    step: int
    folder: Path
    facts: dict[str, Any]
    """What provenance.json says; empty for an arm that is not trained to its end yet."""

    @property
    def config_name(self) -> str:
        """Name the file of the checkpoint that says what the weights are."""
        return CONFIGS[self.arm.method]

    def read_config(self) -> dict[str, Any]:
        """Read that file.

        Raises:
            UserError: It was cut or edited.
        """
        return read_json(self.folder / self.config_name)


def find_weights(run: StudyRun, step: int | None = None) -> tuple[list[Weights], list[str]]:
    """Find the weights of every arm that has some; the base has none of its own.

    Args:
        run: Finished or not.
        step: Which checkpoint; None takes the last that is whole.

    Returns:
        The weights in the order of the grid, and the labels of the arms without any.

    Raises:
        UserError: No such checkpoint is asked for by the study, or no arm has weights.
    """
    study, fingerprints = run.read_study()
    asked = study.training.checkpoints
    trained = {n: arm for n, arm in identify_arms(study, fingerprints).items() if arm.is_trained}
    crossed = {one.step for arm_id in trained for one in read_crossings(run.arm(arm_id))}
    if step is not None and step not in crossed.union(asked):
        listed = ", ".join(map(str, sorted(crossed.union(asked))))
        raise UserError(f"--step {step}: weights are kept after steps {listed}; give one of them")
    found, without = [], []
    for arm_id, arm in trained.items():
        kept = find_last(run, arm_id, arm, asked if step is None else (step,))
        if kept is None:
            without.append(arm.label)
        else:
            found.append(kept)
    if not found:
        after = "" if step is None else f" after step {step}"
        raise UserError(f"{run.directory}: no arm has weights{after} yet; run the study first")
    return found, without


def find_last(run: StudyRun, arm_id: str, arm: Arm, steps: tuple[int, ...]) -> Weights | None:
    """Find an arm's weights after the last of some steps after which it has whole ones."""
    files = run.arm(arm_id)
    for step in reversed(steps):
        folder = files.checkpoint(step)
        if (folder / CONFIGS[arm.method]).is_file():
            _, recipe = files.read_arm()
            path = files.provenance_path
            facts = read_json(path) if path.exists() else {}
            return Weights(arm_id, arm, recipe, step, folder, facts)
    return None


def read_json(path: Path) -> dict[str, Any]:
    """Read an object that the study wrote.

    Raises:
        UserError: It was cut or edited.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: not a JSON object, it was cut or edited; remove it and run the study again"
        )
    return content
