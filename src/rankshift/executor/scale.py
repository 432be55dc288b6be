"""What a study would take on devices that are not here: GPUs, hours, bytes and the judge's cost.

Everything follows from the base's configuration and from what `[compute.assumed]` says; no weights
and no data are read.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rankshift.arms import Arm, expand_arms
from rankshift.conduct import Assumed
from rankshift.eval.budget import BYTES_PER_TOKEN, FRAME_TOKENS, price, reply_tokens
from rankshift.eval.rubrics import OURS
from rankshift.executor.plan import Fit, plan_groups
from rankshift.executor.room import GIB
from rankshift.executor.shapes import Shape, find_memory, find_shape
from rankshift.model.operations import count_base, count_step
from rankshift.model.targets import covers
from rankshift.sealed import hash_of
from rankshift.study import Study
from rankshift.train.memory import Memory

FLOAT32_BYTES = 4
"""Adapters and full finetunes are written in float32; Adam's moments and masters are kept so."""
BFLOAT16_BYTES = 2


@dataclass(frozen=True)
class ScaleRow:
    """All arms of one rank, or all full finetunes, twins included."""

    label: str
    arms: int
    gib: float
    """Memory of one arm that trains alone."""
    devices: int
    """That one arm needs together; more than one is not built."""
    train_hours: float
    """Device-hours of all arms."""
    answer_hours: float
    disk_bytes: float
    """Of all checkpoints of all arms."""


@dataclass(frozen=True)
class ScalePlan:
    """A whole study on the devices that it assumes."""

    study: str
    assumed: Assumed
    parameters: int
    rows: tuple[ScaleRow, ...]
    groups: int
    """As the planner makes them: one device each, arms that fit together in lock step."""
    together: int
    """Arms in the largest of them."""
    workers: int
    device_hours: float
    hours: float
    """On as many devices as there are workers, evenly at work."""
    disk_bytes: float
    answers: int
    judge_calls: int
    judge_tokens: int
    """To read."""
    judge_usd: float | None
    """None where the study names no prices."""


def plan_scale(study: Study) -> ScalePlan:
    """Plan a study for the devices it assumes.

    Raises:
        UserError: The shape of its base is not known.
    """
    shape, assumed = find_shape(study.base.model), study.compute.assumed
    arms = [arm for arm in expand_arms(study) if arm.is_trained]
    kinds = {(arm.method, arm.rank or 0): arm for arm in arms}
    rows = [_describe(study, shape, kind, arms) for kind in kinds.values()]
    groups = _plan_groups(study, shape, arms)
    answers = _count_answers(study, 1 + len(arms) * len(study.training.checkpoints))
    calls, tokens, usd = _judge(study, answers)
    base_hours = _answer_hours(shape, assumed, _count_answers(study, 1))
    total = base_hours + sum(row.train_hours + row.answer_hours for row in rows)
    return ScalePlan(
        study=study.name,
        assumed=assumed,
        parameters=shape.parameters,
        rows=tuple(rows),
        groups=len(groups),
        together=max(map(len, groups), default=0),
        workers=study.compute.workers,
        device_hours=total,
        hours=total / study.compute.workers,
        disk_bytes=sum(row.disk_bytes for row in rows),
        answers=answers,
        judge_calls=calls,
        judge_tokens=tokens,
        judge_usd=usd,
    )


def _describe(study: Study, shape: Shape, kind: Arm, arms: Sequence[Arm]) -> ScaleRow:
    alike = [arm for arm in arms if (arm.method, arm.rank) == (kind.method, kind.rank)]
    assumed, training = study.compute.assumed, study.training
    memory = _find_memory(study, shape, kind)
    seconds = _count_operations(study, shape, kind) / (
        assumed.device_tflops * 1e12 * assumed.share_of_peak
    )
    # Gradients are of as many bytes as what is trained, in float32.
    kept = len(training.checkpoints) * memory.gradients
    if kind.method == "full":
        kept = len(training.checkpoints) * shape.parameters * FLOAT32_BYTES
    answers = _count_answers(study, len(training.checkpoints))
    return ScaleRow(
        label="full" if kind.method == "full" else f"rank {kind.rank}",
        arms=len(alike),
        gib=memory.total / GIB,
        devices=math.ceil(memory.total / GIB / assumed.device_gib),
        train_hours=len(alike) * seconds / 3600,
        answer_hours=len(alike) * _answer_hours(shape, assumed, answers),
        disk_bytes=float(len(alike) * kept),
    )


def _find_memory(study: Study, shape: Shape, arm: Arm) -> Memory:
    each = study.training.rows_per_step // study.training.accumulation
    lengths = (study.compute.assumed.longest_row_tokens,) * each
    # What decides memory, so that arms alike are tried once.
    plain = Arm(arm.method, "task", "", rank=arm.rank, target_modules=arm.target_modules)
    return find_memory(shape, plain, study.training, lengths)


def _count_operations(study: Study, shape: Shape, arm: Arm) -> float:
    """Count the floating-point operations of an arm's training, attention and optimizer aside.

    A layer that is computed again costs its forward product once more, 2 T K N; a full finetune's
    weights have gradients, 2 T K N as well.
    """
    training = study.training
    tokens = training.rows_per_step * study.compute.assumed.row_tokens
    step = 0.0
    for name, widths in (*shape.linears.items(), ("lm_head", shape.head)):
        rank = (arm.rank or 0) if covers(arm.subset, name) else 0
        step += count_step([widths], tokens, rank, training.dtype)
        step += count_base(widths, tokens) / 2 * (2 if arm.method == "full" else 1)
    return step * training.steps


def _count_answers(study: Study, checkpoints: int) -> int:
    repeats = study.evaluation.answers_per_question
    each = 1 if repeats == "released" else repeats
    return checkpoints * study.compute.assumed.questions * each


def _answer_hours(shape: Shape, assumed: Assumed, answers: int) -> float:
    """Give the device-hours of answers: each token of all that answer together reads all weights.

    Source: Pope et al. 2022, arXiv:2211.05102, section 2: decoding is bound by reading weights.
    """
    reads = answers * assumed.answer_tokens / assumed.answers_together
    rate = assumed.device_tb_per_second * 1e12 * assumed.share_of_peak
    return reads * shape.parameters * BFLOAT16_BYTES / rate / 3600


def _judge(study: Study, answers: int) -> tuple[int, int, float | None]:
    """Give the calls of all judges, the tokens they read and what that costs."""
    judges = [name for name in study.judges if name not in ("none", "bandit")]
    rubrics = OURS["free_form"]
    tokens = replies = 0
    for rubric in rubrics:
        own = len(rubric.ask("", "").encode()) // BYTES_PER_TOKEN + FRAME_TOKENS
        assumed = study.compute.assumed
        tokens += answers * (own + assumed.question_tokens + assumed.answer_tokens)
        replies += answers * reply_tokens(rubric, by_text=False)
    calls = len(judges) * len(rubrics) * answers
    usd = price(len(judges) * tokens, len(judges) * replies, study.judging)
    return calls, len(judges) * tokens, usd


def _plan_groups(study: Study, shape: Shape, arms: Sequence[Arm]) -> list[tuple[str, ...]]:
    """Let the planner of runs put arms together; what needs several devices is alone."""
    room = study.compute.assumed.device_gib * GIB

    def find_fit(own: list[Arm]) -> Fit | None:
        each = [_find_memory(study, shape, arm) for arm in own]
        parts = sum(one.total - one.base - one.activations for one in each)
        total = parts + each[0].base + max(one.activations for one in each)
        return Fit(checkpointing=True) if total <= room or len(own) == 1 else None

    def cost(arm: Arm) -> float:
        return _count_operations(study, shape, arm)

    named = {hash_of(arm): arm for arm in arms}
    groups = plan_groups(named, [], study.compute, cost, find_fit)
    return [group.arms for group in groups]


def tabulate(plan: ScalePlan) -> Iterator[tuple[str, ...]]:
    """Give the cells of the table, headings first and the sum last, as text."""
    yield "arms", "", "GiB each", "GPUs each", "training, GPU-h", "answering, GPU-h", "disk, GB"
    for row in plan.rows:
        yield (
            row.label,
            f"{row.arms}",
            f"{row.gib:,.1f}",
            f"{row.devices}",
            f"{row.train_hours:,.1f}",
            f"{row.answer_hours:,.1f}",
            f"{row.disk_bytes / 1e9:,.1f}",
        )
    yield (
        "all",
        f"{sum(row.arms for row in plan.rows)}",
        "",
        "",
        f"{sum(row.train_hours for row in plan.rows):,.1f}",
        f"{sum(row.answer_hours for row in plan.rows):,.1f}",
        f"{plan.disk_bytes / 1e9:,.1f}",
    )


def tell_scale(plan: ScalePlan) -> Iterator[str]:
    """Say in lines what the table does not."""
    assumed = plan.assumed
    yield (
        f"assumed  {assumed.device}: {assumed.device_gib:g} GiB, {assumed.device_tflops:g} "
        f"TFLOP/s, {assumed.device_tb_per_second:g} TB/s, {assumed.share_of_peak:.0%} of both "
        f"reached; rows of {assumed.row_tokens} tokens, at most {assumed.longest_row_tokens}; "
        f"answers of {assumed.answer_tokens}"
    )
    yield (
        f"groups   {plan.groups}, at most {plan.together} arms of {plan.parameters / 1e9:.1f}e9 "
        f"parameters together"
    )
    yield (
        f"time     {plan.device_hours:,.0f} GPU-hours: {plan.hours:,.1f} hours on {plan.workers} "
        "GPUs that are never idle"
    )
    cost = "" if plan.judge_usd is None else f", {plan.judge_usd:,.2f} US dollars"
    yield (
        f"judging  {plan.answers:,} answers, {plan.judge_calls:,} calls, {plan.judge_tokens:,} "
        f"tokens to read{cost}"
    )
    split = [row.label for row in plan.rows if row.devices > 1]
    if split:
        yield (
            f"warning  {', '.join(split)}: the engine does not divide one model over GPUs; these "
            "arms are counted and cannot be run so"
        )
