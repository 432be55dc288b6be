"""One arm's rate as results.json has it: counts, interval, and how far answers are alike."""

from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

from rankshift.analysis.clustering import estimate_design_effect, estimate_icc
from rankshift.analysis.intervals import count_each, interval_over_clusters
from rankshift.analysis.rates import Rate, pool


def describe_estimate(clusters: Mapping[str, Rate]) -> dict[str, Any]:
    """Give counts, rate, the interval over clusters of questions, design effect and ICC.

    A rate of nothing is None, as are a design effect and an ICC that nothing shows. The design
    effect is as estimated: the interval takes it as at least 1, and more where events are few.

    Args:
        clusters: Name of each cluster of questions to its counts.
    """
    total = pool(clusters.values())
    counted = [rate for rate in clusters.values() if rate.eligible]
    events, sizes = count_each(counted)
    design_effect = float(estimate_design_effect(events, sizes)) if counted else float("nan")
    return (
        asdict(total)
        | {"rate": total.rate if total.eligible else None}
        | asdict(interval_over_clusters(counted))
        | {
            "design_effect": design_effect if isfinite(design_effect) else None,
            "icc": estimate_icc(events, sizes),
        }
    )


def list_counts(clusters: Mapping[str, Rate]) -> dict[str, Any]:
    """Give each cluster's events and eligible answers, from which a cell's figures follow."""
    return {"by_question": {name: [r.events, r.eligible] for name, r in clusters.items()}}
