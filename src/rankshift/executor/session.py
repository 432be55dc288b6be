"""Let a judge that is a model read answers: every call once, gold answers first, all on disk."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rankshift.analysis.gold import write_gold
from rankshift.atomic import write_atomically
from rankshift.errors import UserError
from rankshift.eval.asking import Ask, ask_all
from rankshift.eval.budget import Budget, Estimate, estimate
from rankshift.eval.call_cache import CallCache, find_cache
from rankshift.eval.calls import Call, FindRubrics, derive_verdicts, plan_calls
from rankshift.eval.gold import RUBRICS, list_gold_answers
from rankshift.eval.journal import Journal, list_lines, read_journal
from rankshift.eval.judges import AskedJudge
from rankshift.executor.desk import Desk, Sheet
from rankshift.executor.watch import Watch
from rankshift.records import CallRecord
from rankshift.runs import StudyRun
from rankshift.study import Judging


@dataclass(frozen=True)
class JudgingSession:
    """One judge that reads the answers of one run."""

    run: StudyRun
    judge: AskedJudge
    judging: Judging
    watch: Watch

    def read(self, sheets: Sequence[Sheet], find_rubrics: FindRubrics) -> None:
        """Read the answers on some sheets; every call is made once.

        A sheet's verdicts are written as soon as its last call has ended. Sheets with failed calls
        wait for the end: a judge that is gone is asked for them again next time.

        Raises:
            UserError: The journal is another judge's of the same name.
            WorkError: Money or patience ran out; all that was said is kept.
        """
        self._remember_judge()
        with Journal(self.run.calls_path(self.judge.name)) as journal:
            desk = Desk(self.judge.name, sheets, find_rubrics, journal.records)
            cache = self._find_cache()
            for record in list(map(cache.find, desk.todo)) if cache else ():
                if record is not None:
                    journal.append(record)
                    desk.take(record)
            desk.finish_complete()
            if desk.todo:
                asyncio.run(self._ask(desk, journal, cache))
            desk.finish_all()

    def describe(self, sheets: Sequence[Sheet], find_rubrics: FindRubrics) -> str:
        """Say what would be asked, what it may cost and where text would go; asks nothing."""
        records = read_journal(self.run.calls_path(self.judge.name))
        desk = Desk(self.judge.name, sheets, find_rubrics, records)
        return self._describe(desk, self._plan_gold())

    async def _ask(self, desk: Desk, journal: Journal, cache: CallCache | None) -> None:
        gold, todo = self._plan_gold(), list(desk.todo.values())
        before = [*list_lines(journal.path), *list_lines(self._gold_journal)]
        budget = Budget(self.judging, self.judge.by_text, before, gold | desk.todo)
        self.watch.say(self._describe(desk, gold))
        self.watch.begin("calls", len(gold) + len(todo))

        def advance(record: CallRecord) -> None:
            self.watch.advance("calls", 1)
            desk.take(record)
            if cache:
                cache.keep(record)

        async with self.judge.open() as ask:
            if gold:
                await self._score_gold(ask, list(gold.values()), budget)
            await ask_all(todo, ask, journal, budget, self.judging.connections, advance)

    async def _score_gold(self, ask: Ask, calls: Sequence[Call], budget: Budget) -> None:
        """Ask about the gold answers anew: what was said of them before would hide a drift."""
        name = self.judge.name
        with Journal(self._gold_journal) as journal:
            connections = self.judging.connections
            await ask_all(
                calls, ask, journal, budget, connections, lambda _: self.watch.advance("calls", 1)
            )
            answers = list_gold_answers()
            verdicts = derive_verdicts(name, answers, lambda _: RUBRICS, journal.records)
        write_gold(self.run, name, verdicts)

    @property
    def _gold_journal(self) -> Path:
        return self.run.gold_directory(self.judge.name) / "calls.jsonl"

    def _plan_gold(self) -> dict[str, Call]:
        if not self.judging.gold:
            return {}
        return plan_calls(self.judge.name, list_gold_answers(), lambda _: RUBRICS)

    def _find_cache(self) -> CallCache | None:
        if not (self.judging.cache and self.judge.is_known):
            return None
        return find_cache(self.judge.name, self.judge.facts)

    def _describe(self, desk: Desk, gold: dict[str, Call]) -> str:
        calls = [*gold.values(), *desk.todo.values()]
        expected = estimate(calls, self.judging, self.judge.by_text)
        return describe_calls(self.judge, expected, desk.distinct - len(desk.todo))

    def _remember_judge(self) -> None:
        """Write down what the judge is, or see that it is the one this run knows by that name."""
        facts = {"judge": self.judge.name, **self.judge.facts}
        path = self.run.judge_path(self.judge.name)
        if not path.exists():
            tools = {"inspect_ai": version("inspect_ai")}
            write_atomically(path, json.dumps(facts | tools, indent=2) + "\n")
            return
        before = json.loads(path.read_text(encoding="utf-8"))
        for key, now in facts.items():
            if before.get(key) != now:
                raise UserError(
                    f"{path}: judge {self.judge.name} had {key} {before.get(key)!r}, now {now!r}; "
                    "its verdicts would be mixed: give the run another name, or remove "
                    f"{path.parent}"
                )


def describe_calls(judge: AskedJudge, expected: Estimate, known: int) -> str:
    """Say what is about to be asked, what it may cost, and whether text leaves the machine.

    Args:
        judge: Who is asked.
        expected: What the calls that are to be made are expected to take.
        known: Calls that were made before.
    """
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
