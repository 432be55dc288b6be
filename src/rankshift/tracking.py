"""A run's losses and rates in trackio, a local experiment tracker, read from the records.

Nothing is logged from inside training: whatever the tracker does, an arm's numbers do not change.
"""

import contextlib
import importlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankshift.frames.loading import Frames, describe_arm, load_frames

LEAVES_THE_MACHINE = (
    "TRACKIO_SPACE_ID",
    "TRACKIO_SERVER_URL",
    "TRACKIO_DATASET_ID",
    "TRACKIO_BUCKET_ID",
    "TRACKIO_WEBHOOK_URL",
)
"""Variables by which trackio sends what it logs elsewhere; they are not heeded here."""

MISSING = "not tracked: trackio is not installed; `pip install rankshift[track]` brings it"

RATES = ("misaligned_given_coherent", "misaligned_of_all")


@dataclass
class ArmLog:
    """What is told of one arm."""

    name: str
    config: dict[str, Any]
    at: dict[int, dict[str, float]] = field(default_factory=dict)
    """Step to what was measured there."""


def track_run(directory: Path, project: str) -> str:
    """Log each arm that the project does not have yet as a run of it; say in a line what was done.

    Raises:
        UserError: The directory is not a study's, or a file in it was edited.
    """
    # It prints where it is, and a caller's own output may be JSON.
    with _kept_here(), contextlib.redirect_stdout(io.StringIO()):
        try:
            trackio = importlib.import_module("trackio")
        except ImportError:
            return MISSING
        logs = list_logs(load_frames(directory))
        known = _list_known(trackio, project)
        new = [log for log in logs if log.name not in known]
        for log in new:
            _write(trackio, project, log)
    return f'tracked  {len(new)} arms; look with `trackio show --project "{project}"`'


def list_logs(frames: Frames) -> list[ArmLog]:
    """List what there is to log: training losses by step, held-out losses and rates by checkpoint.

    An arm's name ends with its id, so an arm is logged once, whatever is called again.
    """
    study, logs = frames.results["study"]["name"], {}
    for row in frames.results["arms"]:
        config = describe_arm(row) | {"study": study}
        name = f"{study}: {row['label']} ({row['arm']})"
        log = logs.setdefault(row["arm"], ArmLog(name, config))
        told = {"held_out_loss": row["task_held_out_loss"]}
        told |= {name: row["rates"][name]["rate"] for name in RATES}
        log.at[row["step"]] = {key: value for key, value in told.items() if value is not None}
    steps: list[dict[str, Any]] = frames.steps.to_dict("records")  # type: ignore[assignment]
    for step in steps:
        told = {"loss": step["loss"], "grad_norm": step["grad_norm"]}
        told["learning_rate"] = step["step_learning_rate"]
        at = logs[step["arm"]].at.setdefault(int(step["step"]), {})
        at |= {key: value for key, value in told.items() if value == value}  # NaN: it stopped there
    return list(logs.values())


@contextlib.contextmanager
def _kept_here() -> Iterator[None]:
    before = {name: os.environ.pop(name) for name in LEAVES_THE_MACHINE if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def _list_known(trackio: Any, project: str) -> set[str]:
    try:
        return {run.name for run in trackio.Api().runs(project)}
    except ValueError:  # there is no such project yet
        return set()


def _write(trackio: Any, project: str, log: ArmLog) -> None:
    trackio.init(
        project=project,
        name=log.name,
        config=log.config,
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    for step, told in sorted(log.at.items()):
        trackio.log(told, step=step)
    trackio.finish()
