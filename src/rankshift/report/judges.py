"""How far the judge can be trusted, in the words and tables of the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rankshift.report.wording import (
    NOTHING,
    format_interval,
    format_percent,
    join_words,
    name_arms,
)

Cells = tuple[str, ...]

RATES = {
    "misaligned_given_coherent": "of coherent answers",
    "misaligned_of_all": "of all answers",
}


@dataclass(frozen=True)
class Table:
    """A table of the page, its cells in words; the first of a row names it."""

    caption: str
    heads: Cells
    rows: tuple[Cells, ...]
    is_long: bool = False
    """Whether it is folded away."""


@dataclass(frozen=True)
class JudgePart:
    """What the page says of one question set, or of the gold answers."""

    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]


def describe_judges(results: dict[str, Any]) -> list[JudgePart]:
    """Describe every question set that more than one judge has read, then the gold answers.

    Returns:
        Nothing where there is one judge, no labels and no gold answer.
    """
    agreement = results["agreement"]
    names = name_arms(results["arms"])
    parts = [_describe_set(found, names) for found in agreement["question_sets"]]
    return parts + ([_describe_gold(agreement["gold"])] if agreement["gold"] else [])


def _describe_set(found: dict[str, Any], names: dict[str, str]) -> JudgePart:
    comparisons = found["against_reference"]
    sentences = [tell_comparison(one) for one in comparisons]
    if not comparisons:
        sentences = [
            "None of these judges is known to be right, so their rates are not put right: label a "
            "sample with `rankshift labels export`."
        ]
    tables = [_tabulate_judges(found["judges"]), _tabulate_pairs(found)]
    for one in comparisons:
        tables += [_tabulate_accuracy(one), *_tabulate_rates(one, names)]
    return JudgePart(found["question_set"], tuple(sentences), tuple(tables))


def tell_comparison(found: dict[str, Any]) -> str:
    """Say in a sentence how well a judge tells misaligned answers, by a reference."""
    accuracy = found["accuracy"]["misaligned"]
    sensitivity, specificity = accuracy["sensitivity"], accuracy["specificity"]
    basis = f"{found['answers']:,} answers"
    if found["weighted"]:
        basis = f"a stratified sample of {basis}, weighed back to all"
    parts = []
    if sensitivity["rate"] is not None:
        parts.append(f"called {_estimate(sensitivity)} of the misaligned answers misaligned")
    if specificity["rate"] is not None:
        parts.append(f"left {_estimate(specificity)} of the others alone")
    said = join_words(parts) if parts else "cannot be measured"
    gap = 1 - found["covered"]
    left = f"; {format_percent(gap)} of all answers lie in strata nobody read" if gap > 0 else ""
    return f"Against {found['reference']}, {found['judge']} {said} ({basis}{left})."


def _estimate(share: dict[str, Any]) -> str:
    interval = f" (95% interval {format_interval(share)})" if share["low"] is not None else ""
    return f"{format_percent(share['rate'])}{interval}"


def _tabulate_judges(judges: Sequence[dict[str, Any]]) -> Table:
    heads = ("Judge", "Taken for the truth", "Answers read", "Aligned", "Misaligned")
    return Table(
        "Who has read the answers at the last checkpoint; a person's are a sample, not weighed",
        (*heads, "Incoherent", "Refusal", "Code", "Unscored"),
        tuple(
            (
                judge["judge"],
                "yes" if judge["is_reference"] else "no",
                f"{judge['answers']:,}",
                *(f"{count:,}" for count in judge["outcomes"].values()),
            )
            for judge in judges
        ),
    )


def _tabulate_pairs(found: dict[str, Any]) -> Table:
    pairs = [
        (
            " and ".join(pair["judges"]),
            f"{pair['answers']:,}",
            *(_format_alpha(alpha) for alpha in pair["alpha"].values()),
            _format_alpha(pair["kappa"]),
        )
        for pair in found["pairs"]
    ]
    if len(pairs) > 1:
        alphas = (_format_alpha(alpha) for alpha in found["alpha"].values())
        pairs.append(("all together", NOTHING, *alphas, NOTHING))
    return Table(
        "How far judges agree: Krippendorff's alpha, and Cohen's kappa of misaligned or not; 1 is "
        "always, 0 as often as chance",
        ("Judges", "Read by both", "Alignment", "Coherence", "Outcome", "Kappa"),
        tuple(pairs),
    )


def _format_alpha(alpha: float | None) -> str:
    return NOTHING if alpha is None else f"{alpha:.2f}"


def _tabulate_accuracy(found: dict[str, Any]) -> Table:
    is_exact = not found["weighted"]  # a weighted share has no exact interval
    weighed = "" if is_exact else ", and shares are weighed by stratum"
    return Table(
        f"{found['judge']} against {found['reference']}; the {found['unscored']:,} answers it left "
        f"unscored count as called neither{weighed}",
        ("Event", "Measure", "Answers", "Share", "95%, over questions", *["95%, exact"] * is_exact),
        tuple(
            (
                event,
                measure,
                f"{share['hits']:,} of {share['answers']:,}",
                format_percent(share["rate"]),
                share["note"] or format_interval(share),
                *[share["exact"]["note"] or format_interval(share["exact"])] * is_exact,
            )
            for event, measures in found["accuracy"].items()
            for measure, share in measures.items()
        ),
    )


def _tabulate_rates(found: dict[str, Any], names: dict[str, str]) -> Iterator[Table]:
    """List every arm's rates, as they are and put right."""
    for rate, words in RATES.items():
        rows = [(names[row["arm"]], row[rate]) for row in found["rates"]]
        is_known = any(row["by_reference"] is not None for _, row in rows)
        by_reference = f"By {found['reference']}"
        yield Table(
            f"Misaligned, {words}: what {found['judge']} says, and what that comes to by "
            f"{found['reference']}",
            ("Arm", "Apparent", "Corrected", "95% interval", *[by_reference] * is_known),
            tuple(
                (
                    name,
                    format_percent(row["apparent"]),
                    format_percent(row["corrected"]),
                    row["note"] or format_interval(row),
                    *[format_percent(row["by_reference"])] * is_known,
                )
                for name, row in rows
            ),
            is_long=True,
        )


def _describe_gold(gold: Sequence[dict[str, Any]]) -> JudgePart:
    return JudgePart(
        "Gold answers",
        tuple(map(_tell_gold, gold)),
        tuple(
            Table(
                f"Gold answers that {line['judge']} did not score as it should, or not as before",
                ("Answer", "Score"),
                tuple((drift["id"], drift["fault"]) for drift in line["drifts"]),
            )
            for line in gold
            if line["drifts"]
        ),
    )


def _tell_gold(line: dict[str, Any]) -> str:
    read = f"{line['judge']} has scored {line['judged']} of {line['answers']} fixed answers"
    since = "" if line["compared"] else "; there is no earlier time to compare with"
    if not line["drifts"]:
        return f"{read}, each within its band{since or ' and as before'}."
    off = len({drift["id"] for drift in line["drifts"]})
    return f"{read}, {off} of them outside its band or not as before{since}."
