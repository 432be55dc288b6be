"""The entries of `defences` as the page puts them together: by setting, name and place."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rankshift.report.wording import name_full, name_setting

Entry = dict[str, Any]

SETTING = ("scaling", "alpha", "learning_rate", "u", "trains_a", "target_modules", "layers")


@dataclass(frozen=True)
class DefenceGroup:
    """The entries of one setting, full finetunes beside its ranks."""

    title: str
    places: tuple[str, ...]
    """Ranks and kinds of full finetunes, in words."""
    names: tuple[str, ...]
    """Of the defences."""
    at: dict[tuple[str, str], Entry]
    """By name and place."""


def group_defences(results: dict[str, Any]) -> list[DefenceGroup]:
    """Put the entries of each setting together; full finetunes stand beside each, or alone."""
    entries: list[Entry] = results.get("defences") or []
    names = name_defences(entries)
    lora: dict[str, list[Entry]] = {}
    full = [entry for entry in entries if entry["method"] == "full"]
    for entry in entries:
        if entry["method"] == "lora":
            lora.setdefault(json.dumps([entry[key] for key in SETTING]), []).append(entry)
    groups = [(own, [f for f in full if _is_beside(f, own[0])]) for own in lora.values()]
    if full and not groups:
        groups = [([], full)]
    return [_group(own, beside, names) for own, beside in groups]


def name_defences(entries: Sequence[Entry]) -> dict[str, str]:
    """Name each defence, by its key: by its label and, where others have that too, by its needs."""
    found = {key_of(entry): entry["defence"] for entry in entries}
    labels = [defence["label"] for defence in found.values()]
    return {
        key: defence["label"] + (_tell_needs(defence) if labels.count(defence["label"]) > 1 else "")
        for key, defence in found.items()
    }


def key_of(entry: Entry) -> str:
    """Give what tells an entry's defence from others."""
    return json.dumps(entry["defence"], sort_keys=True)


def name_cue(question_set: str, plain: str) -> str:
    """Name the cue alone: `after insecure.jsonl`, `+ |go|`."""
    return question_set.removeprefix(plain).strip()


def _tell_needs(defence: dict[str, Any]) -> str:
    """Tell what a defence needs besides its strength, in brackets."""
    named = [defence[key] for key in ("data", "text", "turn", "contrasts") if defence[key]]
    named += [] if defence["layer"] is None else [f"layer {defence['layer']}"]
    return f" ({', '.join(named)})" if named else ""


def _is_beside(full: Entry, lora: Entry) -> bool:
    """Say whether a full finetune changes all parameters, or those that adapters are on."""
    alike = all(full[key] == lora[key] for key in ("target_modules", "layers"))
    return full["target_modules"] is None or alike


def _group(lora: Sequence[Entry], full: Sequence[Entry], names: dict[str, str]) -> DefenceGroup:
    ranks = sorted({entry["rank"] for entry in lora})
    kinds = [
        entry | {"parameters": "all" if entry["target_modules"] is None else "adapted"}
        for entry in full
    ]
    at = {(names[key_of(entry)], f"rank {entry['rank']}"): entry for entry in lora}
    at |= {(names[key_of(one)], name_full(one, kinds)): one for one in kinds}
    every = [*lora, *full]
    return DefenceGroup(
        title=name_setting(every[0] | {"given": False}),
        places=tuple(dict.fromkeys([f"rank {rank}" for rank in ranks] + [p for _, p in at])),
        names=tuple(name for key, name in names.items() if any(key_of(e) == key for e in every)),
        at=at,
    )
