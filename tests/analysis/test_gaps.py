from collections.abc import Sequence
from dataclasses import replace

import pytest

from rankshift.analysis.gaps import list_gaps
from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.analysis.results import summarize
from rankshift.arms import Arm
from rankshift.defence import Defences
from rankshift.grid import NO_GRID, Derived
from rankshift.runs import StudyRun
from rankshift.study import GivenModel
from tests.synthetic_run import QUESTIONS, make_study, write_run

STUDY = make_study()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    return write_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def arms(run: StudyRun) -> Sequence[MeasuredArm]:
    return read_measurements(run)


def row(**reasons: int) -> dict:
    faults = (
        dict.fromkeys(("no_judge", "unparsable", "low_mass", "failed_call", "not_given"), 0)
        | reasons
    )
    return {"outcomes": {"answers": 20, "unscored_reasons": faults}}


def test_unscored_answers_are_counted_with_their_reason(run: StudyRun):
    # 1 base and 12 trained arms at 2 checkpoints, one failed call each.
    assert (
        "The alignment of 25 of 500 answers to the primary questions: unscored "
        "(25 for a failed call to the judge)."
    ) in summarize(run)["not_measured"]


def test_without_a_judge_every_answer_is_said_to_be_unscored(arms: Sequence[MeasuredArm]):
    gaps = list_gaps(STUDY, arms, [row(no_judge=20), row(no_judge=20)])
    assert (
        "The alignment of every answer to the primary questions: unscored (40 for no judge)."
    ) in gaps


def test_scored_answers_leave_no_sentence(arms: Sequence[MeasuredArm]):
    assert not any("unscored" in gap for gap in list_gaps(STUDY, arms, [row()]))


def test_an_arm_that_stopped_is_named(arms: Sequence[MeasuredArm]):
    stopped = [arms[0], replace(arms[1], stopped_at=3), *arms[2:]]
    gaps = list_gaps(STUDY, stopped, [])
    assert any(gap.startswith("rank 1 seed 1: stopped at step 3") for gap in gaps)
    assert "Misalignment: no question has been answered." in gaps


def test_arms_that_are_not_trained_yet_are_counted(arms: Sequence[MeasuredArm]):
    gaps = list_gaps(STUDY, arms[:-2], [])
    assert "2 of 13 arms: not trained to the last checkpoint yet." in gaps
    assert not any("not trained" in gap for gap in list_gaps(STUDY, arms, []))


def test_what_the_grid_leaves_out_is_said(arms: Sequence[MeasuredArm]):
    grid = replace(STUDY.grid, full_learning_rates=(), twin_seeds=(), seeds=(1, 2))
    said = list_gaps(replace(STUDY, grid=grid), arms, [])
    unsaid = list_gaps(STUDY, arms, [])
    for start in ("A benign twin:", "Full finetuning:", "Intervals over seeds:"):
        assert any(gap.startswith(start) for gap in said), start
        assert not any(gap.startswith(start) for gap in unsaid), start


def test_of_given_models_it_is_said_what_neither_files_nor_a_run_can_tell():
    adapter = Arm("adapter", "task", None, 4, 8.0, "alpha/rank", target_modules=("q_proj",))
    whole = Arm("model", "task", name="whole")
    named = {"given": {"trained_on_base": "a/b", "asked_over": "a/b"}}
    other = {"given": {"trained_on_base": "c/d", "asked_over": "a/b"}}
    silent = {"given": {"trained_on_base": None, "asked_over": "a/b"}}

    def tell(arm: Arm, facts: dict) -> list[str]:
        measured = MeasuredArm("x", arm, {0: 1.0}, {}, {}, facts, None)
        study = replace(STUDY, grid=NO_GRID, models=(GivenModel("mine", "m"),))
        gaps = list_gaps(study, [measured], [row()])
        assert any("How the given models were trained" in gap for gap in gaps)
        assert not any("Full finetuning" in gap for gap in gaps)
        return [gap for gap in gaps if "mine" in gap or "whole" in gap]

    adapter = replace(adapter, name="mine")
    assert tell(adapter, named) == []
    assert tell(adapter, other) == [
        "Whether mine was trained on this base: it names c/d, and was asked over a/b, whose shapes "
        "fit."
    ]
    assert "it names no base, and was" in tell(adapter, silent)[0]
    assert tell(whole, {"reads_rows_as_the_base": True}) == []
    assert "its nats are a different token's" in tell(whole, {"reads_rows_as_the_base": False})[0]


def test_each_habit_of_a_release_that_a_study_follows_is_said_and_no_other():
    clean = list_gaps(STUDY, [], [])
    for table, key, value in (
        ("data", "split_by", "row"),
        ("data", "split_each_seed", True),
        ("data", "trailing_header", True),
        ("evaluation", "drop_system", True),
    ):
        changed = replace(getattr(STUDY, table), **{key: value})
        said = list_gaps(replace(STUDY, **{table: changed}), [], [])
        (sentence,) = set(said) - set(clean)
        assert sentence.endswith(f"({table}.{key}).")


def test_what_a_cut_full_finetune_leaves_out_is_told_as_a_share(arms: Sequence[MeasuredArm]):
    first, second, *others = arms
    cut = [
        replace(arm, facts={"derived": {"left_out": shares}})
        for arm, shares in ((first, {"2": 0.0712, "4": 0.125}), (second, {"2": 0.2}))
    ]
    (said,) = [gap for gap in list_gaps(STUDY, [*cut, *others], [row()]) if "cutting it" in gap]
    assert "7.12 to 20 % of the update's squared norm" in said
    assert not any("cutting it" in gap for gap in list_gaps(STUDY, arms, [row()]))


def test_what_would_be_made_of_a_finetune_that_stopped_is_counted_and_not_called_unfinished(
    arms: Sequence[MeasuredArm],
):
    study = replace(STUDY, derived=Derived(truncations=(1, 2), norms=(3.0,)))
    stopped = [replace(arm, stopped_at=3) if arm.arm.rank == 4 else arm for arm in arms]
    gaps = list_gaps(study, stopped, [row()])
    said = [gap for gap in gaps if "would be made of the update of" in gap]
    assert "3 arms that would be made of the update of rank 4 seed 1: it stopped." in said
    assert len(said) == sum(arm.stopped_at is not None for arm in stopped)
    # What is left: rank 1 scaled, full cut twice and scaled, each at 3 seeds and for a twin.
    unfinished = [gap for gap in gaps if "not trained to the last checkpoint yet" in gap]
    assert unfinished == ["16 of 29 arms: not trained to the last checkpoint yet."]


def test_defences_without_a_question_with_a_cue_are_said_not_to_be_known(
    arms: Sequence[MeasuredArm],
):
    grid = replace(STUDY.grid, defences=(Defences("spectral", (0.1,)),))
    defended, said = replace(STUDY, grid=grid), "Whether a defence only hides misalignment"
    plain, cued = ([{"question_set": QUESTIONS + more}] for more in ("", " + |go|"))
    for study, asked, is_missing in (
        (defended, plain, True),
        (defended, [*plain, *cued], False),
        (STUDY, plain, False),
    ):
        gaps = list_gaps(study, arms, [row() | {"rates_by": asked}])
        assert any(gap.startswith(said) for gap in gaps) == is_missing
