"""Plan 10,000 arms and hand them to simulated workers: planner and hand-out are the real ones.

    PYTHONPATH=src python -m benchmarks.scheduling

Only the clock is not real: a worker is busy for as many seconds as its group has operations, and
nothing is trained. Whether groups fit into memory is decided by the sum of their ranks, which takes
no time, where a run would lay out tensors.
"""

import heapq
import random
import resource
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time

from rankshift.arms import Arm, expand_arms
from rankshift.conduct import Compute
from rankshift.executor.handing import Lost, Report, hand_out
from rankshift.executor.plan import (
    Fit,
    Group,
    plan_groups,
    read_plan,
    sort_longest_first,
    write_plan,
)
from rankshift.grid import Grid
from rankshift.model.operations import count_step
from rankshift.sealed import hash_of
from rankshift.study import Base, Data, Evaluation, Study

RANKS = (2, 4, 8, 16, 32, 64, 128, 256, 512)
RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
SHAPE = ((256, 256), (256, 1024), (1024, 256))
"""K and N of the projections that costs are counted for."""
TOKENS = 1024
MOST_RANKS = 2048
"""Groups with a larger sum of ranks are halved."""
LOSS_SECONDS = 1.0
"""What it takes to see that a worker is gone."""


def list_arms(seeds: int) -> dict[str, Arm]:
    """List 100 arms for each seed, and the base: ranks under two scalings, ten rates in full."""
    study = Study(
        name="large",
        base=Base("none"),
        data=Data(task="none"),
        grid=Grid(
            ranks=RANKS,
            seeds=tuple(range(seeds)),
            scalings=("alpha/rank", "alpha/sqrt(rank)"),
            alphas=(16.0,),
            learning_rates=RATES,
            full_learning_rates=tuple(rate * part for rate in RATES for part in (1, 2)),
        ),
        evaluation=Evaluation(("none",)),
    )
    return {hash_of(arm): arm for arm in expand_arms(study)}


def count_seconds(arm: Arm) -> float:
    """Give the time of an arm on the simulated clock: of the operations of a step, in 1e9."""
    operations = count_step(SHAPE, TOKENS, arm.rank or 0)
    return operations * (1.5 if arm.method == "full" else 1.0) / 1e9


@dataclass
class ClockedCrew:
    """Workers that are busy for as long as a group takes; some are lost on the way."""

    size: int
    seconds: dict[str, float]
    """By the group's id."""
    loss: float = 0.0
    """How likely a worker is lost over a group, at any point of it."""
    now: float = 0.0
    done: dict[str, float] = field(default_factory=dict)
    """Share of a group that is on disk."""
    _ends: list[tuple[float, int, Group, float]] = field(default_factory=list)
    _chance: random.Random = field(default_factory=lambda: random.Random(0))

    def take(self, worker: int, task: Group) -> None:
        """Start a group, or go on where the worker before was lost."""
        before = self.done.get(task.id, 0.0)
        is_lost = self._chance.random() < self.loss
        share = self._chance.uniform(before, 1.0) if is_lost else 1.0
        end = self.now + (share - before) * self.seconds[task.id]
        heapq.heappush(self._ends, (end, worker, task, share))

    def wait(self) -> list[tuple[int, Report]]:
        """Let the clock go to the next end."""
        self.now, worker, task, share = heapq.heappop(self._ends)
        self.done[task.id] = share
        steps = round(1000 * share) * len(task.arms)
        told: Report = ("steps", steps)
        if share < 1.0:
            self.now += LOSS_SECONDS
            return [(worker, told), (worker, Lost("simulated"))]
        return [(worker, told), (worker, None)]


@dataclass(frozen=True)
class Outcome:
    """What planning and handing out took, and how well the workers were used."""

    arms: int
    groups: int
    plan_seconds: float
    """Of computing, as is the next: other processes do not count."""
    hand_out_seconds: float
    makespan: float
    """On the simulated clock, seconds."""
    bound: float
    """No order ends before: the work of each worker, or the longest group."""
    steps: int
    """As they were told, 1000 for each arm."""
    peak_bytes: int
    """Of this process."""


def simulate(seeds: int, workers: int, loss: float = 0.0) -> Outcome:
    """Plan and hand out; the plan goes through its file, as a run's does."""
    begun = process_time()
    arms = list_arms(seeds)
    compute = Compute(workers=workers)

    def find_fit(own: list[Arm]) -> Fit | None:
        return Fit() if len(own) == 1 or sum(arm.rank or 0 for arm in own) <= MOST_RANKS else None

    planned = plan_groups(arms, [], compute, count_seconds, find_fit)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        write_plan(path, planned)
        groups = read_plan(path)
    costs = {one.id: sum(count_seconds(arms[name]) for name in one.arms) for one in groups}
    planned_at = process_time()
    crew, steps = ClockedCrew(workers, costs, loss), 0

    def advance(kind: str, amount: int) -> None:
        nonlocal steps
        steps += amount

    hand_out(sort_longest_first(groups, lambda group: costs[group.id]), crew, advance)
    return Outcome(
        arms=len(arms),
        groups=len(groups),
        plan_seconds=planned_at - begun,
        hand_out_seconds=process_time() - planned_at,
        makespan=crew.now,
        bound=max(sum(costs.values()) / workers, *costs.values()),
        steps=steps,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def main() -> None:
    """Print a line for each number of workers."""
    for workers, loss in ((8, 0.0), (64, 0.0), (256, 0.0), (64, 0.2)):
        o = simulate(100, workers, loss)
        print(
            f"{o.arms:,} arms in {o.groups:,} groups, {workers} workers, {loss:.0%} lost: planned "
            f"in {o.plan_seconds:.1f} s, handed out in {o.hand_out_seconds:.2f} s, makespan "
            f"{o.makespan / o.bound:.3f} of the lower bound, peak {o.peak_bytes / 2**20:.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
