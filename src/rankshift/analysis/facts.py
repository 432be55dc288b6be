"""What the arms of a run were made with: alike in all or not, and how long it took."""

import json
from collections.abc import Sequence
from typing import Any

from rankshift.analysis.measurements import DERIVED, DESCRIBED, MeasuredArm

TIMES = (
    *("started", "finished", "times", "seconds", "timings"),
    *("defence_seconds", "arm_seconds"),
)
"""Keys of provenance.json that differ between two runs of the same thing."""

ENGINE = "engine"
"""Key of provenance.json with each layer's form: one table an arm, too long for a page."""


def collect_data(arms: Sequence[MeasuredArm]) -> dict[str, Any]:
    """Give each dataset's counts of rows, as its first arm recorded them."""
    data: dict[str, Any] = {}
    for arm in arms:
        if arm.arm.dataset is not None and "data" in arm.facts:
            data.setdefault(arm.arm.dataset, arm.facts["data"])
    return data


def collect_provenance(arms: Sequence[MeasuredArm]) -> dict[str, Any]:
    """Tell what all arms were made with from what differs between them."""
    values: dict[str, dict[str, Any]] = {}
    for arm in arms:
        for key in sorted(set(arm.facts) - {*DESCRIBED, *TIMES, ENGINE, DERIVED}):
            text = json.dumps(arm.facts[key], sort_keys=True)
            values.setdefault(key, {})[text] = arm.facts[key]
    return {
        "shared": {k: next(iter(v.values())) for k, v in sorted(values.items()) if len(v) == 1},
        "varying": {k: list(v.values()) for k, v in sorted(values.items()) if len(v) > 1},
    }


def collect_times(arms: Sequence[MeasuredArm]) -> dict[str, Any]:
    """Give each arm's times, of those that have any."""
    times = {arm.id: {key: arm.facts[key] for key in TIMES if key in arm.facts} for arm in arms}
    return {arm: own for arm, own in times.items() if own}
