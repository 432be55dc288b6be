"""Measure how a training step's time grows with arms, ranks and tokens, and where it goes.

    make bench, or: .venv/bin/python -m benchmarks.scaling

One process of one thread over the organism's base. Every case trains for a few steps once a round,
one case right after another, as a study's worker trains a group; the shortest step counts, by the
time that the process computed. The bar: an arm that joins a group adds at most 1.2 times its share
of the arithmetic to the group's time; where several join, their mean is judged.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch

from benchmarks.limit import Operations, count_operations, make_product
from benchmarks.measuring import (
    RESULTS,
    Turns,
    clock,
    spread_of,
    take_turns,
    warn_of_others,
    write_results,
    write_table,
)
from benchmarks.profiling import KINDS, Operation, Profile, add_up, make_recorder
from benchmarks.sweep import (
    DTYPE_NAMES,
    RANKS,
    ROW_TOKENS,
    ROWS_PER_STEP,
    TORCH_DTYPES,
    Sweep,
    build_group,
    build_trainee,
    make_arm,
    make_sweep,
)
from rankshift.train.group import Group, read_forms, train_group
from rankshift.train.trainee import Trainee

NAME = "scaling"
BAR = 1.2
"""Time that joining arms may add, over their share of the arithmetic."""
STEPS = 3
"""Of each case in a round; the first prepares memory and is not counted."""
ONE_RANK = 32
MIXED = (32, 512, 2, 128, 8, 256, 16, 64, 4, 32, 2, 128, 8, 16, 64, 4)
"""Ranks of a mixed group as it grows; nine of them are each rank once."""
GROUP_SIZES = (1, 2, 4, 9, 16)
ROWS = (2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Case:
    """A group of arms, and how much each of them sees in a step."""

    ranks: tuple[int, ...]
    rows: int = ROWS_PER_STEP

    @property
    def tokens(self) -> int:
        """Give the tokens of one arm's step."""
        return self.rows * ROW_TOKENS


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    one_rank: tuple[Case, ...]
    """Groups that grow by arms of one rank."""
    mixed: tuple[Case, ...]
    """Groups that grow by arms of other ranks."""
    ranks: tuple[Case, ...]
    """One arm, of larger and larger rank."""
    tokens: tuple[Case, ...]
    """One arm that sees more and more."""
    profiled: Case

    @property
    def cases(self) -> list[Case]:
        """Give each case once."""
        every = (*self.one_rank, *self.mixed, *self.ranks, *self.tokens, self.profiled)
        return list(dict.fromkeys(every))


FULL = Plan(
    tuple(Case((ONE_RANK,) * size) for size in GROUP_SIZES),
    tuple(Case(MIXED[:size]) for size in GROUP_SIZES),
    tuple(Case((rank,)) for rank in RANKS),
    tuple(Case((ONE_RANK,), rows) for rows in ROWS),
    Case(MIXED[: len(RANKS)]),
)
QUICK = Plan(
    (Case((2,), 2), Case((2, 2), 2)),
    (Case((4,), 2), Case((4, 2), 2)),
    (Case((2,), 2), Case((4,), 2)),
    (Case((2,), 2), Case((2,), 4)),
    Case((4, 2), 2),
)


@dataclass(frozen=True)
class Cost:
    """What a step of a group takes."""

    operations: float
    seconds: float


@dataclass(frozen=True)
class Timing:
    """The shortest of a round's steps."""

    seconds: float
    core_seconds: float
    """Computed by this process, whatever others did meanwhile."""


@dataclass
class Bench:
    """A case that is ready to be trained."""

    group: Group
    trainee: Trainee
    operations: Operations


@dataclass
class Findings:
    """What was measured in one dtype."""

    operations: dict[Case, Operations]
    timings: dict[Case, list[Timing]]
    """A round after another."""
    others_cores: list[float]
    rate: float
    """Operations per second of one thread in one plain product."""

    def cost(self, case: Case) -> Cost:
        """Give a case's arithmetic and its shortest time: others can only lengthen one."""
        shortest = min(timing.core_seconds for timing in self.timings[case])
        return Cost(self.operations[case].total, shortest)

    def share(self, case: Case) -> float:
        """Give which part of the measured rate a step reaches."""
        cost = self.cost(case)
        return cost.operations / cost.seconds / self.rate


def marginal_ratio(before: Cost, after: Cost) -> float:
    """Give what joining arms add to a group's time, over their share of the group's arithmetic."""
    added_time = (after.seconds - before.seconds) / before.seconds
    added_operations = (after.operations - before.operations) / before.operations
    return added_time / added_operations


def main() -> None:
    """Measure, print Markdown, and write the results."""
    options = read_options()
    torch.set_num_threads(1)
    plan = QUICK if options.quick else FULL
    asked = {name: str(value) for name, value in vars(options).items() if name != "results"}
    figures: dict[str, object] = {"options": asked}
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        sweep = make_sweep((plan.ranks[0].ranks[0],), STEPS, Path(folder))
        for dtype in options.dtypes.split(","):
            benches = {case: prepare(sweep, case, dtype) for case in plan.cases}
            findings = measure(benches, dtype, options.rounds)
            seen = profile_steps(benches[plan.profiled], plan.profiled, options.rounds)
            print(*tabulate(plan, findings, dtype), sep="\n")
            print(*tabulate_profile(plan.profiled, findings, seen), sep="\n", flush=True)
            figures[dtype] = describe(plan, benches, findings, seen)
            lines.append(sum_up(plan, findings, seen, dtype))
    print(f"raw figures: {write_results(NAME, figures, lines, options.results)}\n")
    print(*lines, sep="\n")


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{NAME}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each case is measured")
    parser.add_argument("--dtypes", default="fp32,bf16", help=f"some of {','.join(TORCH_DTYPES)}")
    parser.add_argument("--quick", action="store_true", help="tiny cases, 1 round: a smoke test")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    return options


def prepare(sweep: Sweep, case: Case, dtype: str) -> Bench:
    """Put a case's arms over a base of their own."""
    arms = tuple(make_arm(rank) for rank in case.ranks)
    training = replace(sweep.training, rows_per_step=case.rows, steps=STEPS)
    own = replace(sweep, arms=arms, training=training)
    operations = count_operations(own, DTYPE_NAMES[dtype])
    return Bench(build_group(own, arms), build_trainee(own, arms, dtype), operations)


def measure(benches: dict[Case, Bench], dtype: str, rounds: int) -> Findings:
    """Train every case once a round, each right after a look at the rate."""
    multiply = make_product(TORCH_DTYPES[dtype])
    rates: list[float] = []

    def take_round() -> dict[Case, Timing]:
        timings = {}
        for case, bench in benches.items():
            rates.append(multiply(time.process_time))
            timings[case] = time_steps(bench)
        return timings

    for bench in benches.values():
        time_steps(bench)  # chooses forms, and fills caches
    turns: Turns[dict[Case, Timing]] = take_turns(
        {f"{dtype}, {len(benches)} cases": take_round}, rounds
    )
    (found,), (others,) = turns.by_side.values(), turns.others_cores.values()
    timings = {case: [by_case[case] for by_case in found] for case in benches}
    return Findings({c: b.operations for c, b in benches.items()}, timings, others, max(rates))


def time_steps(bench: Bench) -> Timing:
    """Train a case from its first step; give the shortest step but the first."""
    moments: list[tuple[float, float]] = []
    train_group(
        bench.group, bench.trainee, lambda _: moments.append((clock(), time.process_time()))
    )
    assert len(moments) == STEPS + 1, "no earlier state lies in the way"
    walls, cores = zip(*moments[1:], strict=True)
    return Timing(min(differences(walls)), min(differences(cores)))


def differences(moments: Sequence[float]) -> Iterator[float]:
    """Give the time between each moment and the next."""
    return (later - earlier for earlier, later in pairwise(moments))


def profile_steps(bench: Bench, case: Case, rounds: int) -> Profile:
    """Look into a step several times; give the shortest."""
    seen = [profile_step(bench, case) for _ in range(rounds)]
    return min(seen, key=lambda one: one.seconds)


def profile_step(bench: Bench, case: Case) -> Profile:
    """Train a case once more and look into its last step."""
    begin, end = make_recorder()
    operations: list[Operation] = []
    moments: list[float] = []

    def advance(_: int) -> None:
        moments.append(clock())
        if len(moments) == STEPS:
            begin()
            moments[-1] = clock()
        if len(moments) == STEPS + 1:
            operations.extend(end())

    train_group(bench.group, bench.trainee, advance)
    vocabulary = bench.trainee.model.config.vocab_size
    return add_up(operations, moments[-1] - moments[-2], set(case.ranks), vocabulary)


def marginal_ratios(cases: Sequence[Case], findings: Findings) -> list[float]:
    """Give the marginal ratio of every group but the smallest, over the next smaller one."""
    costs = [findings.cost(case) for case in cases]
    return [marginal_ratio(*pair) for pair in pairwise(costs)]


def tabulate(plan: Plan, findings: Findings, dtype: str) -> list[str]:
    """Write the four tables."""
    lines = [f"\n{dtype}: one thread reaches {findings.rate / 1e9:.0f} GFLOP/s in one product"]
    for title, cases in (
        (f"arms of rank {plan.one_rank[0].ranks[0]}", plan.one_rank),
        ("arms of mixed ranks", plan.mixed),
    ):
        ratios = ["", *(f"{ratio:.2f}" for ratio in marginal_ratios(cases, findings))]
        labels = [str(len(case.ranks)) for case in cases]
        headings = (title, *COLUMNS, "marginal cost over its share")
        rows = [
            (label, *describe_case(case, findings), ratio)
            for label, case, ratio in zip(labels, cases, ratios, strict=True)
        ]
        lines += ["", *write_table(headings, rows)]
    by_rank = [(str(case.ranks[0]), *describe_case(case, findings)) for case in plan.ranks]
    lines += ["", *write_table(("rank of one arm", *COLUMNS), by_rank)]
    by_tokens = [(str(case.tokens), *describe_case(case, findings)) for case in plan.tokens]
    rank = plan.tokens[0].ranks[0]
    return [*lines, "", *write_table((f"tokens, one arm of rank {rank}", *COLUMNS), by_tokens)]


COLUMNS = ("GFLOP", "s a step (CPU)", "s a step (wall, median)", "share of the rate")


def describe_case(case: Case, findings: Findings) -> tuple[str, ...]:
    """Write a case's figures, in the order of the columns."""
    cost = findings.cost(case)
    wall = spread_of([timing.seconds for timing in findings.timings[case]]).median
    share = f"{findings.share(case):.0%}".replace("%", " %")
    return f"{cost.operations / 1e9:.2f}", f"{cost.seconds:.4f}", f"{wall:.4f}", share


def tabulate_profile(case: Case, findings: Findings, seen: Profile) -> list[str]:
    """Write where a step's time goes, and how fast the products of each kind are."""
    operations = findings.operations[case]
    counted = dict(
        zip(KINDS, (operations.base, operations.adapters, operations.head), strict=False)
    )
    rows = []
    for kind, seconds in seen.by_kind.items():
        told = ("", "")
        if kind in counted:
            reached = counted[kind] / seconds / findings.rate
            told = (f"{counted[kind] / 1e9:.1f}", f"{reached:.0%}".replace("%", " %"))
        share = f"{seconds / seen.seconds:.1%}".replace("%", " %")
        rows.append((kind, f"{seconds:.4f}", share, *told))
    slower = seen.seconds / findings.cost(case).seconds - 1
    return [
        "",
        f"where a step of {len(case.ranks)} arms goes ({slower:+.0%} under the profiler)",
        "",
        *write_table(("", "s", "share", "GFLOP", "share of the rate"), rows),
    ]


def describe(
    plan: Plan, benches: dict[Case, Bench], findings: Findings, seen: Profile
) -> dict[str, object]:
    """Give the raw figures."""
    return {
        "operations_per_second": findings.rate,
        "others_cores": findings.others_cores,
        "cases": [
            asdict(case)
            | {
                "tokens": case.tokens,
                "operations": asdict(findings.operations[case]),
                "timings": [asdict(timing) for timing in findings.timings[case]],
                "share_of_rate": findings.share(case),
                "forms": [
                    read_forms(benches[case].group.state_folder, index)
                    for index in range(len(case.ranks))
                ],
            }
            for case in plan.cases
        ],
        "marginal_ratios": {
            "one rank": marginal_ratios(plan.one_rank, findings),
            "mixed ranks": marginal_ratios(plan.mixed, findings),
        },
        "profile": asdict(plan.profiled) | asdict(seen),
    }


def sum_up(plan: Plan, findings: Findings, seen: Profile, dtype: str) -> str:
    """Say the finding in one line."""
    worst = max(
        ratio for cases in (plan.one_rank, plan.mixed) for ratio in marginal_ratios(cases, findings)
    )
    products = (seen.by_kind["base products"] + seen.by_kind["adapters' products"]) / seen.seconds
    judged = "kept" if worst <= BAR else "NOT KEPT"
    case = plan.profiled
    return (
        f"{NAME} {dtype} an arm adds at most {worst:.2f} of its share of the arithmetic "
        f"(bar {BAR}: {judged}); {len(case.ranks)} mixed ranks reach {findings.share(case):.0%} of "
        f"one product's rate, {products:.0%} of their time is products"
        f"{warn_of_others([findings.others_cores])}"
    )


if __name__ == "__main__":
    main()
