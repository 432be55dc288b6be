"""How a step's time grows beside its arithmetic: what was measured, and the tables that say it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.limit import Operations
from benchmarks.measuring import warn_of_others, write_table
from benchmarks.profiling import KINDS, Profile
from benchmarks.sweep import ROW_TOKENS, ROWS_PER_STEP

BAR = 1.2
"""Time that joining arms may add, over their share of the arithmetic."""


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
class Findings:
    """What was measured in one dtype."""

    operations: dict[Case, Operations]
    timings: dict[Case, list[Timing]]
    """A round after another."""
    others_cores: list[float]
    rate: float
    """Operations per second of one thread in one plain product."""
    profile: Profile
    """Of one step of the profiled case."""

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


def marginal_ratios(cases: Sequence[Case], findings: Findings) -> list[float]:
    """Give the marginal ratio of every group but the smallest, over the next smaller one."""
    costs = [findings.cost(case) for case in cases]
    return [marginal_ratio(*pair) for pair in pairwise(costs)]


def worst_ratio(plan: Plan, findings: Findings) -> float:
    """Give the largest marginal ratio of any group."""
    return max(*marginal_ratios(plan.one_rank, findings), *marginal_ratios(plan.mixed, findings))


def tabulate(plan: Plan, by_dtype: Mapping[str, Findings]) -> list[str]:
    """Write all tables, the dtypes side by side."""
    rank = plan.one_rank[0].ranks[0]
    arms = {case: str(len(case.ranks)) for case in (*plan.one_rank, *plan.mixed)}
    ranks = {case: str(case.ranks[0]) for case in plan.ranks}
    tokens = {case: str(case.tokens) for case in plan.tokens}
    return [
        *tabulate_cases(f"arms of rank {rank}", plan.one_rank, arms, by_dtype),
        *tabulate_cases("arms of mixed ranks", plan.mixed, arms, by_dtype),
        *tabulate_cases("rank of one arm", plan.ranks, ranks, by_dtype, growing=False),
        *tabulate_cases(
            f"tokens, one arm of rank {rank}", plan.tokens, tokens, by_dtype, growing=False
        ),
        *tabulate_profile(plan.profiled, by_dtype),
    ]


def tabulate_cases(
    title: str,
    cases: Sequence[Case],
    labels: Mapping[Case, str],
    by_dtype: Mapping[str, Findings],
    growing: bool = True,
) -> list[str]:
    """Write a table of cases; where groups grow, with what joining arms add over their share."""
    told = ("GFLOP", "s a step", "of the rate", *(("over share",) if growing else ()))
    headings = (title, *(f"{dtype} {each}" for dtype in by_dtype for each in told))
    rows = [[labels[case]] for case in cases]
    for findings in by_dtype.values():
        ratios = ["", *(f"{ratio:.2f}" for ratio in marginal_ratios(cases, findings))]
        for row, case, ratio in zip(rows, cases, ratios, strict=True):
            cost = findings.cost(case)
            row += [f"{cost.operations / 1e9:.1f}", f"{cost.seconds:.3f}"]
            row += [percent(findings.share(case)), *((ratio,) if growing else ())]
    return ["", *write_table(headings, rows)]


def tabulate_profile(case: Case, by_dtype: Mapping[str, Findings]) -> list[str]:
    """Write where a step's time goes, and which part of the rate each kind of product reaches."""
    title = f"where a step of {len(case.ranks)} arms goes"
    told = ("share", "of the rate")
    headings = (title, *(f"{dtype} {each}" for dtype in by_dtype for each in told))
    rows = [[str(kind)] for kind in KINDS]
    for findings in by_dtype.values():
        operations, seen = findings.operations[case], findings.profile
        counted = (operations.base, operations.adapters, operations.head)
        reached = dict(zip(KINDS, counted, strict=False))
        for row, kind in zip(rows, KINDS, strict=True):
            seconds = seen.by_kind[kind]
            rate = reached[kind] / seconds / findings.rate if kind in reached else None
            row += [percent(seconds / seen.seconds), "" if rate is None else percent(rate)]
    return ["", *write_table(headings, rows)]


def percent(share: float) -> str:
    """Write a share as docs/ do."""
    return f"{100 * share:.0f} %"


def sum_up(name: str, dtype: str, plan: Plan, findings: Findings) -> str:
    """Say the finding in one line."""
    seen, case, worst = findings.profile, plan.profiled, worst_ratio(plan, findings)
    products = (seen.by_kind["base products"] + seen.by_kind["adapters' products"]) / seen.seconds
    judged = "kept" if worst <= BAR else "NOT KEPT"
    return (
        f"{name} {dtype} an arm adds at most {worst:.2f} of its share of the arithmetic "
        f"(bar {BAR}: {judged}); {len(case.ranks)} mixed ranks reach {findings.share(case):.0%} of "
        f"one product's rate, {products:.0%} of their time is products"
        f"{warn_of_others([findings.others_cores])}"
    )
