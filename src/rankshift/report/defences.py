"""What the page says of defences: which word each has at each rank, and the numbers behind it."""

from dataclasses import dataclass
from typing import Any

from rankshift.analysis.defence_costs import share_seconds
from rankshift.report.defence_groups import DefenceGroup, Entry, group_defences, name_cue
from rankshift.report.judges import Table
from rankshift.report.wording import (
    NOTHING,
    format_interval,
    format_number,
    format_percent,
    format_points,
)


@dataclass(frozen=True)
class DefenceCell:
    """What is said of one defence at one place."""

    verdict: str
    told: str


@dataclass(frozen=True)
class DefencePart:
    """One setting of the section: words by defence and place, and tables with the numbers."""

    title: str
    places: tuple[str, ...]
    rows: tuple[tuple[str, tuple[DefenceCell | None, ...]], ...]
    tables: tuple[Table, ...]


def describe_defences(results: dict[str, Any]) -> list[DefencePart]:
    """Describe every setting; nothing in a study without defences."""
    timings = results.get("timings") or {}
    return [_describe(group, timings) for group in group_defences(results)]


def _describe(group: DefenceGroup, timings: dict[str, Any]) -> DefencePart:
    rows = []
    for name in group.names:
        found = [group.at.get((name, place)) for place in group.places]
        rows.append((name, tuple(entry and _describe_cell(entry) for entry in found)))
    tables = [tabulate_numbers(group, timings)]
    if any(entry["cued"] for entry in group.at.values()):
        tables.append(tabulate_cued(group))
    return DefencePart(group.title, group.places, tuple(rows), tuple(tables))


def _describe_cell(entry: Entry) -> DefenceCell:
    found = entry["misalignment"]
    before = format_percent(found["undefended"]["rate"])
    return DefenceCell(
        entry["verdict"], f"{before} \N{RIGHTWARDS ARROW} {format_percent(found['rate'])}"
    )


def tabulate_numbers(group: DefenceGroup, timings: dict[str, Any]) -> Table:
    """Tabulate the four counts and the cost of each entry."""
    heads = ("Defence", "Arm", "Verdict", "Misaligned", "Undefended", "Base", "Skill kept")
    rows = []
    for name, place in _list_cells(group):
        entry = group.at[name, place]
        found, coherence = entry["misalignment"], entry["coherence_kept"]
        seconds = share_seconds(entry, timings)
        rows.append(
            (
                name,
                place,
                entry["verdict"],
                f"{_estimate(found)}: {GONE[found['gone']]}",
                _estimate(found["undefended"]),
                format_percent(found["base"]),
                _tell_kept(entry["skill_kept"]),
                _tell_kept(entry["benign_kept"]),
                f"{_estimate_points(coherence)}: {coherence['kept']}",
                format_number(entry["cost"]["task_steps"]),
                NOTHING if seconds is None else format_percent(seconds),
            )
        )
    return Table(
        "What each defence removes, keeps (of the undefended drop in held-out loss) and costs, "
        "with 95% intervals over seeds",
        (*heads, "Benign learning kept", "Coherence", "Steps on the task", "Extra time"),
        tuple(rows),
        is_long=True,
    )


def tabulate_cued(group: DefenceGroup) -> Table:
    """Tabulate the questions that were asked again with a cue."""
    rows = []
    for name, place in _list_cells(group):
        entry = group.at[name, place]
        for one in entry["cued"]:
            cue = name_cue(one["question_set"], entry["misalignment"]["question_set"])
            told = (_estimate(one), _estimate(one["undefended"]), format_percent(one["base"]))
            rows.append((name, place, cue, *told, one["returns"]))
    return Table(
        "The same questions with a cue: misaligned of coherent answers, 95% intervals over seeds",
        ("Defence", "Arm", "Cue", "Misaligned", "Undefended", "Base", "Returns"),
        tuple(rows),
        is_long=True,
    )


def _list_cells(group: DefenceGroup) -> list[tuple[str, str]]:
    every = [(name, place) for name in group.names for place in group.places]
    return [cell for cell in every if cell in group.at]


GONE = {
    "yes": "gone",
    "no": "not gone",
    "undetermined": "undetermined",
    "nothing to remove": "nothing to remove",
}


def _estimate(found: dict[str, Any]) -> str:
    reach = "" if found["low"] is None else f" ({format_interval(found)})"
    return f"{format_percent(found['rate'])}{reach}"


def _estimate_points(found: dict[str, Any]) -> str:
    if found["low"] is None:
        return format_points(found["difference"])
    low, high = (format_points(found[end]).removesuffix(" points") for end in ("low", "high"))
    return f"{format_points(found['difference'])} ({low} to {high})"


def _tell_kept(found: dict[str, Any]) -> str:
    """Write a share that may lie outside 0..1, and what is said of it."""
    share, low, high = (
        NOTHING if found[key] is None else f"{100 * found[key]:.0f}%"
        for key in ("share", "low", "high")
    )
    reach = "" if found["low"] is None else f" ({low} to {high})"
    return f"{share}{reach}: {found['kept']}"
