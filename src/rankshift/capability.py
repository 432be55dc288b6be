"""What lm-evaluation-harness measured of an arm: scores, and the conditions they hold under."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rankshift.runs import ArmFiles
from rankshift.sealed import read_sealed, write_sealed


@dataclass(frozen=True)
class CapabilityScore:
    """One metric of one task."""

    task: str
    metric: str
    filter: str
    """What the harness did to an answer before it was scored; `none` for most tasks."""
    value: float | None
    """In the metric's own unit, for an accuracy a fraction 0..1; None where it is not finite."""
    stderr: float | None
    """One standard error over the task's questions; None where the harness gives none."""
    higher_is_better: bool | None
    samples: int | None
    """Questions that were asked."""
    shots: int | None
    """Solved examples before each question."""
    version: str | None
    """Of the task, as its authors count."""


@dataclass(frozen=True)
class Conditions:
    """What a score depends on besides the weights: only scores under equal ones are comparable."""

    lm_eval: str | None
    transformers: str | None
    torch: str | None
    tasks_sha256: str
    """Of the tasks' own settings, without what names a model."""
    prompts_sha256: str
    """Of what was asked, letter by letter, and what was right."""
    chat_template_sha256: str | None
    """None where no template was applied."""
    fewshot_as_multiturn: bool | None
    seeds: tuple[int | None, ...]
    """Of Python, numpy, torch and the choice of examples."""
    dtype: str
    """The base's weights are held and products made in it."""
    batch_size: str
    device: str
    """`cpu`, or what the harness was given and the GPU's name."""
    limit: int | None
    """The first so many questions of each task; None for all."""


@dataclass(frozen=True)
class CapabilityRecord:
    """What one arm scores at one step on what was asked for by one name."""

    step: int
    asked: str
    """A task, or several under one name; then `scores` may be the whole's or each one's."""
    include_sha256: str | None
    """Of the folder of tasks that was given; None where none was."""
    conditions: Conditions
    scores: tuple[CapabilityScore, ...]


def capability_path(files: ArmFiles, asked: str, limit: int | None, step: int) -> Path:
    """Place the CapabilityRecord of one arm, name and step; a limit makes it another file.

    `@` stands in no quoted name, so no task can be taken for another with a limit.
    """
    first = "" if limit is None else f"@{limit}"
    name = f"{quote(asked, safe='')}{first}-{files.checkpoint(step).name}.json"
    return files.directory / "capability" / name


def write_capability(files: ArmFiles, record: CapabilityRecord) -> None:
    """Write a record atomically."""
    path = capability_path(files, record.asked, record.conditions.limit, record.step)
    write_sealed(path, capability=record)


def read_capability(path: Path) -> CapabilityRecord:
    """Read one record.

    Raises:
        UserError: It was cut or edited.
    """
    fix = "remove it and measure again"
    (record,) = read_sealed(path, fix, capability=CapabilityRecord)
    return record


def read_all_capability(files: ArmFiles) -> list[CapabilityRecord]:
    """Read every record of an arm, in the order of their files' names; raises as one does."""
    folder = files.directory / "capability"
    return [read_capability(path) for path in sorted(folder.glob("[!.]*.json"))]
