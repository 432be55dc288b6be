"""The stage from answers to verdicts: every judge reads every answer once, whatever interrupts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rankshift.eval.calls import FindRubrics
from rankshift.eval.judges import AskedJudge
from rankshift.eval.judging import Judge, judge_answers
from rankshift.eval.rubrics import OURS, Rubric
from rankshift.eval.suite import Question
from rankshift.executor.desk import Sheet
from rankshift.executor.session import JudgingSession
from rankshift.executor.watch import Watch
from rankshift.records import AnswerRecord, VerdictRecord, read_records, write_records
from rankshift.runs import StudyRun
from rankshift.study import Judging


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
                session = JudgingSession(self.run, judge, self.judging, self.watch)
                session.read(sheets, collect_rubrics(read_questions()))
                continue
            self.watch.say(f"judging with {name}")
            for sheet in sheets:
                write_records(sheet.verdicts, judge_answers(sheet.read(), judge))

    def describe(self, judge: AskedJudge, questions: Iterable[Question]) -> str:
        """Say what a judge would be asked for the answers it has not judged; asks nothing."""
        session = JudgingSession(self.run, judge, self.judging, self.watch)
        return session.describe(self.find_sheets(judge.name), collect_rubrics(questions))

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
