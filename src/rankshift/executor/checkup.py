"""Whether a study could run here: each of its parts is looked at, and all that is wrong is told."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from rankshift.data.sources import BaseSource, resolve_base, resolve_dataset, resolve_questions
from rankshift.defence import list_defences
from rankshift.errors import UserError, WorkError
from rankshift.eval.asking import JudgeRefusal
from rankshift.eval.calls import make_call
from rankshift.eval.gold import RUBRICS, list_gold_answers
from rankshift.eval.judges import AskedJudge, find_judge
from rankshift.eval.question_files import read_question_file
from rankshift.executor.machine import Check, check_disk, check_threads
from rankshift.executor.preview import GroupPreview, Preview, preview_study
from rankshift.executor.resolving import resolve_study
from rankshift.executor.room import GIB
from rankshift.executor.storage.mirror import find_mirror
from rankshift.executor.vllm.child import find_vllm
from rankshift.opening import refuse_other_study
from rankshift.records import CallRecord
from rankshift.study import Study

T = TypeVar("T")

ANSWER_BYTES = 8 * 2**10
"""Of an answer, its verdicts and the calls for them, on disk: three times those of the demo."""


def check_study(study: Study, root: Path, ask_judges: bool) -> Iterator[Check]:
    """Look at every part of a study; nothing is written, and nothing is trained.

    Args:
        study: What is asked.
        root: Where runs are kept.
        ask_judges: Whether judges that are not on this machine are asked too: a call may cost.
    """
    yield check_threads(study.compute)
    base, told = _attempt(lambda: resolve_base(study.base.model, study.base.revision))
    checks = [told or _tell_base(base), *_check_data(study)]
    checks += [_check_judge(name, study, base, ask_judges) for name in study.judges]
    if study.compute.storage is not None:
        checks.append(_check_storage(study))
    checks += check_generator(study)
    yield from checks
    if any(check.state == "fail" for check in checks):
        yield Check("plan", "warn", "not made, for want of a part", "mend what fails above first")
        return
    yield from _check_plan(study, root)


def _attempt(find: Callable[[], T], name: str = "base") -> tuple[T | None, Check | None]:
    """Give what is found and no check, or none and what is said of it, message and fix apart."""
    try:
        return find(), None
    except UserError as error:
        told, _, fix = str(error).rpartition("; ")
        return None, Check(name, "fail", told or fix, fix)


def _tell_base(base: BaseSource | None) -> Check:
    assert base is not None
    revision = f", revision {base.revision}" if base.revision else ""
    return Check("base", "ok", f"{base.name}{revision}, SHA-256 {base.fingerprint[:12]}")


def _check_data(study: Study) -> Iterator[Check]:
    """Find every dataset and question file; a pinned one is checked against its SHA-256."""
    data = study.data
    defences = list_defences(study.grid.defences)
    named = (data.task, data.twin, data.unrelated, *(one.data for one in defences))
    for name in dict.fromkeys(filter(None, named)):
        source, fault = _attempt(lambda name=name: resolve_dataset(name), "data")
        yield fault or Check(
            "data", "ok", f"{name}, SHA-256 {source.sha256[:12] if source else ''}"
        )
    contrasts = filter(None, (one.contrasts for one in defences))
    for name in dict.fromkeys((*study.evaluation.suites, *contrasts)):
        asked, fault = _attempt(lambda name=name: _read_questions(name), "questions")
        yield fault or Check("questions", "ok", f"{name}, {asked}")


def _read_questions(name: str) -> str:
    source = resolve_questions(name)
    file = read_question_file(source.path, name)
    return f"{len(file.questions) + len(file.choices)} to ask, SHA-256 {source.sha256[:12]}"


def _check_judge(name: str, study: Study, base: BaseSource | None, ask: bool) -> Check:
    known = (base.name, base.fingerprint) if base else (None, None)
    judge, fault = _attempt(lambda: find_judge(name, study.judging, *known), "judge")
    if fault is not None:
        return fault
    if not isinstance(judge, AskedJudge):
        return Check("judge", "ok", f"{name}, which takes no calls")
    if judge.place is not None and not ask:
        fix = "give --ask-judges to make one call"
        return Check("judge", "warn", f"{name} at {judge.place}: not asked, it may cost", fix)
    return try_judge(judge)


def try_judge(judge: AskedJudge) -> Check:
    """Make one call, and say whether the judge is there and gives log-probabilities."""
    fix = "see that it runs, its address in judging.base_url, its name and its key"
    try:
        record = asyncio.run(_ask_once(judge))
    except JudgeRefusal as refusal:
        return Check("judge", "fail", f"{judge.name}: {refusal}", fix)
    if record.reason == "failed_call":
        if "no log-probabilities" in record.fault:
            fix = f"name it text:{judge.name.removeprefix('text:')}, or another that gives them"
        return Check("judge", "fail", f"{judge.name}: {record.fault}", fix)
    how = "read by its words" if judge.by_text else "gives log-probabilities"
    return Check("judge", "ok", f"{judge.name} answers and {'is ' * judge.by_text}{how}")


def check_generator(study: Study) -> list[Check]:
    """Look for vLLM where a study's answers are to come from it."""
    if study.evaluation.engine != "vllm":
        return []
    python, fault = _attempt(find_vllm, "vllm")
    return [fault or Check("vllm", "ok", f"answers come from the vLLM of {python}")]


async def _ask_once(judge: AskedJudge) -> CallRecord:
    call = make_call(judge.name, RUBRICS[0], list_gold_answers()[0])
    async with judge.open() as ask:
        return await ask(call)


def _check_storage(study: Study) -> Check:
    """List the run's mirror, which asks for the address and the keys; nothing is written there."""
    try:
        mirror = find_mirror(study)
        assert mirror is not None
        found = mirror.list_sizes()
    except (UserError, WorkError) as error:
        fix = "see to compute.storage, and to the keys in the environment"
        return Check("storage", "fail", str(error), fix)
    return Check("storage", "ok", f"{mirror.url} holds {len(found)} files of this run")


def _check_plan(study: Study, root: Path) -> Iterator[Check]:
    """Plan the study, and hold what it takes against this machine's memory and disk."""
    preview, fault = _attempt(lambda: preview_study(study, root), "plan")
    if preview is None:
        yield fault or Check("plan", "fail", "no plan")
        return
    largest = max((group.total_gib for group in preview.groups), default=0.0)
    told = f"{preview.arms} arms in {len(preview.groups)} groups"
    yield Check("plan", "ok", f"{told}, {preview.steps} steps each, {preview.answers:,} answers")
    room = f"the largest group takes {largest:.2f} GiB of a worker's {preview.worker_gib:.1f}"
    yield Check("memory", "ok", room)
    yield check_disk(root, estimate_disk(study, preview))
    _, fault = _attempt(lambda: _refuse_other(study, root), "run")
    yield fault or Check("run", "ok", f"{root / study.name} is free, or this study's")


def _refuse_other(study: Study, root: Path) -> None:
    resolved = resolve_study(study, root)
    refuse_other_study(study, resolved.parts.fingerprints, root)


def estimate_disk(study: Study, preview: Preview) -> int:
    """Estimate the bytes a study would write: weights of every checkpoint, and all answers.

    State to resume from is counted as if no group were finished, once for each: weights and what
    the optimizer keeps.
    """
    kept = len(study.training.checkpoints) + len(study.training.crossings)
    kept += len(study.training.kl_crossings)
    weights = sum(_weigh(group) * kept for group in preview.groups)
    state = sum(_weigh(group) + group.gib.get("optimizer", 0.0) for group in preview.groups)
    return int((weights + state) * GIB) + preview.answers * ANSWER_BYTES


def _weigh(group: GroupPreview) -> float:
    """Give the GiB of what a group keeps at a checkpoint: its adapters, or the whole model."""
    trained = group.gib.get("adapters", 0.0)
    return trained or group.gib.get("base", 0.0) * (group.method == "full")
