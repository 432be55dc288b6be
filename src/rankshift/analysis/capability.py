"""Scores of lm-evaluation-harness as they stand in a row of results.json."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rankshift.capability import CapabilityRecord


def list_scores(records: Iterable[CapabilityRecord]) -> list[dict[str, Any]]:
    """List every score of one arm and step, each with what it was asked as and under what.

    A task that was asked by its own name and as a part of several is listed once for each.
    """
    return [
        asdict(score) | {"asked": record.asked, "conditions": _give_conditions(record)}
        for record in records
        for score in record.scores
    ]


def _give_conditions(record: CapabilityRecord) -> dict[str, Any]:
    conditions = asdict(record.conditions)
    return conditions | {"seeds": list(conditions["seeds"])}
