"""Our side: arms in lock step, in single-threaded processes that start together."""

from collections.abc import Sequence

import torch

from benchmarks.limit import Shape, adapter_operations, base_operations, find_shapes
from benchmarks.measuring import clock
from benchmarks.processes import Stamp, meet, run_together, stamp
from benchmarks.sweep import Run, Sweep, build_group, build_trainee
from rankshift.arms import Arm
from rankshift.executor.plan import balance
from rankshift.train.group import train_group


def run_ours(sweep: Sweep, dtype: str, processes: int, threads: int) -> Run:
    """Train the sweep and leave its adapters under `ours`."""
    shapes = find_shapes(sweep.base)
    tokens = sweep.training.rows_per_step * len(sweep.rows[0].token_ids)
    parts = divide(sweep.arms, [arm_cost(arm, shapes, tokens) for arm in sweep.arms], processes)
    called = clock()
    spans = run_together(train_part, [(sweep, part, dtype, threads) for part in parts], threads)
    first = min(begin.seconds for begin, _ in spans)
    last = max(end.seconds for _, end in spans)
    by_part = {
        "+".join(str(arm.rank) for arm in part): end.seconds - begin.seconds
        for part, (begin, end) in zip(parts, spans, strict=True)
    }
    core_seconds = sum(end.core_seconds - begin.core_seconds for begin, end in spans)
    return Run(last - first, core_seconds, first - called, by_part)


def train_part(
    sweep: Sweep, arms: tuple[Arm, ...], dtype: str, threads: int
) -> tuple[Stamp, Stamp]:
    """Train the arms of one process; give the moments before its first and after its last step."""
    torch.set_num_threads(threads)
    trainee = build_trainee(sweep, arms, dtype)
    group = build_group(sweep, arms)
    stamps: list[Stamp] = []
    meet()
    # Called once with the steps found done, none here, and then after every step.
    train_group(group, trainee, lambda _: stamps.append(stamp()))
    assert len(stamps) == sweep.training.steps + 1, "no earlier state lies in the way"
    for index, arm in enumerate(arms):
        trainee.write(sweep.last_adapter("ours", arm), index)
    return stamps[0], stamps[-1]


def arm_cost(arm: Arm, shapes: Sequence[Shape], tokens: int) -> float:
    """Estimate what an arm costs in a step: the base's products and those of its rank."""
    return base_operations(shapes, tokens) + adapter_operations(shapes, tokens, arm.rank or 0)


def divide(arms: Sequence[Arm], costs: Sequence[float], parts: int) -> list[tuple[Arm, ...]]:
    """Divide arms among processes as a study's planner does."""
    by_number = {str(number): cost for number, cost in enumerate(costs)}
    chosen = balance(by_number, min(parts, len(arms)), len(arms))
    return [tuple(arms[int(number)] for number in part) for part in chosen]
