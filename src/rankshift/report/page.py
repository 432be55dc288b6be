"""Results and a sample of answers to one self-contained HTML page, which opens from disk offline.

Model text is hostile: Jinja escapes it, the answers travel as JSON, and a Content-Security-Policy
lets nothing run but the page's own script, named by its hash.
"""

import base64
import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rankshift.analysis.curves import GIVEN, is_final
from rankshift.records import write_atomically
from rankshift.report.answers import WORST_FIRST, AnswerSample, read_answer_sample
from rankshift.report.capability import describe_capability
from rankshift.report.figures import STACK, draw_outcomes, draw_over_steps, spread
from rankshift.report.headline import write_headline
from rankshift.report.judges import describe_judges
from rankshift.report.rank_figures import draw_over_rank, list_loss_cells, list_share_cells
from rankshift.report.svg import Figure
from rankshift.report.wording import (
    NOTHING,
    format_interval,
    format_loss,
    format_number,
    format_percent,
    name_arms,
    name_setting,
    name_subset,
    tell_full,
    tell_origin,
)
from rankshift.runs import StudyRun

FOLDER = Path(__file__).parent

Curve = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """A figure of one setting, with the curves it shows."""

    title: str
    figure: Figure
    curves: tuple[Curve, ...]


def write_page(run: StudyRun, results: dict[str, Any]) -> None:
    """Write the page of a run atomically, with a sample of its answers."""
    write_atomically(run.report_path, render_page(results, read_answer_sample(run)))


def render_page(results: dict[str, Any], answers: AnswerSample) -> str:
    """Fill the page's template; the same input gives the same bytes.

    Args:
        results: Content of results.json.
        answers: The sample that readers can browse.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": format_percent,
        "interval": format_interval,
        "loss": format_loss,
        "number": format_number,
        "origin": tell_origin,
        "full": tell_full,
    }
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        results=results,
        headline=write_headline(results),
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=digest,
        nothing=NOTHING,
        judges=describe_judges(results),
        capability=describe_capability(results),
        answers=answers,
        answer_rows=[asdict(answer) for answer in answers.shown],
        choices=_list_choices(answers),
        settings=list(flatten(_name_models(results["study"]["settings"]))),
        final_rows=[r for r in results["arms"] if is_final(r, results["study"]["last_step"])],
        provenance=list(flatten(results["provenance"])),
        names=name_arms(results["arms"]),
        flatten=flatten,
        **_draw_panels(results),
    )


def _name_models(settings: dict[str, Any]) -> dict[str, Any]:
    """Put the models of a study's settings under their names."""
    models = settings.get("models") or ()
    return settings | ({"models": {m["name"]: m for m in models}} if models else {})


def flatten(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """List nested settings as `table.key` and a value in words."""
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _word(value)


def _word(value: object) -> str:
    if isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        return f"{len(value)} different ones: see results.json"
    if isinstance(value, list | tuple) and any(isinstance(item, list | tuple) for item in value):
        return "; ".join(map(_word, value))
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value)) or NOTHING
    if value is None or value in ("", {}):
        return NOTHING
    if isinstance(value, float):
        return format_number(value)
    return str(value)


def _draw_panels(results: dict[str, Any]) -> dict[str, Any]:
    curves = _pair_twins(results["curves"])
    primary = [pair for pair in curves if _is_primary(pair[0], results)]
    others = [pair for pair in curves if pair not in primary]
    of_all = [tuple(map(_take_of_all, pair)) for pair in primary]
    courses = _draw_courses(results)
    given = "Misaligned, of coherent answers"
    return {
        "rank_panels": _draw_shares(primary, given),
        "of_all_panels": _draw_shares(of_all, "Misaligned and coherent, of all answers"),
        "other_panels": _draw_shares(others, given, is_asked_named=True),
        "code_panels": _draw_shares(
            _pair_twins(results["insecure_code_curves"]),
            "Insecure, of judged code",
            is_asked_named=True,
        ),
        "loss_panels": _draw_losses(results),
        "course_panels": courses,
        "ramps": [spread(len(panel.curves[0]["points"])) for panel in courses],
        "outcomes": draw_outcomes(_group_outcomes(results)),
        "stack": STACK,
    }


def _draw_shares(
    pairs: Iterable[tuple[Curve, ...]], axis: str, is_asked_named: bool = False
) -> list[Panel]:
    panels = []
    for pair in pairs:
        title = name_setting(pair[0])
        if is_asked_named:
            title = f"{pair[0]['question_set']}, judged by {pair[0]['judge']}; {title}"
        cells = [cell for curve in pair for cell in list_share_cells(curve)]
        figure = draw_over_rank(cells, axis, is_share=True)
        panels += [Panel(title, figure, pair)] if figure else []
    return panels


def _draw_losses(results: dict[str, Any]) -> list[Panel]:
    panels = []
    for pair in _pair_twins(_list_task_losses(results)):
        last_step = results["study"]["last_step"]
        cells = [cell for curve in pair for cell in list_loss_cells(curve, last_step)]
        figure = draw_over_rank(cells, "Held-out loss, nats a token", is_share=False)
        panels += [Panel(name_setting(pair[0]), figure, pair)] if figure else []
    return panels


def _draw_courses(results: dict[str, Any]) -> list[Panel]:
    return [
        Panel(name_setting(curve), figure, (curve,))
        for curve in _list_task_losses(results)
        if curve["role"] == "task" and not curve["given"] and (figure := draw_over_steps(curve))
    ]


def _list_task_losses(results: dict[str, Any]) -> list[Curve]:
    return [curve for curve in results["loss_curves"] if curve["held_out"] == "task"]


def _is_primary(curve: Curve, results: dict[str, Any]) -> bool:
    return results["study"]["primary"].items() <= curve.items()


def _pair_twins(curves: Iterable[Curve]) -> list[tuple[Curve, ...]]:
    """Put each task curve beside its twin's under the same setting, questions and judge."""
    setting = ("scaling", "alpha", "learning_rate", "u", "trains_a", "given")
    keys = (*setting, "question_set", "judge", "held_out")
    pairs: dict[tuple[Any, ...], tuple[Curve, ...]] = {}
    for curve in curves:
        key = (name_subset(curve), *(curve.get(key) for key in keys))
        while any(other["role"] == curve["role"] for other in pairs.get(key, ())):
            key = (*key, "another dataset")  # a figure has one colour a role
        pairs[key] = (*pairs.get(key, ()), curve)
    return list(pairs.values())


def _take_of_all(curve: Curve) -> Curve:
    """Give the same curve with the other denominator."""
    cells = {
        name: [cell | cell["misaligned_of_all"] for cell in curve[name]]
        for name in ("points", "categories")
    }
    return curve | cells


def _group_outcomes(results: dict[str, Any]) -> list[tuple[str, list[Row]]]:
    """Group the bars of the last checkpoint by dataset, and by setting where there are several."""
    names = name_arms(results["arms"])
    groups: dict[str, list[Row]] = {}
    for row in sorted(results["arms"], key=lambda row: row["rank"] or math.inf):
        if is_final(row, results["study"]["last_step"]):
            label, comma, setting = names[row["arm"]].partition(", ")
            subset = name_subset(row)
            label = label.replace(f" ({subset})", "")
            where = f", {subset}" if subset else ""
            title = f"Trained on {row['dataset']}{where}{comma}{setting}"
            if row["method"] == "base":
                title = "Not finetuned"
            elif row["method"] in GIVEN:
                label, title = names[row["arm"]], "Trained elsewhere"
                title += f", said to be on {row['dataset']}" if row["dataset"] else ""
            bar = {"name": label.removesuffix(" twin")} | {k: row[k] for k in ("role", "outcomes")}
            groups.setdefault(title, []).append(bar)
    order = ["base", "task", "twin"]
    return sorted(groups.items(), key=lambda group: order.index(group[1][0]["role"]))


def _list_choices(answers: AnswerSample) -> dict[str, Sequence[str]]:
    """List what readers can filter by, in the order of the arms and of badness."""
    shown = answers.shown
    outcomes = {answer.outcome for answer in shown}
    return {
        "arm": sorted({answer.arm for answer in shown}, key=_sort_naturally),
        "question_set": sorted({answer.question_set for answer in shown}),
        "outcome": [outcome for outcome in WORST_FIRST if outcome in outcomes],
    }


def _sort_naturally(name: str) -> list[tuple[bool, int, str]]:
    """Sort `rank 4` before `rank 16`."""
    return [(not w.isdigit(), int(w) if w.isdigit() else 0, w) for w in name.split()]
