"""How many defences do what, in the one sentence of the headline."""

from collections.abc import Sequence
from typing import Any

from rankshift.report.defence_groups import Entry, key_of
from rankshift.report.wording import join_words

WORKS_EVERYWHERE = "works everywhere"

WORDS: dict[str, tuple[str, str]] = {
    WORKS_EVERYWHERE: ("works", "work"),
    "hides": ("only hides misalignment", "only hide misalignment"),
    "works": ("works", "work"),
    "costs": ("removes it and keeps too little else", "remove it and keep too little else"),
    "fails": ("fails", "fail"),
    "nothing to remove": ("had nothing to remove", "had nothing to remove"),
    "undetermined": ("is undetermined", "are undetermined"),
}
"""What is said of one defence and of several, by the first of these that they are anywhere."""


def tell_defences(results: dict[str, Any]) -> str:
    """Say in a sentence how many defences do what, each counted once; empty without any."""
    kinds: dict[str, list[Entry]] = {}
    for entry in results.get("defences") or ():
        kinds.setdefault(key_of(entry), []).append(entry)
    groups: dict[str, list[list[Entry]]] = {}
    for own in kinds.values():
        groups.setdefault(_sort_out([entry["verdict"] for entry in own]), []).append(own)
    told = [
        f"{len(groups[word])} {one if len(groups[word]) == 1 else many} "
        f"{_name_places(word, [entry for own in groups[word] for entry in own])}"
        for word, (one, many) in WORDS.items()
        if word in groups
    ]
    noun = "defence" if len(kinds) == 1 else "defences"
    return f"Of {len(kinds)} {noun}: {'; '.join(told)}." if told else ""


def _sort_out(verdicts: Sequence[str]) -> str:
    if set(verdicts) == {"works"}:
        return WORKS_EVERYWHERE
    return next(word for word in WORDS if word in verdicts)


def _name_places(word: str, entries: Sequence[Entry]) -> str:
    """Write `at ranks 1 and 16`, of the entries of a word; `everywhere` where that is all."""
    there = [entry for entry in entries if entry["verdict"] == word]
    if word == WORKS_EVERYWHERE or len(there) == len(entries):
        return "everywhere"
    ranks = sorted({entry["rank"] for entry in there if entry["rank"] is not None})
    words = []
    if ranks:
        words.append(f"at rank{'s' * (len(ranks) > 1)} {join_words([str(r) for r in ranks])}")
    if any(entry["rank"] is None for entry in there):
        words.append("in full finetuning")
    return " and ".join(words)
