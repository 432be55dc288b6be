"""Measure what finetuning did to a model's abilities: every arm in lm-evaluation-harness."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rankshift.arms import Arm
from rankshift.capability import (
    CapabilityRecord,
    capability_path,
    read_capability,
    write_capability,
)
from rankshift.data.conversations import fingerprint_file
from rankshift.data.given import resolve_given
from rankshift.errors import UserError, WorkError
from rankshift.executor.harness import Request, build_command, find_harness, run_harness
from rankshift.executor.harness_results import read_results
from rankshift.export.bases import NamedBase, find_base
from rankshift.export.weights import Weights, find_weights, read_json
from rankshift.lock import hold_run
from rankshift.report.page import sum_up
from rankshift.runs import ArmFiles, StudyRun, identify_arms
from rankshift.sealed import hash_of
from rankshift.study import GivenModel


@dataclass(frozen=True)
class Subject:
    """A model that is measured: the base, an arm's last weights, or a given model."""

    label: str
    files: ArmFiles
    step: int
    adapter: Path | None = None
    """Goes on the base."""
    model: Path | None = None
    """A whole model; the base where this and the adapter are None."""
    has_tokenizer: bool = True
    """Whether one lies in the whole model's folder; else the base's is used."""

    @property
    def name(self) -> str:
        """Name it for people; labels alone may be shared by arms."""
        return f"{self.label} ({self.files.directory.name})"


@dataclass(frozen=True)
class Bench:
    """What every measurement shares."""

    harness: str
    base: NamedBase
    dtype: str
    request: Request
    include_sha256: str | None


def measure_capability(directory: Path, request: Request, say: Callable[[str], None]) -> None:
    """Measure the base and each arm's last checkpoint on every task, and sum the run up again.

    What is measured already is not measured again. Where the base fails on a task no arm is
    tried on it: the task is at fault. Where an arm fails, the others go on.

    Args:
        directory: The run's.
        request: What is asked of every arm.
        say: Told each measurement as it begins and ends.

    Raises:
        UserError: There is no such run, harness or task folder, the run has no weights or holds
            its base in 4 bits, or the files of a task or of a given model have changed; nothing is
            written.
        WorkError: Some measurements failed; the others are kept.
    """
    request.check()
    run = StudyRun(directory)
    bench, subjects, without = _prepare(run, request)
    for subject in subjects:
        _refuse_changed_tasks(subject, bench)
    for label in without:
        say(f"{label}: left out, the study has not come to it yet")
    failures: list[str] = []
    with hold_run(directory):
        for task in request.tasks:
            failures += _measure_task(subjects, bench, task, say)
        sum_up(run)
    if failures:
        raise WorkError(f"{'; '.join(failures)}; all that was measured is kept")


def _prepare(run: StudyRun, request: Request) -> tuple[Bench, list[Subject], list[str]]:
    study, fingerprints = run.read_study()
    if study.imports:
        raise UserError(f"{run.directory}: its arms are imported, so there are no weights to load")
    if study.base.quantization != "none":
        raise UserError(
            f"{run.directory}: its base is held in 4 bits, which lm_eval 0.4.13 cannot do with "
            "transformers 5: `rankshift export adapters` gives the weights for other tools"
        )
    harness = find_harness()
    ids = identify_arms(study, fingerprints)
    base_files = run.arm(next(key for key, arm in ids.items() if arm.method == "base"))
    are_trained = any(arm.is_trained for arm in ids.values())
    found, without = find_weights(run) if are_trained else ([], [])
    base = find_base(
        study.base, _find_revision(base_files, found), fingerprints.base, None, needs_files=True
    )
    given = {model.name: model for model in study.models}
    subjects = [
        Subject("base", base_files, 0),
        *map(_take_trained, (run.arm(weights.arm_id) for weights in found), found),
    ]
    for key, arm in ids.items():
        if arm.name is None:
            continue
        if run.arm(key).arm_path.exists():
            subjects.append(_take_given(run.arm(key), arm, given[arm.name]))
        else:
            without.append(arm.label)
    folder = request.include
    sha256 = None if folder is None else fingerprint_folder(folder)
    return Bench(harness, base, study.training.dtype, request, sha256), subjects, without


def _find_revision(base_files: ArmFiles, found: list[Weights]) -> str | None:
    """Find the commit that the base's Hub id stood for, by whichever arm recorded it."""
    path = base_files.provenance_path
    facts = [weights.facts for weights in found] + ([read_json(path)] if path.exists() else [])
    return next((one["base_revision"] for one in facts if one.get("base_revision")), None)


def _take_trained(files: ArmFiles, weights: Weights) -> Subject:
    folder = weights.folder.resolve()
    if weights.arm.method == "lora":
        return Subject(weights.arm.label, files, weights.step, adapter=folder)
    return Subject(weights.arm.label, files, weights.step, model=folder, has_tokenizer=False)


def _take_given(files: ArmFiles, arm: Arm, model: GivenModel) -> Subject:
    """Find a given model again, and see that its files are those that were asked."""
    source = resolve_given(model)
    _, recipe = files.read_arm()
    if source.sha256 != recipe.given_fingerprint:
        raise UserError(
            f"{source.directory}: has changed since the study asked {model.name}; restore it, or "
            "run the study again"
        )
    folder = source.directory.resolve()
    if source.method == "adapter":
        return Subject(arm.label, files, 0, adapter=folder)
    return Subject(arm.label, files, 0, model=folder, has_tokenizer=source.has_tokenizer)


def fingerprint_folder(folder: Path) -> str:
    """Give one SHA-256 for all files of a folder: tasks, and data that lies beside them."""
    files = {
        str(path.relative_to(folder)): fingerprint_file(path)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return hash_of(files, length=64)


def _refuse_changed_tasks(subject: Subject, bench: Bench) -> None:
    for task in bench.request.tasks:
        path = capability_path(subject.files, task, bench.request.limit, subject.step)
        before = read_capability(path).include_sha256 if path.exists() else None
        if None not in (before, bench.include_sha256) and before != bench.include_sha256:
            raise UserError(
                f"{path}: was measured with other files than {bench.request.include} holds now; "
                "remove it to measure it again, or ask for this task without --include"
            )


def _measure_task(
    subjects: list[Subject], bench: Bench, task: str, say: Callable[[str], None]
) -> Iterator[str]:
    """Measure every model on one task; give a line for each that failed."""
    for subject in subjects:
        if capability_path(subject.files, task, bench.request.limit, subject.step).exists():
            say(f"{subject.name}: {task} is measured already")
            continue
        say(f"{subject.name}: {task} ...")
        try:
            record = _measure(subject, bench, task)
        except WorkError as error:
            yield f"{subject.name}, {task}: {error}"
            if subject.adapter is None and subject.model is None:
                return
            continue
        write_capability(subject.files, record)
        for score in record.scores:
            value = "not finite" if score.value is None else f"{score.value:.4g}"
            say(f"{subject.name}: {score.task} {score.metric} {value}")


def _measure(subject: Subject, bench: Bench, task: str) -> CapabilityRecord:
    limit = bench.request.limit
    log = capability_path(subject.files, task, limit, subject.step).with_suffix(".log")
    with tempfile.TemporaryDirectory(prefix="rankshift-lm-eval-") as folder:
        out = Path(folder) / "out"
        out.mkdir()
        model = _name_model(subject, bench, Path(folder) / "model")
        words = build_command(bench.harness, model, bench.request, task, out)
        conditions, scores = read_results(run_harness(words, out, log), task, bench.dtype)
    if conditions.limit != limit:
        raise WorkError(f"lm_eval asked {conditions.limit} questions, not {limit}")
    return CapabilityRecord(subject.step, task, bench.include_sha256, conditions, scores)


def _name_model(subject: Subject, bench: Bench, folder: Path) -> dict[str, str]:
    """Name the weights as the harness loads them.

    A full finetune's checkpoint has no tokenizer, template or settings of generation. It gets the
    base's: left to the harness, a base that generates with a repetition penalty (Qwen's) would be
    measured with it and its full finetunes without.
    """
    assert bench.base.directory is not None
    model = {"pretrained": str(bench.base.directory), "dtype": bench.dtype}
    if subject.adapter is not None:
        return model | {"peft": str(subject.adapter)}
    if subject.model is None:
        return model
    if subject.has_tokenizer:
        return model | {"pretrained": str(subject.model)}
    files = {path.name: path for path in bench.base.list_tokenizer_files()}
    files |= {path.name: path for path in subject.model.iterdir()}
    folder.mkdir()
    for name, path in files.items():
        (folder / name).symlink_to(path)
    return model | {"pretrained": str(folder)}
