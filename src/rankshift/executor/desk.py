"""Answers on their way through a judge: which calls they wait for, and verdicts as these end."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankshift.eval.calls import FindRubrics, derive_verdicts, plan_calls
from rankshift.eval.journal import list_lacking
from rankshift.records import AnswerRecord, CallRecord, read_records, write_records


@dataclass(frozen=True)
class Sheet:
    """The answers of one arm at one checkpoint, and where one judge's verdicts on them go."""

    answers: Path
    verdicts: Path

    def read(self) -> list[AnswerRecord]:
        """Read the answers."""
        return read_records(self.answers, AnswerRecord)


class Desk:
    """Sheets that wait for calls, each finished when its last call has ended.

    `records` is the journal's, so that it holds every call that has ended.
    """

    def __init__(
        self,
        judge: str,
        sheets: Sequence[Sheet],
        find_rubrics: FindRubrics,
        records: Mapping[str, CallRecord],
    ) -> None:
        self.judge, self.find_rubrics, self.records = judge, find_rubrics, records
        self.answers = {sheet: sheet.read() for sheet in sheets}
        plans = {s: plan_calls(judge, read, find_rubrics) for s, read in self.answers.items()}
        calls = {key: call for plan in plans.values() for key, call in plan.items()}
        self.distinct = len(calls)
        self.todo = {key: calls[key] for key in list_lacking(records, calls)}
        """Calls that are to be made, by key."""
        self.waiting = {sheet: set(list_lacking(records, plan)) for sheet, plan in plans.items()}
        self.waited_for: dict[str, list[Sheet]] = defaultdict(list)
        for sheet, keys in self.waiting.items():
            for key in keys:
                self.waited_for[key].append(sheet)

    def take(self, record: CallRecord) -> None:
        """Take note of a call that ended."""
        self.todo.pop(record.key)
        for sheet in self.waited_for[record.key] if record.reason != "failed_call" else ():
            self.waiting[sheet].discard(record.key)
            if not self.waiting[sheet]:
                self._finish(sheet)

    def finish_complete(self) -> None:
        """Finish the sheets whose every call was made before."""
        for sheet in [sheet for sheet, keys in self.waiting.items() if not keys]:
            self._finish(sheet)

    def finish_all(self) -> None:
        """Finish the sheets that are left, failed calls and all."""
        for sheet in list(self.waiting):
            self._finish(sheet)

    def _finish(self, sheet: Sheet) -> None:
        answers = self.answers.pop(sheet)
        verdicts = derive_verdicts(self.judge, answers, self.find_rubrics, self.records)
        write_records(sheet.verdicts, verdicts)
        del self.waiting[sheet]
