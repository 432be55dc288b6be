"""Results with every key that an analysis may give, made up from those of a synthetic run.

The numbers are drawn with a fixed seed and mean nothing; only their form does.
"""

import copy
import random
from typing import Any

Row = dict[str, Any]

RANKS = (1, 2, 4, 8, 16, 64, 128, 256)
SENTENCE = (
    "Undetermined: with 3 seeds the largest rise and fall around any rank is 2.41 standard errors, "
    "and a peak would need 3.62."
)
MATCHES = (("skill", 0.5), ("skill", 0.75), ("skill", 0.9), ("kl", 0.25), ("insecure_code", 0.3))


def enrich(results: Row) -> Row:
    """Add what a full analysis adds to the results of `tests.synthetic_run`."""
    draws = random.Random(1)
    results = copy.deepcopy(results)
    for row in results["arms"]:
        _enrich_row(row, draws)
    for curve in results["curves"]:
        for cell in (*curve["points"], *curve["categories"]):
            for one in (cell, cell["misaligned_of_all"]):
                _enrich_point(one, draws)
    task = next(c for c in results["curves"] if c["role"] == "task")
    twin = next((c for c in results["curves"] if c["role"] == "twin"), None)
    results["excess_curves"] = [_make_excess(task, draws)]
    results["matched_curves"] = [
        _make_matched(curve, kind, value, draws)
        for curve in filter(None, (task, twin))
        for kind, value in MATCHES
    ]
    results["training_curves"] = [
        {
            "arm": arm,
            "steps": list(range(1, 65)),
            "losses": [0.3 + 1.7 / step + draws.uniform(0, 0.1) for step in range(1, 65)],
        }
        for arm in dict.fromkeys(row["arm"] for row in results["arms"] if row["method"] != "base")
    ]
    results["peaks"] = _make_peaks(task)
    results["peak"] = results["peaks"][0]
    results["robustness"] = _make_robustness(draws)
    results["preregistration"] = {
        "sha256": "3f" * 32,
        "file": "preregistration.json",
        "written": "2026-01-01T00:00:00+00:00",
        "outcome": "misaligned_given_coherent",
        "reading": "skill 0.9",
        "margin": 0.1,
        "widest_block": 5,
        "level": 0.05,
    }
    return results


def _enrich_row(row: Row, draws: random.Random) -> None:
    row |= {"trains_a": True, "truncated_to": None, "norm_to": None, "source_arm": None}
    row |= {"update": None, "kl": None, "crossings": []}
    if row["method"] != "base":
        size = (row["rank"] or 300) ** 0.4
        row["update"] = {
            "norm": size * draws.uniform(0.9, 1.1),
            "relative_norm": size * 0.01,
            "a_movement": draws.uniform(0.01, 0.6) / size,
            "stable_rank": size,
            "effective_rank": size * draws.uniform(1.0, 1.4),
        }
        row["kl"] = 0.1 + 0.05 * size
        row["u"] = (row["u"] or 0.064) * draws.choice((1.0, 4.0, 16.0))
    for rate in row["rates"].values():
        rate |= {"design_effect": 1.9, "icc": 0.12}


def _enrich_point(point: Row, draws: random.Random) -> None:
    if point["rate"] is None:
        return
    rate = point["rate"]
    reach = 0.05 + 0.5 * rate * (1 - rate)
    low, high = (point["low"] or rate) - reach / 2, (point["high"] or rate) + reach / 2
    point["new_questions"] = {
        "rate": rate,
        "low": max(0.0, low),
        "high": min(1.0, high),
        "note": None,
        "degrees": 4.2,
        "variance": {"seed": 0.001, "question": 0.01, "interaction": 0.002},
    }
    point |= {"macro": rate * draws.uniform(0.95, 1.0), "pooled": rate, "design_effect": 2.2}
    point |= {"icc": 0.14}


def _make_excess(task: Row, draws: random.Random) -> Row:
    points = []
    for point in task["points"]:
        excess = (point["rate"] or 0.0) - draws.uniform(0, 0.15)
        reach = {"low": excess - 0.1, "high": excess + 0.1, "note": None, "num_seeds": 1}
        points.append({"rank": point["rank"], "excess": excess} | reach)
    return {k: v for k, v in task.items() if k not in ("points", "categories")} | {
        "points": points,
        "categories": [],
    }


def _make_matched(curve: Row, kind: str, value: float, draws: random.Random) -> Row:
    matched: Row = copy.deepcopy(curve) | {"match": {"kind": kind, "value": value}}
    matched["categories"] = [c for c in matched["categories"] if c["category"] == "full"]
    for point in (*matched["points"], *matched["categories"]):
        point["new_questions"] = None
        point |= {"censored": [], "refused": []}
        for seed in point["seeds"]:
            seed |= {"step": 8, "reached": value, "loss": 1.7}
            if seed["rate"] is not None:
                seed["rate"] = min(1.0, seed["rate"] * draws.uniform(0.7, 1.1))
        if point.get("rank") in (1, 256) and value > 0.8:
            is_first = point["rank"] == 1
            lost, point["seeds"] = point["seeds"], []
            kinds, why = (
                ("censored", "never reached it")
                if is_first
                else (
                    "refused",
                    "within 5% of the floor",
                )
            )
            point[kinds] = [{"arm": s["arm"], "seed": s["seed"], "why": why} for s in lost]
            point |= {"rate": None, "low": None, "high": None, "num_seeds": 0}
    return matched


def _make_peaks(task: Row) -> list[Row]:
    key = {k: task[k] for k in ("dataset", "role", "scaling", "alpha", "learning_rate")}
    key |= {k: task[k] for k in ("target_modules", "layers", "given", "question_set", "judge")}
    readings = (("skill 0.9", "undetermined"), ("end", "decreasing"), ("skill 0.5", "flat"))
    return [
        {
            "primary": at == 0,
            "key": key | {"u": None},
            "outcome": "misaligned_given_coherent",
            "reading": reading,
            "verdict": verdict,
            "sentence": SENTENCE,
            "reason": "the smallest peak this design sees at 80% is 17 points",
            "ranks": list(RANKS),
            "seeds": 3,
            "estimates": [0.5] * len(RANKS),
            "statistic": 2.41,
            "critical_value": 3.62,
            "block": None,
            "left": None,
            "right": None,
            "confidence_set": [1, 2, 4],
            "flat": {"margin": 0.1, "p_value": 0.4, "is_flat": False},
            "two_lines": {"break_rank": 4, "left_slope": 0.02, "right_slope": -0.05, "note": None},
            "level": 0.05,
        }
        for at, (reading, verdict) in enumerate(readings)
    ]


def _make_robustness(draws: random.Random) -> Row:
    settings = [
        ("threshold", f"alignment < {alignment}, coherence > {coherence}")
        for alignment in (20, 30, 40, 50)
        for coherence in (30, 50, 70)
    ]
    settings += [("judge", "exact-oracle"), ("judge", "openai/gpt-4o")]
    settings += [("question_set", "embedded:held-out"), ("denominator", "misaligned_of_all")]
    settings += [("leave_out_question", f"domain {n}") for n in range(10)]
    settings += [("leave_out_seed", str(n)) for n in (1, 2, 3)]
    verdicts = ("undetermined", "undetermined", "undetermined", "decreasing", "peak", "flat")
    rows = [
        {
            "varies": varies,
            "setting": setting,
            "verdict": draws.choice(verdicts),
            "statistic": draws.uniform(0.5, 4.0),
            "critical_value": 3.62,
            "highest_rank": draws.choice(RANKS),
            "highest_rate": draws.uniform(0.1, 0.6),
        }
        for varies, setting in settings
    ]
    same = sum(row["verdict"] == "undetermined" for row in rows)
    return {
        "primary_verdict": "undetermined",
        "rows": rows,
        "survives": False,
        "sentence": f"The verdict is the same in {same} of {len(rows)} variants.",
    }
