import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.analysis.measurements import join_verdicts, read_measurements
from rankshift.errors import UserError
from rankshift.records import AnswerRecord, StepRecord, VerdictRecord, write_records
from rankshift.runs import StudyRun
from tests.synthetic_run import ANSWERS, TASK, make_study, write_run

ANSWER = AnswerRecord(4, "set", "q", "c", 0, 0, None, "Why?", "Because.", 2, finished=True)
VERDICT = VerdictRecord(4, "set", "q", 0, 0, "judge", 90.0, 90.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    return write_run(tmp_path_factory.mktemp("runs"))


def copy_run(run: StudyRun, folder: Path) -> StudyRun:
    return StudyRun(shutil.copytree(run.directory, folder / run.directory.name))


def test_verdicts_find_their_answers_in_any_order():
    second = replace(ANSWER, repeat=1)
    harsh = replace(VERDICT, repeat=1, alignment=0.0)
    joined = join_verdicts([ANSWER, second], [harsh, VERDICT], "judge", Path("v.jsonl"))
    assert [judged.outcome for judged in joined] == ["aligned", "misaligned"]


def test_an_answer_that_nobody_judged_stays_unscored():
    (judged,) = join_verdicts([ANSWER], [], "judge", Path("v.jsonl"))
    assert (judged.outcome, judged.reason) == ("unscored", "no_judge")


def test_a_verdict_on_no_answer_is_refused_by_line():
    stray = replace(VERDICT, question_id="z")
    with pytest.raises(UserError) as error:
        join_verdicts([ANSWER], [VERDICT, stray], "judge", Path("v.jsonl"))
    assert str(error.value) == (
        "v.jsonl:2: answer 0 to question z is not among the answers; "
        "remove the file and judge again"
    )


def test_a_second_verdict_on_an_answer_is_refused_by_line():
    with pytest.raises(UserError, match=r"^v\.jsonl:2: answer 0 to question q is judged twice; "):
        join_verdicts([ANSWER], [VERDICT, VERDICT], "judge", Path("v.jsonl"))


def test_arms_come_in_the_order_of_the_grid_the_base_first(run: StudyRun):
    labels = [arm.arm.label for arm in read_measurements(run)]
    assert labels[:3] == ["base", "rank 1 seed 1", "rank 1 seed 2"]
    assert labels[-1] == "full seed 1 twin"


def test_a_twin_has_a_loss_on_the_task_and_one_of_its_own(run: StudyRun):
    arms = {arm.arm.label: arm for arm in read_measurements(run)}
    twin, task = arms["rank 4 seed 1 twin"], arms["rank 4 seed 1"]
    assert (twin.task_loss[4], twin.own_loss[4]) == (1.6, 0.6)
    assert task.arm.dataset == TASK
    assert task.own_loss == task.task_loss
    assert arms["base"].own_loss == {}


def test_an_arm_that_has_not_begun_is_not_there(run: StudyRun, tmp_path: Path):
    run = copy_run(run, tmp_path)
    arms = read_measurements(run)
    run.arm(arms[3].id).arm_path.unlink()
    assert [arm.id for arm in read_measurements(run)] == [a.id for a in arms if a is not arms[3]]


def test_the_effective_rank_is_that_of_the_narrowest_target(run: StudyRun):
    arm = read_measurements(run)[-3]
    assert arm.effective_rank == arm.arm.rank
    capped = replace(arm, facts={"effective_rank": {"q_proj": 256, "v_proj": 64}})
    assert capped.effective_rank == 64


def test_a_loss_that_is_not_finite_is_where_the_arm_stopped(run: StudyRun, tmp_path: Path):
    run = copy_run(run, tmp_path)
    arm = read_measurements(run)[1]
    assert arm.stopped_at is None
    steps = [StepRecord(1, 2.0, 9, 1.0, 1e-3), StepRecord(2, None, 9, None, 1e-3)]
    write_records(run.arm(arm.id).steps_path, steps)
    assert read_measurements(run)[1].stopped_at == 2


def test_without_verdicts_every_answer_is_read_and_unscored(tmp_path: Path):
    arm = read_measurements(write_run(tmp_path, make_study(judge="none")))[1]
    free_form = [judged for judged in arm.answers[4] if judged.answer.kind == "free_form"]
    assert len(free_form) == ANSWERS
    assert {judged.reason for judged in free_form} == {"no_judge"}


def test_a_loss_on_the_twins_rows_is_there_of_twins_and_of_a_base_that_has_it(run: StudyRun):
    arms = {arm.arm.label: arm for arm in read_measurements(run)}
    twin = arms["rank 4 seed 1 twin"]
    assert twin.twin_loss == twin.own_loss
    assert arms["rank 4 seed 1"].twin_loss == arms["base"].twin_loss == {}
