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

from benchmarks.growth import Case, Findings, Plan, Timing, marginal_ratios, sum_up, tabulate
from benchmarks.limit import Operations, count_operations, make_product
from benchmarks.measuring import RESULTS, Turns, clock, take_turns, write_results
from benchmarks.profiling import Operation, Profile, add_up, make_recorder
from benchmarks.sweep import (
    DTYPE_NAMES,
    RANKS,
    TORCH_DTYPES,
    Sweep,
    build_group,
    build_trainee,
    make_arm,
    make_sweep,
)
from rankshift.train.group import read_forms, train_group
from rankshift.train.roster import Group
from rankshift.train.trainee import Trainee

NAME = "scaling"
STEPS = 3
"""Of each case in a round; the first prepares memory and is not counted."""
ONE_RANK = 32
MIXED = (32, 512, 2, 128, 8, 256, 16, 64, 4, 32, 2, 128, 8, 16, 64, 4)
"""Ranks of a mixed group as it grows; nine of them are each rank once."""
GROUP_SIZES = (1, 2, 4, 9, 16)
ROWS = (2, 4, 8, 16, 32, 64)


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


@dataclass
class Bench:
    """A case that is ready to be trained."""

    group: Group
    trainee: Trainee
    operations: Operations


def main() -> None:
    """Measure, print Markdown, and write the results."""
    options = read_options()
    torch.set_num_threads(1)
    plan = QUICK if options.quick else FULL
    asked = {name: str(value) for name, value in vars(options).items() if name != "results"}
    figures: dict[str, object] = {"options": asked}
    by_dtype: dict[str, Findings] = {}
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        sweep = make_sweep((plan.ranks[0].ranks[0],), STEPS, Path(folder))
        for dtype in options.dtypes.split(","):
            benches = {case: prepare(sweep, case, dtype) for case in plan.cases}
            findings = measure(benches, dtype, plan.profiled, options.rounds)
            by_dtype[dtype] = findings
            figures[dtype] = describe(plan, benches, findings)
            lines.append(sum_up(NAME, dtype, plan, findings))
    rates = ", ".join(f"{name} {f.rate / 1e9:.0f} GFLOP/s" for name, f in by_dtype.items())
    print(f"one thread in one product: {rates}")
    print(*tabulate(plan, by_dtype), "", sep="\n")
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


def measure(benches: dict[Case, Bench], dtype: str, profiled: Case, rounds: int) -> Findings:
    """Train every case once a round, each right after a look at the rate; then profile one."""
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
    operations = {case: bench.operations for case, bench in benches.items()}
    seen = profile_steps(benches[profiled], profiled, rounds)
    return Findings(operations, timings, others, max(rates), seen)


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


def describe(plan: Plan, benches: dict[Case, Bench], findings: Findings) -> dict[str, object]:
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
        "profile": asdict(plan.profiled) | asdict(findings.profile),
    }


if __name__ == "__main__":
    main()
