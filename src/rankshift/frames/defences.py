"""The defence table as rows, from the content of results.json alone."""

from typing import Any

import pandas as pd

from rankshift.analysis.defence_costs import share_seconds
from rankshift.analysis.defences import find_worst_cued
from rankshift.frames.columns import DEFENCES
from rankshift.frames.tidy import make_frame_of_rows

SETTING = ("method", "rank", "scaling", "learning_rate", "u")


def list_defences(results: dict[str, Any]) -> pd.DataFrame:
    """List what each defence does at each setting and rank."""
    timings = results.get("timings") or {}
    rows = [_flatten(entry, timings) for entry in results.get("defences") or ()]
    return make_frame_of_rows(rows, DEFENCES)


def _flatten(entry: dict[str, Any], timings: dict[str, Any]) -> dict[str, Any]:
    found, defence, alpha = entry["misalignment"], entry["defence"], entry["alpha"]
    worst = find_worst_cued(entry) or {"rate": None, "base": None}
    return {
        "defence": defence["label"],
        "kind": defence["kind"],
        "strength": defence["strength"],
        **{key: entry[key] for key in SETTING},
        "alpha": alpha if alpha is None or isinstance(alpha, str) else f"{alpha:g}",
        "verdict": entry["verdict"],
        "misalignment": found["rate"],
        "misalignment_low": found["low"],
        "misalignment_high": found["high"],
        "misalignment_gone": found["gone"],
        "undefended": found["undefended"]["rate"],
        "base": found["base"],
        "skill_kept": entry["skill_kept"]["share"],
        "benign_kept": entry["benign_kept"]["share"],
        "coherence_difference": entry["coherence_kept"]["difference"],
        "worst_cued": worst["rate"],
        "worst_cued_base": worst["base"],
        "hides": entry["hides"],
        "task_steps": entry["cost"]["task_steps"],
        "seconds_share": share_seconds(entry, timings),
    }
