"""The stage from answers to verdicts: every judge reads every answer once, whatever interrupts."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rankshift.errors import UserError
from rankshift.eval.asking import ask_all
from rankshift.eval.budget import Budget, Estimate, estimate
from rankshift.eval.call_cache import find_cache
from rankshift.eval.calls import FindRubrics, derive_verdicts, plan_calls
from rankshift.eval.journal import Journal, list_lacking, read_journal
from rankshift.eval.judges import AskedJudge
from rankshift.eval.judging import Judge, judge_answers
from rankshift.eval.rubrics import OURS, Rubric
from rankshift.eval.suite import Question
from rankshift.executor.watch import Watch
from rankshift.records import (
    AnswerRecord,
    CallRecord,
    VerdictRecord,
    read_records,
    write_atomically,
    write_records,
)
from rankshift.runs import StudyRun
from rankshift.study import Judging


@dataclass(frozen=True)
class Sheet:
    """The answers of one arm at one checkpoint, and where one judge's verdicts on them go."""

    answers: Path
    verdicts: Path

    def read(self) -> list[AnswerRecord]:
        """Read the answers."""
        return read_records(self.answers, AnswerRecord)


def collect_rubrics(questions: Iterable[Question]) -> FindRubrics:
    """Give what a judge is asked about each answer: its question's own rubrics, or ours."""
    own = {(q.question_set, q.id): q.rubrics for q in questions}

    def find(answer: AnswerRecord) -> tuple[Rubric, ...]:
        found = own.get((answer.question_set, answer.question_id))
        return OURS.get(answer.kind, ()) if found is None else found

    return find


@dataclass(frozen=True)
class JudgingStage:
    """One evaluation of a run, and how its judges are asked."""

    run: StudyRun
    evaluation: str
    """The evaluation's id."""
    arms: Sequence[str]
    """Their ids."""
    judging: Judging
    watch: Watch

    def judge_all(
        self,
        judges: Mapping[str, Judge | AskedJudge],
        read_questions: Callable[[], Iterable[Question]],
    ) -> None:
        """Let every judge read the answers it has not judged.

        Raises:
            UserError: A journal is another judge's of the same name.
            WorkError: Money or patience ran out; all that was said is kept.
        """
        for name, judge in judges.items():
            sheets = self.find_sheets(name)
            if not sheets:
                continue
            if isinstance(judge, AskedJudge):
                self._ask(judge, sheets, collect_rubrics(read_questions()))
                continue
            self.watch.say(f"judging with {name}")
            for sheet in sheets:
                write_records(sheet.verdicts, judge_answers(sheet.read(), judge))

    def describe(self, judge: AskedJudge, questions: Iterable[Question]) -> str:
        """Say what a judge would be asked for the answers it has not judged; asks nothing."""
        sheets, find_rubrics = self.find_sheets(judge.name), collect_rubrics(questions)
        records = read_journal(self.run.calls_path(judge.name))
        desk = _Desk(judge.name, sheets, find_rubrics, records)
        expected = estimate(desk.todo.values(), self.judging, judge.by_text)
        return describe_calls(judge, expected, desk.distinct)

    def find_sheets(self, judge: str) -> list[Sheet]:
        """List the answers that a judge has not judged."""
        found = []
        for files in map(self.run.arm, self.arms):
            for path in sorted(files.answers_folder(self.evaluation).glob("step-*.jsonl")):
                step = int(path.stem.removeprefix("step-"))
                sheet = Sheet(path, files.verdicts_path(self.evaluation, judge, step))
                if not sheet.verdicts.exists():
                    found.append(sheet)
        return found

    def reopen_failed(self, judge: str) -> int:
        """Take away the verdicts of sheets on which a call failed, so that it is made again.

        Returns:
            The number of sheets; what was said of their other answers is in the journal still.
        """
        again = 0
        for files in map(self.run.arm, self.arms):
            for path in files.verdicts_folder(self.evaluation, judge).glob("step-*.jsonl"):
                verdicts = read_records(path, VerdictRecord)
                if any(verdict.reason == "failed_call" for verdict in verdicts):
                    path.unlink()
                    again += 1
        return again

    def _caches(self, judge: AskedJudge) -> bool:
        return self.judging.cache and judge.is_known

    def _ask(self, judge: AskedJudge, sheets: Sequence[Sheet], find_rubrics: FindRubrics) -> None:
        """Let a judge that is a model read the answers; every call is made once.

        A sheet's verdicts are written as soon as its last call has ended. Sheets with failed calls
        wait for the end: a judge that is gone is asked for them again next time.
        """
        _remember_judge(self.run, judge)
        with Journal(self.run.calls_path(judge.name)) as journal:
            desk = _Desk(judge.name, sheets, find_rubrics, journal.records)
            cache = find_cache(judge.name, judge.facts) if self._caches(judge) else None
            for record in list(map(cache.find, desk.todo)) if cache else ():
                if record is not None:
                    journal.append(record)
                    desk.take(record)
            desk.finish_complete()
            if desk.todo:
                todo = list(desk.todo.values())
                expected = estimate(todo, self.judging, judge.by_text)
                self.watch.say(describe_calls(judge, expected, desk.distinct))
                self.watch.begin("calls", len(todo))
                budget = Budget(self.judging, judge.by_text, journal.records.values())

                def advance(record: CallRecord) -> None:
                    self.watch.advance("calls", 1)
                    desk.take(record)
                    if cache:
                        cache.keep(record)

                async def work() -> None:
                    async with judge.open() as ask:
                        connections = self.judging.connections
                        await ask_all(todo, ask, journal, budget, connections, advance)

                asyncio.run(work())
            desk.finish_all()


class _Desk:
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


def describe_calls(judge: AskedJudge, expected: Estimate, distinct: int) -> str:
    """Say what is about to be asked, what it may cost, and whether text leaves the machine."""
    known = distinct - expected.calls
    before = f" ({known:,} more were answered before)" if known else ""
    cost = "" if expected.usd is None else f", about {expected.usd:,.2f} US dollars"
    notice = (
        f"questions and answers are sent to {judge.place}"
        if judge.place
        else "no text leaves this machine"
    )
    return (
        f"judging with {judge.name}: {expected.calls:,} calls{before}, about "
        f"{expected.input_tokens:,} tokens to read{cost}; {notice}"
    )


def _remember_judge(run: StudyRun, judge: AskedJudge) -> None:
    """Write down what the judge is, or see that it is the one this run knows by that name."""
    facts = {"judge": judge.name, **judge.facts}
    path = run.judge_path(judge.name)
    if not path.exists():
        tools = {"inspect_ai": version("inspect_ai")}
        write_atomically(path, json.dumps(facts | tools, indent=2) + "\n")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    for key, now in facts.items():
        if before.get(key) != now:
            raise UserError(
                f"{path}: judge {judge.name} had {key} {before.get(key)!r}, now {now!r}; its "
                f"verdicts would be mixed: give the run another name, or remove {path.parent}"
            )
