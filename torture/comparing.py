"""Two runs of one study, compared: results bit for bit, answers and verdicts record by record."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankshift.eval.journal import list_lines
from rankshift.runs import StudyRun

VOLATILE = ("written", "sha256", "commit", "dirty")
"""Of a preregistration: when it was written and from what checkout, and the hash over that; who
edits the source meanwhile changes no number."""

PLACE = ("question_set", "question_id", "paraphrase", "repeat")
"""What tells an answer of one file from the others."""


@dataclass(frozen=True)
class Difference:
    """How a run differs from one that nothing disturbed."""

    is_identical: bool
    """Results but for times, weights, and every record of every arm."""
    lost: int
    """Answers and verdicts that are not there."""
    doubled: int
    """Answers and verdicts that are there more than once, and calls that two lines tell of."""


def compare_runs(whole: StudyRun, other: StudyRun) -> Difference:
    """Compare a run with one that nothing disturbed."""
    expected, got = _count_places(whole), _count_places(other)
    lost = sum((expected - got).values())
    doubled = sum(count - 1 for count in got.values() if count > 1)
    is_identical = read_results(whole) == read_results(other) and _read_arms(whole) == _read_arms(
        other
    )
    return Difference(is_identical, lost, doubled + _count_doubled_calls(other))


def read_results(run: StudyRun) -> dict[str, Any]:
    """Read results.json without what the documents say differs from run to run."""
    results = json.loads(run.results_path.read_text(encoding="utf-8"))
    del results["timings"]
    for key in VOLATILE:
        results["preregistration"].pop(key)
    for part in ("shared", "varying"):
        results["provenance"][part].pop("git", None)
    return results


def _read_arms(run: StudyRun) -> dict[Path, bytes]:
    """Read every file of every arm but those that tell times."""
    folder = run.directory / "arms"
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "provenance.json"
    }


def _count_places(run: StudyRun) -> Counter[tuple[object, ...]]:
    """Count the records at each place that an answer or a verdict has."""
    folder = run.directory / "arms"
    found: Counter[tuple[object, ...]] = Counter()
    for path in folder.glob("*/evaluations/**/*.jsonl"):
        if path.parent.name == "choices":
            continue
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            row = json.loads(line)
            found[path.relative_to(folder), *(row[key] for key in PLACE)] += 1
    return found


def _count_doubled_calls(run: StudyRun) -> int:
    """Count lines of journals that tell of a call a second time; a failed one may be made again."""
    doubled = 0
    for path in run.directory.glob("judging/*.jsonl"):
        made = Counter(line.key for line in list_lines(path) if line.reason != "failed_call")
        doubled += sum(count - 1 for count in made.values())
    return doubled
