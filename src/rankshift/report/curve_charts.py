"""From the curves of results.json to charts over rank, each beside its twin's, with its numbers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rankshift.report.cells import list_excess_cells, list_loss_cells, list_share_cells
from rankshift.report.charts import Chart
from rankshift.report.panels import Panel
from rankshift.report.rank_figures import draw_over_rank
from rankshift.report.wording import name_setting

Curve = dict[str, Any]
Row = dict[str, Any]
Pair = tuple[Curve, ...]

SETTING = ("dataset", "role", "scaling", "alpha", "learning_rate", "u")
NESTED = ("dataset", "role", "points", "categories", "step")
"""Keys of a curve in which it may differ from its twin's."""

GIVEN, OF_ALL = "Misaligned, of coherent answers", "Misaligned and coherent, of all answers"


@dataclass(frozen=True)
class Shares:
    """A kind of chart of shares: its files' name, its axis, and whether titles name who asks."""

    name: str
    axis: str
    is_asked_named: bool = False


def draw_shares(pairs: Iterable[Pair], shares: Shares) -> list[Chart]:
    """Draw shares over rank, a chart for each pair that has anything trained."""
    charts = []
    for pair in pairs:
        cells = [cell for curve in pair for cell in list_share_cells(curve)]
        figure = draw_over_rank(Panel(cells, shares.axis, "share"))
        rows = tuple(row for curve in pair for row in list_share_rows(curve))
        title = name_asked(pair[0]) if shares.is_asked_named else name_setting(pair[0])
        charts += [Chart(shares.name, title, figure, rows, pair)] if figure else []
    return charts


def draw_losses(results: dict[str, Any]) -> list[Chart]:
    """Draw the held-out loss on the task over rank, at the last step."""
    charts = []
    for pair in pair_twins(list_task_losses(results)):
        last_step = results["study"]["last_step"]
        cells = [cell for curve in pair for cell in list_loss_cells(curve, last_step)]
        figure = draw_over_rank(Panel(cells, "Held-out loss, nats a token", "loss"))
        rows = tuple(row for curve in pair for row in list_loss_rows(curve))
        if figure:
            charts.append(Chart("held-out-loss", name_setting(pair[0]), figure, rows, pair))
    return charts


def draw_excess(results: dict[str, Any]) -> list[Chart]:
    """Draw what the task's arms have over their twins'."""
    charts = []
    for curve in results.get("excess_curves") or []:
        cells = list_excess_cells({"role": "task"} | curve)
        title = "Misaligned, of coherent: more than the benign twin"
        figure = draw_over_rank(Panel(cells, title, "excess"))
        rows = tuple(_list_excess_rows(curve))
        if figure:
            charts.append(Chart("excess-over-twin", name_asked(curve), figure, rows, (curve,)))
    return charts


def list_task_losses(results: dict[str, Any]) -> list[Curve]:
    """List the curves of the loss on the task's held-out rows."""
    return [curve for curve in results["loss_curves"] if curve["held_out"] == "task"]


def is_primary(curve: Curve, results: dict[str, Any]) -> bool:
    """Say whether a curve is of the study's first questions and its judge."""
    return results["study"]["primary"].items() <= curve.items()


def has_category(curves: Iterable[Curve], category: str) -> bool:
    """Say whether any of the curves has the base, full finetuning or a model beside its ranks."""
    return any(cell["category"] == category for c in curves for cell in c.get("categories", ()))


def has_new_questions(curves: Iterable[Curve]) -> bool:
    """Say whether any mean of the curves has an interval for new questions."""
    points = [point for curve in curves for point in (*curve["points"], *curve["categories"])]
    return any((point.get("new_questions") or {}).get("low") is not None for point in points)


def name_asked(curve: Curve) -> str:
    """Name the questions, the judge and what the curve holds fixed."""
    asked = f"{curve['question_set']}, judged by {curve['judge']}"
    return "; ".join(filter(None, (asked, name_setting(curve))))


def pair_twins(curves: Iterable[Curve]) -> list[Pair]:
    """Put each task curve beside its twin's under the same setting, questions and judge."""
    pairs: dict[tuple[Any, ...], Pair] = {}
    for curve in curves:
        key = tuple((name, str(value)) for name, value in curve.items() if name not in NESTED)
        while any(other["role"] == curve["role"] for other in pairs.get(key, ())):
            key = (*key, "another dataset")  # a figure has one colour a role
        pairs[key] = (*pairs.get(key, ()), curve)
    return list(pairs.values())


def take_of_all(curve: Curve) -> Curve:
    """Give the same curve with the other denominator."""
    cells = {
        name: [cell | cell["misaligned_of_all"] for cell in curve[name]]
        for name in ("points", "categories")
    }
    return curve | cells


def list_share_rows(curve: Curve) -> Iterator[Row]:
    """List the means of a curve of shares, each followed by its seeds."""
    for point in (*curve["points"], *curve["categories"]):
        if point["rate"] is None:
            continue
        place, new = _name_place(curve, point), point.get("new_questions") or {}
        seeds: Sequence[Row] = point["seeds"]
        yield place | {
            "what": "mean over seeds",
            "seed": None,
            "seeds_count": point["num_seeds"],
            "events_count": sum(seed["events"] for seed in seeds),
            "counted_answers_count": sum(seed["eligible"] for seed in seeds),
            "rate_0_to_1": point["rate"],
            "these_questions_low_0_to_1": point["low"],
            "these_questions_high_0_to_1": point["high"],
            "new_questions_rate_0_to_1": new.get("rate"),
            "new_questions_low_0_to_1": new.get("low"),
            "new_questions_high_0_to_1": new.get("high"),
            "macro_rate_0_to_1": point.get("macro"),
            "pooled_rate_0_to_1": point.get("pooled"),
            "design_effect_ratio": point.get("design_effect"),
            "intraclass_correlation": point.get("icc"),
            "note": point["note"],
        }
        for seed in seeds:
            yield place | {
                "what": "one seed",
                "seed": seed["seed"],
                "arm": seed["arm"],
                "optimizer_step": seed.get("step"),
                "held_out_loss_nats_per_token": seed.get("loss"),
                "events_count": seed["events"],
                "counted_answers_count": seed["eligible"],
                "rate_0_to_1": seed["rate"],
            }


def list_loss_rows(curve: Curve) -> Iterator[Row]:
    """List the losses of a curve at every step, the means each followed by its seeds."""
    for point in (*curve["points"], *curve["categories"]):
        for step in point["steps"]:
            place = _name_place(curve, point) | {"optimizer_step": step["step"]}
            yield place | {
                "what": "mean over seeds",
                "seed": None,
                "held_out_loss_nats_per_token": step["loss"],
                "low_nats_per_token": step["low"],
                "high_nats_per_token": step["high"],
                "note": step["note"],
            }
            for seed in step["seeds"]:
                loss = {"held_out_loss_nats_per_token": seed["loss"]}
                yield place | {"what": "one seed", "seed": seed["seed"], "arm": seed["arm"]} | loss


def _list_excess_rows(curve: Curve) -> Iterator[Row]:
    for point in (*curve["points"], *curve.get("categories", [])):
        yield _name_place({"role": "task"} | curve, point) | {
            "seeds_count": point["num_seeds"],
            "excess_0_to_1": point["excess"],
            "low_0_to_1": point["low"],
            "high_0_to_1": point["high"],
            "note": point["note"],
        }


def _name_place(curve: Curve, point: Row) -> Row:
    setting = {key: curve.get(key) for key in SETTING}
    setting |= {key: curve[key] for key in ("question_set", "judge") if key in curve}
    where = point.get("name") or point.get("category") or "rank"
    rate = point.get("learning_rate")
    own = {} if rate is None else {"learning_rate": rate}
    return setting | own | {"place": where, "rank": point.get("rank")}
