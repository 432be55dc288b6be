"""What the page says of abilities beside misalignment: a table of arms and tasks."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rankshift.report.judges import Table
from rankshift.report.wording import NOTHING, join_words, name_arms

Score = dict[str, Any]


@dataclass(frozen=True)
class CapabilityPart:
    """The section's sentences and its table."""

    sentences: tuple[str, ...]
    table: Table


def describe_capability(results: dict[str, Any]) -> CapabilityPart | None:
    """Describe every score there is; None where nothing was measured.

    A column holds scores that were asked alike in everything, so a column may be compared and
    two columns may not, though both be of one task.
    """
    columns: dict[str, Score] = {}
    cells: dict[tuple[str, int], dict[str, str]] = {}
    for row in results["arms"]:
        for score in row["capability"]:
            key = _name_column(score)
            columns.setdefault(key, score)
            cells.setdefault((row["arm"], row["step"]), {})[key] = _format_score(score)
    if not columns:
        return None
    measured = {arm for arm, _ in cells}
    names = name_arms(results["arms"])
    # An arm that nobody measured has a line too: what is missing should be seen.
    lines = [
        (row["arm"], row["step"])
        for row in results["arms"]
        if (row["arm"], row["step"]) in cells
        or (row["arm"] not in measured and row["step"] == _find_last_step(results, row["arm"]))
    ]
    table = Table(
        "Scores of lm-evaluation-harness, each with one standard error over the questions",
        ("Arm", "Step", *_write_heads(columns.values())),
        tuple(
            (
                names[arm],
                f"{step:,}",
                *(cells.get((arm, step), {}).get(key, NOTHING) for key in columns),
            )
            for arm, step in lines
        ),
    )
    return CapabilityPart(_write_sentences(list(columns.values())), table)


def _name_column(score: Score) -> str:
    """Name what a score must share with another to be compared with it."""
    apart = {"value", "stderr"}
    return json.dumps({k: v for k, v in score.items() if k not in apart}, sort_keys=True)


def _find_last_step(results: dict[str, Any], arm: str) -> int:
    return max(row["step"] for row in results["arms"] if row["arm"] == arm)


def _write_heads(columns: Any) -> list[str]:
    heads = [_write_head(score) for score in columns]
    uses, seen = Counter(heads), Counter[str]()
    numbered = []
    for head in heads:
        seen[head] += 1
        numbered.append(head if uses[head] == 1 else f"{head}, way {seen[head]} of asking")
    return numbered


def _write_head(score: Score) -> str:
    words = [f"{score['task']} {score['metric']}"]
    words += [score["filter"]] if score["filter"] != "none" else []
    words += [f"{score['shots']} shots"] if score["shots"] else []
    if score["samples"] is not None:
        first = "the first " if score["conditions"]["limit"] is not None else ""
        words.append(f"{first}{score['samples']:,} questions")
    words += ["lower is better"] if score["higher_is_better"] is False else []
    return ", ".join(words)


def _format_score(score: Score) -> str:
    if score["value"] is None:
        return "not finite"
    error = "" if score["stderr"] is None else f" ± {score['stderr']:.3f}"
    return f"{score['value']:.3f}{error}"


def _write_sentences(columns: list[Score]) -> tuple[str, ...]:
    versions = sorted({str(score["conditions"]["lm_eval"]) for score in columns})
    types = sorted({score["conditions"]["dtype"] for score in columns})
    sentences = [
        f"Each arm's last weights in lm-evaluation-harness {join_words(versions)}, computed in "
        f"{join_words(types)}, in the model's chat template, with the same settings for every arm "
        "of a column. Benchmarks' usual figures are without a chat template: compare arms with "
        "each other, not with those."
    ]
    heads = Counter(map(_write_head, columns))
    if max(heads.values()) > 1:
        sentences.append(
            "Columns of one task that differ in the way of asking (version, wording, batch size, "
            "device; see results.json) must not be compared with each other."
        )
    return tuple(sentences)
