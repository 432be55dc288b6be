"""What a reader should know before any number: the verdict, and how much stands behind it."""

from typing import Any

from rankshift.analysis.categories import is_defended
from rankshift.analysis.rates import DEFAULT
from rankshift.analysis.robustness import name_thresholds
from rankshift.report.wording import join_words

Fact = tuple[str, str]


def list_facts(results: dict[str, Any]) -> list[Fact]:
    """List the page's first facts: a name and a value in words."""
    rows = results["arms"]
    arms = {row["arm"]: row for row in rows}
    ranks = sorted({row["rank"] for row in rows if row["rank"]})
    seeds = {row["seed"] for row in rows if row["role"] == "task" and row["seed"] is not None}
    answers = sum(row["outcomes"]["answers"] for row in rows)
    facts = [("Arms", f"{len(arms):,}")]
    defended = sum(map(is_defended, arms.values()))
    if defended:
        facts.append(("Of them defended", f"{defended:,}"))
    if ranks:
        facts.append(("Ranks", join_words([str(rank) for rank in ranks])))
    if seeds:
        facts.append(("Seeds", str(len(seeds))))
    if answers:
        facts.append(("Answers to the primary questions", f"{answers:,}"))
        facts.append(("Judge", results["study"]["primary"]["judge"]))
    peak = results.get("peak")
    if peak:
        facts.insert(0, ("Is there a peak?", peak["verdict"]))
    robustness = results.get("robustness")
    if robustness and robustness["rows"]:
        own = name_thresholds(DEFAULT)  # the study's own choice, in the grid for its looks
        variants = [row for row in robustness["rows"] if row["setting"] != own]
        same = sum(row["verdict"] == robustness["primary_verdict"] for row in variants)
        facts.insert(1, ("Same verdict in", f"{same} of {len(variants)} variants"))
    registered = results.get("preregistration")
    if registered:
        facts.append(("Pre-registered", f"SHA-256 {registered['sha256'][:12]}…"))
    return facts
