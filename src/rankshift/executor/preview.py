"""What a study would do, before anything of it is done."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rankshift.analysis.power import Power, Spread, estimate_spread, find_power
from rankshift.arms import Arm
from rankshift.errors import UserError
from rankshift.eval.answering import group_by_repeats
from rankshift.eval.budget import BYTES_PER_TOKEN, FRAME_TOKENS, price, reply_tokens
from rankshift.eval.judges import AskedJudge
from rankshift.eval.suite import Question
from rankshift.executor.plan import Group
from rankshift.executor.resolving import ResolvedStudy, resolve_study
from rankshift.executor.room import GIB, is_tight
from rankshift.executor.run import cost_of, make_plan
from rankshift.executor.step_sizes import StepSizes, list_step_sizes
from rankshift.executor.todo import count_crossings
from rankshift.executor.vllm.child import find_vllm
from rankshift.study import Study


@dataclass(frozen=True)
class GroupPreview:
    """One group of arms, as it would train."""

    id: str
    method: str
    role: str
    arms: tuple[str, ...]
    """Labels, in the order of the rows."""
    us: tuple[float | None, ...]
    """Step size u = scale x rank x learning rate of each arm; None of what is no adapter."""
    summary: str
    arms_per_pass: int
    """How many go through the model together."""
    checkpointing: bool
    """Whether layers are computed again in the backward pass."""
    frees_at_once: bool
    """Whether freed memory goes back to the system at once, for want of room."""
    gib: dict[str, float]
    """Memory of the tensors, by part."""
    total_gib: float
    step_gflop: float
    """Floating-point operations of one optimizer step in products with the base's layers."""


@dataclass(frozen=True)
class JudgePreview:
    """What one judge that is a model would be asked."""

    judge: str
    calls: int
    """At most: answers that are alike share a call."""
    input_tokens: int
    """About, with every answer as long as it may be."""
    usd: float | None
    """None where the study names no prices."""
    place: str | None
    """Host that questions and answers would go to; None for this machine."""


@dataclass(frozen=True)
class Preview:
    """A whole study."""

    study: str
    arms: int
    workers: int
    worker_gib: float
    """What each worker may use."""
    groups: tuple[GroupPreview, ...]
    steps: int
    """Of every arm."""
    tokens: int
    """Read in training, all arms together, about."""
    tflop: float
    """Of all training, attention, head and optimizer aside."""
    answers: int
    """To be sampled, all checkpoints together; at most, where arms may not cross what is asked."""
    judging: tuple[JudgePreview, ...]
    power: Power | None
    """What peak the verdict would see; None where no ranks are trained."""
    step_sizes: tuple[StepSizes, ...]
    """How u goes over the ranks of the grid, for each setting."""
    lacks: str | None = None
    """What is not there and will be needed, with the fix."""


def preview_study(study: Study, root: Path, pilot: Path | None = None) -> Preview:
    """Plan a study and write nothing.

    Args:
        study: What is asked.
        root: Where studies are kept.
        pilot: Directory of a finished study, from whose results the spread of rates is estimated;
            None takes guesses.

    Raises:
        UserError: Something the user wrote cannot be done.
    """
    resolved = resolve_study(study, root)
    groups = [_describe(group, resolved) for group in make_plan(resolved)]
    trained = [arm for arm in resolved.arms.values() if arm.is_trained]
    per_arm = study.training.steps * study.training.accumulation
    checkpoints = len(study.training.checkpoints) + count_crossings(study.training)
    asked = group_by_repeats(resolved.material.questions, study.evaluation)
    per_checkpoint = sum(repeats * len(questions) for repeats, questions in asked.items())
    measured = sum(checkpoints if arm.has_steps else 1 for arm in resolved.arms.values())
    return Preview(
        study=study.name,
        arms=len(resolved.arms),
        workers=study.compute.workers,
        worker_gib=resolved.room.bytes / GIB,
        groups=tuple(groups),
        steps=study.training.steps,
        tokens=len(trained) * per_arm * (resolved.batch_tokens if trained else 0),
        tflop=sum(_step_operations(resolved, arm) for arm in trained) * study.training.steps / 1e12,
        answers=measured * per_checkpoint,
        judging=tuple(
            _describe_judge(judge, study, asked, measured)
            for judge in resolved.parts.judges.values()
            if isinstance(judge, AskedJudge)
        ),
        power=_find_power(study, asked, pilot),
        step_sizes=tuple(list_step_sizes(study.grid)),
        lacks=_find_lack(study),
    )


def _find_lack(study: Study) -> str | None:
    """Say that vLLM is asked for and not found: a plan may be made on another machine."""
    if study.evaluation.engine != "vllm":
        return None
    try:
        find_vllm()
    except UserError as error:
        return str(error)
    return None


def _find_power(
    study: Study, asked: Mapping[int, list[Question]], pilot: Path | None
) -> Power | None:
    """Simulate what the verdict would see on the primary questions, each setting alone."""
    if not study.grid.ranks:
        return None
    primary = study.evaluation.suites[0] if study.evaluation.suites else ""
    clusters, answers = set[str](), 0
    for repeats, questions in asked.items():
        own = [q for q in questions if (q.question_set, q.kind) == (primary, "free_form")]
        clusters.update(question.cluster for question in own)
        answers += repeats * len(own)
    number = len(clusters)
    each = answers / number if number else 0.0
    spread = Spread() if pilot is None else _read_spread(pilot)
    ranks, seeds = sorted(set(study.grid.ranks)), len(study.grid.seeds)
    return find_power(ranks, seeds, (number, each), spread, study.analysis)


def _read_spread(pilot: Path) -> Spread:
    path = pilot / "results.json"
    try:
        spread = estimate_spread(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path}: not the results of a study; give its directory") from None
    if spread is None:
        raise UserError(f"{path}: has no primary curve of 2 seeds and 2 ranks; leave --pilot out")
    return spread


def _describe(group: Group, resolved: ResolvedStudy) -> GroupPreview:
    arms = [resolved.arms[name] for name in group.arms]
    fit, trains = group.fit, arms[0].is_trained
    return GroupPreview(
        id=group.id,
        method=group.method,
        role=group.role,
        arms=tuple(arm.label for arm in arms),
        us=tuple(arm.u for arm in arms),
        summary=_summarize(arms),
        arms_per_pass=fit.arms_per_pass,
        checkpointing=fit.checkpointing,
        frees_at_once=is_tight(fit, resolved.room),
        gib={part: size / GIB for part, size in fit.bytes_by_part.items()},
        total_gib=fit.total_bytes / GIB,
        step_gflop=sum(_step_operations(resolved, arm) for arm in arms) / 1e9 if trains else 0.0,
    )


def _describe_judge(
    judge: AskedJudge, study: Study, asked: Mapping[int, list[Question]], measured: int
) -> JudgePreview:
    """Estimate the calls for answers that are not there yet."""
    longest = study.evaluation.max_answer_tokens
    calls = tokens = replies = 0
    for repeats, questions in asked.items():
        for question in questions:
            times = repeats * measured
            for rubric in question.rubrics:
                text = len(rubric.ask(question.prompt, "").encode()) // BYTES_PER_TOKEN
                calls += times
                tokens += times * (text + longest + FRAME_TOKENS)
                replies += times * reply_tokens(rubric, judge.by_text)
    usd = price(tokens, replies, study.judging)
    return JudgePreview(judge.name, calls, tokens, usd, judge.place)


def _summarize(arms: list[Arm]) -> str:
    """Say in a few words which arms a group holds."""
    if len(arms) == 1:
        return arms[0].label
    twins = " twins" if arms[0].role == "twin" else ""
    if arms[0].is_derived:
        return f"{len(arms)}{twins} made of finished updates"
    ranks = sorted({arm.rank or 0 for arm in arms})
    span = f"rank {ranks[0]}" + (f" to {ranks[-1]}" if ranks[1:] else "")
    twins += " given" if arms[0].is_given else ""
    us = sorted({float(f"{arm.u:.9g}") for arm in arms if arm.u is not None})
    steps = f", u {us[0]:g}" + (f" to {us[-1]:g}" if us[1:] else "") if us else ""
    return f"{len(arms)}{twins} of {span}{steps}"


def _step_operations(resolved: ResolvedStudy, arm: Arm) -> float:
    return cost_of(resolved, arm) * resolved.study.training.accumulation
