"""What was foretold of a run's finetunes beside what became of them."""

from typing import Any

from rankshift.forecast_records import FILE, read_evidence
from rankshift.runs import StudyRun


def describe_foretold(run: StudyRun) -> list[dict[str, Any]] | None:
    """Give every forecast of a finetune with its rate, as results.json has it; None without any."""
    path = run.directory / FILE
    if not path.is_file():
        return None
    evidence = read_evidence(path)
    happened = {one.arm: one for one in evidence.finetunes}
    return [
        {
            "arm": one.arm,
            "rank": happened[one.arm].rank,
            "u": happened[one.arm].u,
            "seed": happened[one.arm].seed,
            "share": one.share,
            "foretold": one.rate,
            "low": one.low,
            "high": one.high,
            "rate": happened[one.arm].rate,
        }
        for one in evidence.foretold
    ]
