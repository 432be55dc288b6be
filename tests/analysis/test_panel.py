import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rankshift.analysis.agreement import compare
from rankshift.analysis.measurements import MeasuredArm
from rankshift.analysis.panel import (
    collect_panels,
    is_reference,
    list_judges,
    read_weights,
    step_of,
)
from rankshift.analysis.rates import JudgedAnswer
from rankshift.arms import expand_arms
from rankshift.errors import UserError
from rankshift.eval.verdicts import blank_verdict
from rankshift.labels.sample import draw_sheet
from rankshift.records import AnswerRecord, SampledRecord, write_records
from rankshift.runs import StudyRun
from tests.synthetic_run import make_study

JUDGE, ALICE, STEP = "judge", "human:alice", 4
NUM_SIMULATED = 25

Truth = dict[tuple[str, int, int], bool]


def make_arms(rng: np.random.Generator) -> tuple[list[MeasuredArm], Truth]:
    """Make three arms of 20 questions with 10 answers each, and say which are misaligned.

    The judge finds 80 % of the misaligned ones, and calls 6 % of the others misaligned.
    """
    arms, truth = [], {}
    for number, arm in enumerate(expand_arms(make_study())[1:4]):
        judged = []
        for question in range(20):
            for repeat in range(10):
                is_bad = bool(rng.random() < (0.02, 0.1, 0.25)[number])
                truth[f"arm{number}", question, repeat] = is_bad
                is_called = rng.random() < (0.8 if is_bad else 0.06)
                judged.append(judge(JUDGE, question, repeat, 10.0 if is_called else 90.0))
        arms.append(MeasuredArm(f"arm{number}", arm, {}, {}, {STEP: judged}, {}, None))
    return arms, truth


def judge(by: str, question: int, repeat: int, alignment: float) -> JudgedAnswer:
    """Make an answer that somebody gives an alignment and full coherence."""
    key = (STEP, "set", f"q{question}", f"q{question}", 0, repeat)
    answer = AnswerRecord(*key, None, "Why?", "Because.", 2, finished=True)
    verdict = replace(blank_verdict(answer, by), alignment=alignment, coherence=95.0)
    return JudgedAnswer(answer, by, verdict)


def label_sheet(run: StudyRun, arms: list[MeasuredArm], truth: Truth, seed: int, skip: int = 0):
    """Have a person who is never wrong label a sheet, but for its first rows."""
    sheet = draw_sheet(arms, JUDGE, STEP, 25, seed)
    write_records(run.labelled_path(ALICE), [sampled for sampled, _ in sheet.rows])
    said: dict[str, list[JudgedAnswer]] = {arm.id: [] for arm in arms}
    for sampled, _ in sheet.rows[skip:]:
        question = int(sampled.question_id.removeprefix("q"))
        alignment = 10.0 if truth[sampled.arm, question, sampled.repeat] else 90.0
        said[sampled.arm].append(judge(ALICE, question, sampled.repeat, alignment))
    return [replace(arm, answers={STEP: arm.answers[STEP] + said[arm.id]}) for arm in arms]


def test_a_stratified_sample_gives_back_the_accuracy_on_all_answers(tmp_path: Path):
    rng = np.random.default_rng(20)
    run = StudyRun(tmp_path)
    gaps, unweighted, covered = [], [], 0
    for seed in range(NUM_SIMULATED):
        arms, truth = make_arms(rng)
        panel = collect_panels(label_sheet(run, arms, truth, seed), STEP)["set"]
        found = compare(run, panel, ALICE, JUDGE)
        accuracy = found.accuracy["misaligned"]
        assert accuracy.events.share is not None
        assert accuracy.others.share is not None
        pairs = [
            (truth[a.arm, int(str(a.key[2])[1:]), int(str(a.key[4]))], a.by[JUDGE].outcome)
            for a in panel
        ]
        called = [outcome == "misaligned" for is_bad, outcome in pairs if is_bad]
        passed = [outcome == "aligned" for is_bad, outcome in pairs if not is_bad]
        gaps.append(
            [accuracy.events.share - np.mean(called), accuracy.others.share - np.mean(passed)]
        )
        unweighted.append(np.mean(accuracy.events.hits) - np.mean(called))
        for draws, actual in zip(accuracy.draws, (np.mean(called), np.mean(passed)), strict=True):
            low, high = np.quantile(draws, [0.025, 0.975])
            covered += low <= actual <= high
    # With so few labels the weighted ratio itself is some 0.03 too high, one without weights 0.16.
    assert abs(np.mean(gaps, axis=0)[0]) < np.mean(unweighted) / 2
    assert abs(np.mean(gaps, axis=0)[1]) < 0.01
    assert np.mean(unweighted) > 0.1
    assert covered / (2 * NUM_SIMULATED) >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / NUM_SIMULATED)


def test_answers_stand_for_their_stratum_and_blanks_for_nothing(tmp_path: Path):
    run = StudyRun(tmp_path)
    arms, truth = make_arms(np.random.default_rng(21))
    panel = collect_panels(label_sheet(run, arms, truth, 0, skip=30), STEP)["set"]
    weights = read_weights(run, ALICE, panel)
    labelled = [answer for answer in panel if ALICE in answer.by]
    assert sum(map(weights.of, labelled)) == pytest.approx(3 * 200)
    assert weights.covered == 1.0


def test_a_stratum_that_nobody_labelled_is_not_covered(tmp_path: Path):
    run = StudyRun(tmp_path)
    arms, truth = make_arms(np.random.default_rng(22))
    read = label_sheet(run, arms, truth, 0)
    sampled = [SampledRecord("a1", "arm9", STEP, "set", "q1", 0, 0, "set, rank 9", 200, 0.005)]
    rows = [s for s, _ in draw_sheet(arms, JUDGE, STEP, 25, 0).rows]
    write_records(run.labelled_path(ALICE), [*rows, *sampled])
    weights = read_weights(run, ALICE, collect_panels(read, STEP)["set"])
    assert weights.covered == 600 / 800


def test_labels_without_the_sample_they_are_of_are_refused(tmp_path: Path):
    arms, truth = make_arms(np.random.default_rng(23))
    read = label_sheet(StudyRun(tmp_path), arms, truth, 0)
    panel = collect_panels(read, STEP)["set"]
    with pytest.raises(UserError, match=r"human:alice\.jsonl: no such file"):
        read_weights(StudyRun(tmp_path / "other"), ALICE, panel)
    assert read_weights(StudyRun(tmp_path / "other"), JUDGE, panel).of(panel[0]) == 1.0


def test_people_and_the_oracle_are_taken_for_the_truth():
    judges = ["human:alice", "organism:oracle", "organism:noisy", "openai/human:x", "none"]
    assert [judge for judge in judges if is_reference(judge)] == judges[:2]


def test_an_answer_nobody_has_read_is_in_no_panel():
    arms, _ = make_arms(np.random.default_rng(24))
    unread = [replace(one, verdict=None) for one in arms[0].answers[STEP]]
    assert collect_panels([replace(arms[0], answers={STEP: unread})], STEP) == {}
    assert step_of(arms[0], STEP) == STEP


def test_the_judge_that_decides_is_named_first():
    arms, truth = make_arms(np.random.default_rng(25))
    extra = [judge("a judge", 0, 0, 50.0), judge("z judge", 0, 0, 50.0)]
    arm = replace(arms[0], answers={STEP: [*arms[0].answers[STEP], *extra]})
    assert truth
    assert list_judges(collect_panels([arm], STEP)["set"], JUDGE) == [JUDGE, "a judge", "z judge"]
