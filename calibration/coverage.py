"""Measure how often an interval holds the truth that it is about.

    make calibration, or: .venv/bin/python -m calibration.coverage [--repetitions 1000]

Four targets: `these-questions` (over seeds), `new-questions` (over seeds and questions), `one-arm`
(one seed, over questions) and `excess` (a task less its twin, over seeds). The bar: where the rate
is 5 % or more and there are 24 questions or more, an interval of nominal 95 % covers the first two
at least 92 times out of 100, as estimated, with no allowance for Monte Carlo error. Covering more
never fails; the mean width says what it costs. Beside each stands an interval that was not chosen.
"""

import argparse
import json
import math
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from calibration.alternatives import (
    bound_by_logit_of_mean,
    bound_by_logits_of_seeds,
    bound_by_paired_t,
    bound_without_prior,
)
from calibration.differences import bound_excess, draw_pairs
from calibration.truths import Truth, draw_studies
from rankshift.analysis.clustering import Numbers
from rankshift.analysis.crossed import bound_new_questions
from rankshift.analysis.intervals import bound_over_clusters, bound_over_seeds
from rankshift.provenance import gather_provenance
from rankshift.records import write_atomically

RESULTS = Path(__file__).parent / "results"

BAR = 0.92
LEAST_RATE = 0.05
FEWEST_QUESTIONS = 24
BARRED = ("these-questions", "new-questions")

RATES = (0.0, 0.01, 0.05, 0.10, 0.30, 0.60, 0.90)
SEEDS = (3, 5, 10)
QUESTIONS = (8, 24, 48)
ANSWERS = (10, 50)
ICCS = (0.05, 0.15, 0.30)
SPREADS = ((0.05, 0.04), (0.15, 0.06), (0.30, 0.10))
"""ICC with SD over seeds: the mild end, the middle and the strong end of real data.

The SD is never taken above the rate (or its complement): seeds would then mostly show nothing.
"""


@dataclass(frozen=True)
class Finding:
    """How often one interval held its target."""

    target: str
    truth: Truth
    repetitions: int
    coverage: float
    error: float
    """Monte Carlo standard error of the coverage."""
    width: float
    """Mean over studies."""
    below: float
    """How often the truth was under the low end."""
    above: float
    other_coverage: float
    """Of the alternative, on the same studies."""
    other_width: float

    @property
    def has_bar(self) -> bool:
        """Say whether this coverage can fail."""
        many = self.truth.questions >= FEWEST_QUESTIONS
        return self.target in BARRED and self.truth.rate >= LEAST_RATE and many

    @property
    def last_line(self) -> str:
        """Say the finding in one line."""
        return f"coverage {self.target}/{self.truth.name} {self.coverage:.2f}"


def list_cells() -> Iterator[Truth]:
    """List the truths of cells of several seeds, each once."""
    listed = dict.fromkeys(
        Truth(rate, *_limit(rate, spread), seeds, questions, answers, coherent)
        for rate, seeds, questions in product(RATES, SEEDS, QUESTIONS)
        for spread, answers, coherent in (
            *((spread, ANSWERS[0], 1.0) for spread in SPREADS),
            *((spread, ANSWERS[1], 1.0) for spread in SPREADS[1:]),
            *((spread, ANSWERS[0], 0.6) for spread in SPREADS[1:] if rate > 0),
        )
    )
    yield from listed


def list_arms() -> Iterator[Truth]:
    """List the truths of one arm, each once; its seed is part of what is true of it."""
    yield from dict.fromkeys(
        Truth(rate, icc if rate else 0.0, 0.0, 1, questions, answers)
        for rate, icc, questions, answers in product(RATES, ICCS, QUESTIONS, ANSWERS)
    )


def list_tasks() -> Iterator[Truth]:
    """List the truths of tasks that are set beside a twin."""
    for rate, seeds, spread in product(RATES[2:], SEEDS, SPREADS[1:]):
        yield Truth(rate, *_limit(rate, spread), seeds, QUESTIONS[1], ANSWERS[0])


def measure(truth: Truth, repetitions: int) -> list[Finding]:
    """Draw studies of one truth and count what covers; the same truth is always drawn alike."""
    rng = np.random.default_rng(zlib.crc32(truth.name.encode()))
    draws = draw_studies(truth, repetitions, rng)
    by_cell = draws.events, draws.sizes
    if truth.seeds == 1:
        by_question = draws.events[:, 0], draws.sizes[:, 0]
        ends, other = bound_over_clusters(*by_question), bound_without_prior(*by_question)
        return [count_covered("one-arm", truth, draws.new_questions, ends, other)]
    by_seed = draws.events.sum(-1), draws.sizes.sum(-1)
    these, other_these = bound_over_seeds(*by_seed), bound_by_logits_of_seeds(*by_seed)
    new, other_new = bound_new_questions(*by_cell)[1:], bound_by_logit_of_mean(*by_cell)
    return [
        count_covered("these-questions", truth, draws.these_questions, these, other_these),
        count_covered("new-questions", truth, draws.new_questions, new, other_new),
    ]


def measure_excess(truth: Truth, repetitions: int) -> Finding:
    """Draw studies of a task and its twin, and count what covers their difference."""
    rng = np.random.default_rng(zlib.crc32(f"excess/{truth.name}".encode()))
    pairs = draw_pairs(truth, repetitions, rng)
    other = bound_by_paired_t(*pairs.rates)
    return count_covered("excess", truth, pairs.true_excess, bound_excess(pairs), other)


def count_covered(
    target: str,
    truth: Truth,
    true_rate: np.ndarray | float,
    ends: tuple[Numbers, Numbers],
    other: tuple[Numbers, Numbers],
) -> Finding:
    """Count how often the ends `[repetition]` of an interval, and of another, hold the truth."""
    low, high = map(np.asarray, ends)
    other_low, other_high = map(np.asarray, other)
    below, above = true_rate < low, true_rate > high
    coverage = 1 - float(np.mean(below | above))
    return Finding(
        target=target,
        truth=truth,
        repetitions=len(low),
        coverage=coverage,
        error=math.sqrt(coverage * (1 - coverage) / len(low)),
        width=float(np.mean(high - low)),
        below=float(np.mean(below)),
        above=float(np.mean(above)),
        other_coverage=float(np.mean((other_low <= true_rate) & (true_rate <= other_high))),
        other_width=float(np.mean(other_high - other_low)),
    )


def list_missed(findings: Iterable[Finding]) -> list[Finding]:
    """List the findings that have a bar and are under it."""
    return [found for found in findings if found.has_bar and found.coverage < BAR]


def write_table(findings: Sequence[Finding]) -> str:
    """Write all findings, one a line, the alternative's last."""
    heads = ("truth", "coverage", "error", "width", "too high", "too low", "other", "its width")
    lines = [f"{heads[0]:<85}" + "".join(f"{head:>10}" for head in heads[1:])]
    for found in findings:
        figures = (found.coverage, found.error, found.width, found.below, found.above)
        figures += (found.other_coverage, found.other_width)
        name = f"{found.target}/{found.truth.name}"
        lines.append(f"{name:<85}" + "".join(f"{figure:>10.3f}" for figure in figures))
    return "\n".join(lines)


def sum_up(findings: Sequence[Finding]) -> str:
    """Sum up what has a bar, by target and rate: lowest and mean coverage, and mean width."""
    lines = [
        f"{'with a bar':<16}{'rate':>6}{'truths':>8}{'lowest':>8}{'mean':>8}{'width':>8}"
        f"{'other: lowest':>16}{'mean':>8}{'width':>8}"
    ]
    for target, rate in product(BARRED, RATES):
        own = [f for f in findings if f.has_bar and (f.target, f.truth.rate) == (target, rate)]
        if own:
            columns = np.array(
                [(f.coverage, f.width, f.other_coverage, f.other_width) for f in own]
            )
            (low, _, other_low, _), means = columns.min(0), columns.mean(0)
            lines.append(
                f"{target:<16}{rate:>6.2f}{len(own):>8}{low:>8.3f}{means[0]:>8.3f}{means[1]:>8.3f}"
                f"{other_low:>16.3f}{means[2]:>8.3f}{means[3]:>8.3f}"
            )
    return "\n".join(lines)


def write_findings(findings: Sequence[Finding], folder: Path) -> Path:
    """Write all figures with what they were made with."""
    content = {
        "bar": BAR,
        "findings": [_round(asdict(found)) | {"has_bar": found.has_bar} for found in findings],
        "provenance": gather_provenance(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "coverage.json"
    write_atomically(path, json.dumps(content) + "\n")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every truth; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=2000, help="studies a truth")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the figures")
    chosen = parser.parse_args(arguments)
    truths = (*list_cells(), *list_arms())
    findings = [found for truth in truths for found in measure(truth, chosen.repetitions)]
    findings += [measure_excess(truth, chosen.repetitions) for truth in list_tasks()]
    print(write_table(findings), sum_up(findings), sep="\n\n")
    print(f"\n{write_findings(findings, chosen.results)}: all of it")
    missed = list_missed(findings)
    for found in missed:
        print(f"under the bar of {BAR}: {found.target}/{found.truth.name} {found.coverage:.3f}")
    print(*(found.last_line for found in findings), sep="\n")
    return int(bool(missed))


def _round(figures: dict[str, Any]) -> dict[str, Any]:
    """Leave off digits that no number of repetitions here could tell."""
    return {k: round(v, 5) if isinstance(v, float) else v for k, v in figures.items()}


def _limit(rate: float, spread: tuple[float, float]) -> tuple[float, float]:
    """Give ICC and SD over seeds that a rate allows; where there is no event, nothing differs."""
    icc, seed_sd = spread
    return (icc, round(min(seed_sd, rate, 1 - rate), 3)) if rate else (0.0, 0.0)


if __name__ == "__main__":
    sys.exit(main())
