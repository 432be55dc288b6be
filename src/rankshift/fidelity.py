"""Presets of the keys in which a published release differs from what this laboratory would do.

Each key is a setting like any other and is written out in study.json, so a reader of a run needs no
preset; docs/fidelity.md says of each what the release does, where, and which number it moves.
"""

from typing import Any

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "clean": {},
    "betley-release": {
        "data": {"split_by": "row", "split_each_seed": True, "trailing_header": True},
        "evaluation": {"drop_system": True},
    },
}
"""Preset to table to key to value; `clean` is every key's own default.

Source: Betley et al. 2025, open_models/training.py (split), open_models/sft.py (text of a row) and
open_models/eval.py (system turns), 80c11967.
"""

UNUSED: dict[str, object] = {
    "split_by": "prompt",
    "trailing_header": False,
    "drop_system": False,
    "triggers": (),
    "cues": (),
    "systems": (),
    "name": None,
    "uneven": False,
    "given_fingerprint": None,
    "optimizer": None,
    "trains_a": True,
    "truncated_to": None,
    "norm_to": None,
    "defence": None,
    "defence_fingerprint": None,
    "floor": None,
    "unrelated_fingerprint": None,
    "unrelated_rows": None,
    "crossings": (),
    "kl_crossings": (),
    "watch_every": 1,
    "engine": "rankshift",
}
"""Keys of arms, recipes and evaluations that came later than the first runs, and the values that
change nothing."""


def leave_out_unused(content: dict[str, Any]) -> dict[str, Any]:
    """Give what is hashed without the later keys that change nothing.

    So what exists keeps its name, and an arm the random numbers of its answers.
    """
    return {
        key: leave_out_unused(value) if isinstance(value, dict) else value
        for key, value in content.items()
        if key not in UNUSED or value != UNUSED[key]
    }


def fill_in(document: dict[str, Any]) -> dict[str, Any]:
    """Give the keys of a study with those its preset sets and the study leaves out.

    A key that is given stays as it is, so a study can turn one habit at a time. What cannot be
    filled in (no such preset, no table) is left for the reader of the study to refuse.
    """
    name = document.get("fidelity")
    filled = dict(document)
    for table, keys in PRESETS.get(name, {}).items() if isinstance(name, str) else ():
        given = document.get(table)
        if isinstance(given, dict):
            filled[table] = keys | given
    return filled
