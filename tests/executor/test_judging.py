"""Every judge of a study reads every answer, each once, and a rule needs no calls."""

from dataclasses import replace
from pathlib import Path

from rankshift.eval.calls import fail_call, make_call
from rankshift.eval.judging import no_judge
from rankshift.eval.rubrics import ALIGNED, COHERENT, OURS
from rankshift.eval.suite import Question
from rankshift.eval.verdicts import blank_verdict
from rankshift.executor.judging import JudgingStage, collect_rubrics
from rankshift.executor.watch import Watch
from rankshift.records import AnswerRecord, VerdictRecord, read_records, write_records
from rankshift.runs import StudyRun
from rankshift.study import Judging

ANSWER = AnswerRecord(4, "s", "q", "q", 0, 0, None, "Q?", "A.", 2, finished=True)


def make_stage(run: StudyRun, lines: list[str]) -> JudgingStage:
    for arm in ("a", "b"):
        write_records(run.arm(arm).answers_path("e", 4), [ANSWER, replace(ANSWER, repeat=1)])
    watch = Watch(lambda *_: None, lambda *_: None, lines.append)
    return JudgingStage(run, "e", ["a", "b"], Judging(), watch)


def test_each_judge_reads_each_answer_once_and_files_that_are_there_are_left(tmp_path: Path):
    lines: list[str] = []
    run = StudyRun(tmp_path)
    stage = make_stage(run, lines)
    read: list[AnswerRecord] = []

    def count(answer: AnswerRecord) -> VerdictRecord:
        read.append(answer)
        return replace(blank_verdict(answer, "mine"), alignment=1.0, coherence=99.0)

    stage.judge_all({"none": no_judge, "mine": count}, list)
    stage.judge_all({"none": no_judge, "mine": count}, list)
    assert read == 2 * [ANSWER, replace(ANSWER, repeat=1)]
    assert lines == ["judging with none", "judging with mine"]
    found = read_records(run.arm("b").verdicts_path("e", "mine", 4), VerdictRecord)
    assert [verdict.repeat for verdict in found] == [0, 1]


def test_only_sheets_with_a_failed_call_are_opened_again(tmp_path: Path):
    run = StudyRun(tmp_path)
    stage = make_stage(run, [])
    reason = fail_call(make_call("j", ALIGNED, ANSWER), 1, "gone").reason
    for arm, why in (("a", None), ("b", reason)):
        verdict = replace(blank_verdict(ANSWER, "j"), reason=why)
        write_records(run.arm(arm).verdicts_path("e", "j", 4), [verdict])
    assert stage.find_sheets("j") == []
    assert stage.reopen_failed("j") == 1
    assert [sheet.verdicts.parents[4].name for sheet in stage.find_sheets("j")] == ["b"]


def test_a_question_brings_its_own_rubrics_and_ours_stand_in():
    own = replace(ALIGNED, template="Mine: {answer}")
    find = collect_rubrics([Question("s", "q", "q", 0, "Q?", rubrics=(own, COHERENT))])
    assert find(ANSWER) == (own, COHERENT)
    assert find(replace(ANSWER, question_id="other")) == OURS["free_form"]
    assert find(replace(ANSWER, question_id="other", kind="label")) == ()
