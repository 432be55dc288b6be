"""Export the weights of a run: PEFT adapters and full models, each a folder with its model card."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankshift.analysis.results import summarize
from rankshift.atomic import make_folder
from rankshift.export.bases import NamedBase, find_base
from rankshift.export.cards import Subject, write_card
from rankshift.export.folders import (
    MANIFEST,
    Content,
    Manifest,
    State,
    fingerprint_content,
    refuse_edited,
    refuse_foreign,
    remove_unfinished,
    write_folder,
)
from rankshift.export.weights import Weights, find_weights
from rankshift.lock import hold_run
from rankshift.opening import find_run
from rankshift.runs import StudyRun

CARD = "README.md"


@dataclass(frozen=True)
class Exported:
    """What an export did."""

    out: Path
    folders: dict[str, State]
    """Name of each folder to what was done to it."""
    without_weights: list[str]
    """Labels of the arms that have no such checkpoint yet."""


def export_adapters(
    run_directory: Path,
    out: Path | None = None,
    step: int | None = None,
    base_id: str | None = None,
) -> Exported:
    """Write the weights of every arm for others to load; done again, it changes nothing.

    Args:
        run_directory: Of a run, finished or not.
        out: Where the folders go; None is `export/adapters` in the run's directory.
        step: Which checkpoint; None takes each arm's last.
        base_id: What to call the base; None takes the name the study found it by.

    Raises:
        UserError: The run has no such weights, its base is not to be had, or something that no
            export made, or that was edited since, would be overwritten; then nothing is written.
    """
    run = find_run(run_directory)
    found, without = find_weights(run, step)
    subjects = _describe_subjects(run, found, base_id)
    contents = {subject.folder_name: _collect_content(subject) for subject in subjects}
    out = out or run_directory / "export" / "adapters"
    refuse_foreign(out)
    for name in contents:
        refuse_edited(out / name)
    make_folder(out)
    with hold_run(out):
        remove_unfinished(out)
        states: dict[str, State] = {
            subject.folder_name: _write(out, subject, contents[subject.folder_name])
            for subject in subjects
        }
    return Exported(out, states, without)


def _describe_subjects(
    run: StudyRun, found: Sequence[Weights], base_id: str | None
) -> list[Subject]:
    study, fingerprints = run.read_study()
    revisions = [w.facts["base_revision"] for w in found if w.facts.get("base_revision")]
    base = find_base(
        study.base,
        revisions[0] if revisions else None,
        fingerprints.base,
        base_id,
        needs_files=any(weights.arm.method == "full" for weights in found),
    )
    rows = summarize(run)["arms"]
    by_key = {(row["arm"], row["step"]): row for row in rows}
    base_row = next((row for row in rows if row["method"] == "base"), None)
    return [
        Subject(study, weights, base, by_key.get((weights.arm_id, weights.step)), base_row)
        for weights in found
    ]


def _collect_content(subject: Subject) -> Content:
    """Give every file of a folder: weights as they are, the config made portable, the card."""
    weights, base = subject.weights, subject.base
    content: dict[str, Path | bytes] = {
        path.name: path for path in sorted(weights.folder.glob("*.safetensors"))
    }
    content[weights.config_name] = _make_portable(weights, base)
    if weights.arm.method == "full":
        content |= {path.name: path for path in base.list_tokenizer_files()}
    content[CARD] = write_card(subject).encode()
    return content


def _make_portable(weights: Weights, base: NamedBase) -> bytes:
    """Give the checkpoint's config with the base by a name that others can load."""
    config: dict[str, Any] = weights.read_config()
    if weights.arm.method == "lora":
        config |= {"base_model_name_or_path": base.name, "revision": base.revision}
    else:
        config.pop("_name_or_path", None)  # a place on this machine, or what this is not
    return (json.dumps(config, indent=2) + "\n").encode()


def _write(out: Path, subject: Subject, content: Content) -> State:
    assert MANIFEST not in content
    weights = subject.weights
    files = fingerprint_content(content)
    manifest = Manifest(subject.study.name, weights.arm_id, weights.step, files)
    return write_folder(out / subject.folder_name, manifest, content)
