"""Results and answers to one self-contained HTML page, and the files that it links to.

Model text is hostile: Jinja escapes it, what is invisible is written out, the answers travel as
JSON, and a Content-Security-Policy lets nothing run but the page's own script, named by its hash.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rankshift.analysis.curves import is_final
from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.analysis.results import summarize, write_results
from rankshift.atomic import write_atomically
from rankshift.report.answer_file import write_answer_file
from rankshift.report.answers import (
    WORST_FIRST,
    AnswerSample,
    pack_answers,
    sample_answers,
    select_last,
)
from rankshift.report.capability import describe_capability
from rankshift.report.charts import Chart, number_names, write_charts
from rankshift.report.courses import draw_courses, draw_training, list_ranks, spread
from rankshift.report.curve_charts import (
    GIVEN,
    OF_ALL,
    Shares,
    draw_excess,
    draw_losses,
    draw_shares,
    has_category,
    has_new_questions,
    is_primary,
    pair_twins,
    take_of_all,
)
from rankshift.report.defence_charts import draw_defences
from rankshift.report.defence_sentence import tell_defences
from rankshift.report.defences import describe_defences
from rankshift.report.foretold import draw_foretold, tell_foretold
from rankshift.report.glance import list_facts
from rankshift.report.headline import write_headline
from rankshift.report.inside import describe_inside, draw_shares_inside
from rankshift.report.judges import describe_judges
from rankshift.report.matched import draw_matched, draw_tradeoff, list_lacking
from rankshift.report.outcomes import STACK, chart_outcomes
from rankshift.report.settings import flatten, name_models
from rankshift.report.sheets import TOLD
from rankshift.report.traits import draw_traits
from rankshift.report.verdicts import describe_robustness, name_reading, tabulate_peaks
from rankshift.report.visible import reveal
from rankshift.report.wording import (
    NOTHING,
    format_interval,
    format_loss,
    format_number,
    format_percent,
    format_points,
    name_arms,
    name_match,
    tell_full,
    tell_origin,
)
from rankshift.runs import StudyRun

FOLDER = Path(__file__).parent

FILES = "report"
"""The folder beside the page with what it links to; its templates name it too."""

ANSWER_FILE = "answers.csv"

Charts = dict[str, list[Chart]]


@dataclass(frozen=True)
class Report:
    """The page, and the charts whose files it links to."""

    html: str
    charts: Sequence[Chart]


def sum_up(run: StudyRun, arms: Sequence[MeasuredArm] | None = None) -> None:
    """Write results.json and the page from one reading of a run's records, finished or not.

    Args:
        run: The run.
        arms: What `read_measurements` gave of it; None reads it.

    Raises:
        UserError: A file of the run is not what its name says.
    """
    arms = read_measurements(run) if arms is None else arms
    results = summarize(run, arms)
    write_results(run, results)
    write_page(run, results, arms)


def write_page(
    run: StudyRun, results: dict[str, Any], arms: Sequence[MeasuredArm] | None = None
) -> None:
    """Write the page of a run, its charts as files, and all its answers; each file atomically.

    Args:
        run: The run.
        results: Content of its results.json.
        arms: What `read_measurements` gave of it; None reads it.

    Raises:
        UserError: A file of the run is not what its name says.
    """
    study, _ = run.read_study()
    arms = read_measurements(run) if arms is None else arms
    report = make_report(results, sample_answers(select_last(arms, study)))
    write_charts(run.directory / FILES, report.charts)
    write_answer_file(run.directory / FILES / ANSWER_FILE, arms)
    write_atomically(run.report_path, report.html)


def make_report(results: dict[str, Any], answers: AnswerSample) -> Report:
    """Draw the charts and fill the page's template; the same input gives the same bytes.

    Args:
        results: Content of results.json, the only source of numbers.
        answers: The answers that readers can browse.
    """
    charts = {section: number_names(drawn) for section, drawn in _draw_all(results).items()}
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    html = (
        _make_environment()
        .get_template("page.html.j2")
        .render(
            results=results,
            study=results["study"],
            headline=write_headline(results),
            facts=list_facts(results),
            style=(FOLDER / "page.css").read_text(encoding="utf-8"),
            script=script,
            script_hash=digest,
            charts=charts,
            spread=spread,
            ranks_of=list_ranks,
            peaks=tabulate_peaks(results),
            robustness=describe_robustness(results),
            lacking=list_lacking(results),
            judges=describe_judges(results),
            capability=describe_capability(results),
            inside=describe_inside(results),
            defences=describe_defences(results),
            defence_sentence=tell_defences(results),
            foretold=tell_foretold(results),
            answers=answers,
            answer_data=pack_answers(answers.shown),
            worst_first=WORST_FIRST,
            guarded=TOLD,
            settings=list(flatten(name_models(results["study"]["settings"]))),
            final_rows=[r for r in results["arms"] if is_final(r, results["study"]["last_step"])],
            provenance=list(flatten(results["provenance"])),
            names=name_arms(results["arms"]),
        )
    )
    return Report(html, [chart for drawn in charts.values() for chart in drawn])


def render_page(results: dict[str, Any], answers: AnswerSample) -> str:
    """Give the page alone; as `make_report`."""
    return make_report(results, answers).html


def _make_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters |= {
        "percent": format_percent,
        "interval": format_interval,
        "loss": format_loss,
        "number": format_number,
        "points": format_points,
        "origin": tell_origin,
        "full": tell_full,
        "match": name_match,
        "reading": name_reading,
        "has_category": has_category,
        "has_new_questions": has_new_questions,
    }
    environment.globals |= {"nothing": NOTHING, "stack": STACK, "flatten": flatten}
    return environment


def _finalize(value: object) -> object:
    """Write out what is invisible in any text of the page; its own markup has nothing such."""
    return reveal(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _draw_all(results: dict[str, Any]) -> Charts:
    """Draw every section's charts, in the order of the page."""
    pairs = pair_twins(results["curves"])
    primary = [pair for pair in pairs if is_primary(pair[0], results)]
    of_all = [tuple(map(take_of_all, pair)) for pair in primary]
    others = [pair for pair in pairs if pair not in primary]
    code = pair_twins(results["insecure_code_curves"])
    single = {
        "tradeoff": draw_tradeoff(results),
        "traits": draw_traits(results),
        "outcomes": chart_outcomes(results),
        "inside": draw_shares_inside(results),
    }
    return {
        "rank": draw_shares(primary, Shares("misaligned-of-coherent", GIVEN)),
        "of_all": draw_shares(of_all, Shares("misaligned-of-all", OF_ALL)),
        "others": draw_shares(others, Shares("other-questions", GIVEN, is_asked_named=True)),
        "matched": draw_matched(results),
        "excess": draw_excess(results),
        "derived": draw_shares(
            pair_twins(results.get("derived_curves") or ()),
            Shares("updates-cut-or-scaled", GIVEN, is_asked_named=True),
        ),
        "code": draw_shares(
            code, Shares("insecure-code", "Insecure, of judged code", is_asked_named=True)
        ),
        "loss": draw_losses(results),
        "courses": draw_courses(results),
        "training": draw_training(results),
        "foretold": draw_foretold(results),
        "defences": draw_defences(results),
        **{name: [chart] if chart else [] for name, chart in single.items()},
    }
