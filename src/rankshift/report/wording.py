"""Numbers and names as people read them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rankshift.grid import Subset

NOTHING = "\N{EN DASH}"
"""Stands for a number there is none of."""


def format_percent(share: float | None) -> str:
    """Write a share 0..1 with one decimal; a rate of nothing is a dash, a small one never zero."""
    if share is None:
        return NOTHING
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.9995 < share < 1:
        return ">99.9%"
    return f"{100 * share:.1f}%"


def format_points(difference: float | None) -> str:
    """Write a difference of two shares in percentage points, with its sign."""
    return NOTHING if difference is None else f"{100 * difference:+.1f} points"


def format_interval(estimate: dict[str, Any]) -> str:
    """Write `48.0 to 67.1%`; a dash where there is no interval."""
    if estimate["low"] is None:
        return NOTHING
    low, high = format_percent(estimate["low"]), format_percent(estimate["high"])
    return f"{low.removesuffix('%')} to {high}"


def tell_uncertainty(cell: dict[str, Any]) -> str:
    """Say how sure a cell of a curve is, and over what: seeds, or questions for the base."""
    over = count_seeds(cell["num_seeds"]) if cell["num_seeds"] else "over questions"
    if cell["low"] is not None:
        return f"95% interval {format_interval(cell)}, {over}"
    if cell["num_seeds"]:
        return f"{over}, too few for an interval"
    return f"no interval: {cell['note']}"


def format_loss(loss: float | None) -> str:
    """Write nats per token with three decimals."""
    return NOTHING if loss is None else f"{loss:.3f}"


def tell_training(step: int, dataset: str) -> str:
    """Write `after 32 steps on insecure`; `after training on insecure` where steps are not told."""
    return f"after {step:,} steps on {dataset}" if step else f"after training on {dataset}"


def format_number(number: float | None) -> str:
    """Write a setting in its shortest exact-looking form: 64, 0.001, 1e-05."""
    return NOTHING if number is None else f"{number:g}"


def count_seeds(number: int) -> str:
    """Write `1 seed`, `3 seeds`."""
    return f"{number} seed" if number == 1 else f"{number} seeds"


def join_words(words: Sequence[str]) -> str:
    """Write `a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def name_setting(curve: dict[str, Any]) -> str:
    """Name what a curve holds fixed: `alpha 64, alpha/sqrt(rank), learning rate 0.001, layers 0-3`.

    Where every layer is adapted, nothing is said of it, nor of A where it is trained.
    """
    if curve["scaling"] is None:
        return "given models" if curve["given"] else "full finetuning"
    alpha = curve["alpha"] if curve["alpha"] == "2r" else format_number(curve["alpha"])
    size = f"learning rate {format_number(curve['learning_rate'])}"
    if curve["learning_rate"] is None and curve.get("u") is not None:
        size = f"u {format_number(curve['u'])}"
    origin = "given adapters" if curve["given"] else size
    words = (f"alpha {alpha}", curve["scaling"], origin, *_name_variants(curve), name_subset(curve))
    return ", ".join(filter(None, words))


def _name_variants(curve: dict[str, Any]) -> list[str]:
    """Name what sets a curve's arms apart besides their step size: usually nothing."""
    words = ["frozen A"] if curve.get("trains_a") is False else []
    if curve.get("truncated_to") is not None:
        words.append(f"cut to rank {curve['truncated_to']}")
    if curve.get("norm_to") is not None:
        words.append(f"norm of the update set to {format_number(curve['norm_to'])}")
    return words


def tell_origin(curve: dict[str, Any]) -> str:
    """Say what a curve's arms were trained on; of given models as their authors say."""
    if not curve["given"]:
        return f"trained on {curve['dataset']}"
    said = f"said to be trained on {curve['dataset']}" if curve["dataset"] else "on data not stated"
    return f"trained elsewhere, {said}"


def name_subset(row: dict[str, Any]) -> str:
    """Name the layers that a curve or an arm adapts; nothing where it is all of them."""
    if row["target_modules"] is None:
        return ""
    return Subset(tuple(row["target_modules"]), tuple(row["layers"])).label


def name_full(category: dict[str, Any], full: Sequence[dict[str, Any]]) -> str:
    """Name a category of full finetuning by what tells it from the others: `full sgd 0.1`.

    Args:
        category: One of a curve's.
        full: All of full finetuning on that curve.
    """
    words = ["full"]
    if category.get("parameters") == "adapted" and _differ(full, "parameters"):
        words.append("adapted")
    chosen = [cell for cell in full if cell.get("parameters") == "adapted"]
    if category in chosen and (_differ(chosen, "target_modules") or _differ(chosen, "layers")):
        words.append(name_subset(category) or "all layers")
    if _differ(full, "optimizer"):
        words.append(category["optimizer"] or "optimizer not told")
    if _differ(full, "learning_rate"):
        words.append(format_number(category["learning_rate"]))
    return " ".join(filter(None, words))


def _differ(cells: Iterable[dict[str, Any]], key: str) -> bool:
    return len({str(cell.get(key)) for cell in cells}) > 1


def tell_full(category: dict[str, Any]) -> str:
    """Say what a category of full finetuning is: `Full finetuning by sgd at learning rate 0.1`."""
    what = "Full finetuning"
    if category.get("parameters") == "adapted":
        what += f" of {name_subset(category) or 'the adapted layers'} alone"
    by = f" by {category['optimizer']}" if category.get("optimizer") else ""
    return f"{what}{by} at learning rate {format_number(category['learning_rate'])}"


def name_arms(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Name each arm by its label, and by its settings too where labels alone would be the same.

    A step size u is named in place of a learning rate where there are fewer of them: the study has
    the rates from it.
    """
    arms = {row["arm"]: row for row in rows}
    uses = Counter(row["label"] for row in arms.values())
    adapters = [row for row in arms.values() if row.get("u") is not None]
    by_u = len({f"{row['u']:.9g}" for row in adapters}) < len(
        {row["learning_rate"] for row in adapters}
    )
    return {
        arm: row["label"] if uses[row["label"]] == 1 else f"{row['label']}, {_name_cell(row, by_u)}"
        for arm, row in arms.items()
    }


def _name_cell(row: dict[str, Any], by_u: bool) -> str:
    rate = f"lr {format_number(row['learning_rate'])}"
    if row["rank"] is None:
        return rate
    rate = f"u {format_number(row['u'])}" if by_u else rate
    alpha = "2r" if row["alpha"] == 2 * row["rank"] else format_number(row["alpha"])
    return f"alpha {alpha}, {row['scaling']}, {rate}"


def name_match(match: dict[str, Any]) -> str:
    """Name a match value: `90% of the skill`, `KL 0.5 nats a token`, `30.0% insecure code`."""
    if match["kind"] == "skill":
        return f"{format_number(100 * match['value'])}% of the skill"
    if match["kind"] == "kl":
        return f"KL {format_number(match['value'])} nats a token"
    return f"{format_percent(match['value'])} insecure code"
