"""The figures of "What helps?" (docs/results.md), from the defence table of its run.

python -m findings.defences                   # prints them, from findings/results/
python -m findings.defences --take runs/NAME  # puts a finished run's table there first
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rankshift.analysis.defence_costs import share_seconds
from rankshift.report.defence_groups import name_cue
from rankshift.report.defences import GONE

TABLES = Path(__file__).parent / "results" / "defences"

Entry = Mapping[str, Any]


def main() -> None:
    """Print a line for each defence and rank, and the cued questions below."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--take", type=Path, nargs="+", default=[], help="finished runs")
    for run in parser.parse_args().take:
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        TABLES.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(map(json.dumps, take(results)))  # an entry a line
        (TABLES / f"{run.name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    for path in sorted(TABLES.glob("*.json")):
        print(path.stem)
        for line in list_lines(json.loads(path.read_text(encoding="utf-8"))):
            print(line)


def take(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the entries of a run's results, with the time that each defence took as a share."""
    timings = results["timings"]
    return [one | {"seconds_share": share_seconds(one, timings)} for one in results["defences"]]


def list_lines(entries: Sequence[Entry]) -> Iterator[str]:
    """Write the entries as the rows of two tables of Markdown."""
    kept = "skill kept | benign kept | coherence"
    yield f"| defence | rank | verdict | misaligned | {kept} | steps, time |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in entries:
        yield _join(*_list_cells(one))
    yield ""
    yield from _list_cued(entries)


def _list_cued(entries: Sequence[Entry]) -> Iterator[str]:
    """Write a row for each entry and for each rank without a defence, a column for each cue."""
    first = entries[0]
    plain = first["misalignment"]["question_set"]
    cues = [name_cue(one["question_set"], plain) for one in first["cued"]]
    bases = [
        f"{cue} (base {100 * o['base']:.0f})" for cue, o in zip(cues, first["cued"], strict=True)
    ]
    yield "| defence | rank | " + " | ".join(bases) + " |"
    yield "|---|---|" + "---|" * len(cues)
    met: set[str] = set()
    for one in entries:
        name, rank = _name(one)
        if rank not in met:
            met.add(rank)
            yield _join("none", rank, *(_percent(cued["undefended"]) for cued in one["cued"]))
        told = (f"{_percent(cued)}: {cued['returns']}" for cued in one["cued"])
        yield _join(name, rank, *told)


def _join(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _list_cells(one: Entry) -> tuple[str, ...]:
    found, coherence, cost = one["misalignment"], one["coherence_kept"], one["cost"]
    seconds = one["seconds_share"]
    return (
        *_name(one),
        one["verdict"],
        f"{100 * found['undefended']['rate']:.0f} -> {_percent(found)}: {GONE[found['gone']]}",
        *(f"{_share(one[key])}: {one[key]['kept']}" for key in ("skill_kept", "benign_kept")),
        f"{_interval(coherence, coherence['difference'])}: {coherence['kept']}",
        f"{cost['task_steps']:.0f}, +{100 * (seconds or 0):.0f} %",
    )


def _name(one: Entry) -> tuple[str, str]:
    return one["defence"]["label"], str(one["rank"] or "full")


def _percent(found: Mapping[str, Any]) -> str:
    return _interval(found, found["rate"])


def _share(found: Mapping[str, Any]) -> str:
    return "-" if found["share"] is None else _interval(found, found["share"])


def _interval(ends: Mapping[str, Any], mean: float | None) -> str:
    """Write a mean in hundredths with its interval, where it has one."""
    if mean is None:
        return "-"
    if ends["low"] is None:
        return f"{100 * mean:.0f}"
    return f"{100 * mean:.0f} ({100 * ends['low']:.0f} to {100 * ends['high']:.0f})"


if __name__ == "__main__":
    main()
