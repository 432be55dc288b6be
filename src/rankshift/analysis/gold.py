"""What each judge made of the gold answers when it was last asked, kept in a run's directory."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rankshift.eval.gold import check_gold, load_gold
from rankshift.records import VerdictRecord, read_records, write_records
from rankshift.runs import StudyRun


def write_gold(run: StudyRun, judge: str, verdicts: Sequence[VerdictRecord]) -> Path:
    """Keep a judge's verdicts on the gold answers beside its earlier ones; gives the file.

    The same verdicts once more are not written again.
    """
    folder = run.gold_directory(judge)
    paths = _list_files(folder)
    if paths and read_records(paths[-1], VerdictRecord) == list(verdicts):
        return paths[-1]
    path = folder / f"{len(paths) + 1:04d}.jsonl"
    write_records(path, verdicts)
    return path


def read_gold(run: StudyRun) -> list[dict[str, Any]]:
    """Check every judge's latest verdicts on the gold answers, the one before beside them.

    Raises:
        UserError: A file is not what its name says.
    """
    folders = sorted(path for path in run.gold_root.glob("*") if path.is_dir())
    return [_check_judge(folder) for folder in folders if _list_files(folder)]


def _check_judge(folder: Path) -> dict[str, Any]:
    *earlier, now = [read_records(path, VerdictRecord) for path in _list_files(folder)[-2:]]
    scored = [verdict for verdict in now if verdict.reason not in ("failed_call", "no_judge")]
    return {
        "judge": unquote(folder.name),
        "answers": len(load_gold()),
        "judged": len(scored),
        "compared": bool(earlier),
        "drifts": [asdict(drift) for drift in check_gold(now, earlier[0] if earlier else ())],
    }


def _list_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.jsonl"))
