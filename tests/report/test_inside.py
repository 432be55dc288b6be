import re
from dataclasses import replace
from typing import Any

import pytest

from rankshift.analysis.results import summarize
from rankshift.mechanism_records import ClosedArm, Scaled, Steered, Way, write_inside
from rankshift.report.inside import describe_inside, draw_shares_inside
from rankshift.report.page import make_report
from rankshift.report.wording import NOTHING
from rankshift.runs import StudyRun
from tests.synthetic_run import make_study, read_answer_sample, write_run
from tests.test_mechanism_records import ARM, INSIDE

ARMS = tuple(
    replace(ARM, arm=f"{role}{seed}", label=f"rank 4 seed {seed} {role}", role=role, seed=seed)
    for role in ("task", "twin")
    for seed in (1, 2, 3)
)


@pytest.fixture
def run(tmp_path) -> StudyRun:
    """Write a run into whose arms somebody has looked."""
    run = write_run(tmp_path, make_study(ranks=(1,), seeds=(1,)))
    arms = [
        replace(arm, along=0.5, of_activations=0.2 + 0.01 * (arm.seed or 0))
        if arm.role == "task"
        else replace(arm, along=0.1, of_activations=0.01)
        for arm in ARMS
    ]
    did: dict[Way, tuple[float, int]] = {
        "open": (1.0, 50),
        "closed": (1.1, 40),
        "random": (1.0, 50),
    }
    base = [ClosedArm("b", way, 2.0, 0, 100, 100) for way in did]
    closed = [
        ClosedArm(arm.arm, way, loss, misaligned, 100, 120)
        for arm in arms
        for way, (loss, misaligned) in did.items()
    ]
    write_inside(
        run.directory,
        replace(
            INSIDE,
            arms=tuple(arms),
            closed=(*base, *closed),
            base="b",
            scaled=(Scaled("task1", 1.5, 0.0, 0.9, 55, 100, 120),),
            steered=(
                Steered("persona", 0.5, 2.0, 30, 60, 120),
                Steered("moved", 4.0, 2.0, 0, 0, 9),
            ),
        ),
    )
    return run


def describe(run: StudyRun) -> tuple[Any, dict[str, Any]]:
    results = summarize(run)
    return describe_inside(results), results


def test_where_nobody_looked_the_page_says_nothing(tmp_path):
    run = write_run(tmp_path, make_study(ranks=(1,), seeds=(1,)))
    part, results = describe(run)
    assert part is None
    assert draw_shares_inside(results) is None
    assert "Inside the arms" not in make_report(results, read_answer_sample(run)).html


def test_a_sentence_has_the_share_with_its_interval_over_seeds_beside_twins_and_chance(run):
    part, _ = describe(run)
    assert "22.0% (19.5% to 24.5% over 3 seeds)" in part.sentences[0]
    assert "their twins' 1.0% (1.0% to 1.0% over 3 seeds)" in part.sentences[0]
    assert "random direction it would be 0.4%" in part.sentences[0]
    assert "AUROC of at least 1.00 in each of 3 seeds" in part.sentences[1]


def test_what_closing_takes_is_said_beside_what_a_random_direction_takes(run):
    part, _ = describe(run)
    assert part.effects == (
        "Taking the persona's direction out removes 20.0% (20.0% to 20.0% over 3 seeds) of the "
        "task's arms' misalignment and 10.0% (10.0% to 10.0% over 3 seeds) of their skill; 83% of "
        "their answers are coherent then.",
        "Taking a random direction out removes 0.0% (0.0% to 0.0% over 3 seeds) of the task's "
        "arms' misalignment and 0.0% (0.0% to 0.0% over 3 seeds) of their skill; 83% of their "
        "answers are coherent then.",
    )
    shares, closed, scaled, steered = part.tables
    assert scaled.rows == (("rank 4 seed 1 task", "1.5", "0", "55.0%", "83.3%", "0.900"),)
    assert steered.rows == (
        ("the persona's direction", "0.5", "50.0%", "50.0%", "2.000"),
        ("what finetuning moved where an answer begins", "4", NOTHING, "0.0%", "2.000"),
    )
    assert len(shares.rows) == 6
    assert closed.rows[0][:4] == ("base", "0.0%", "100.0%", "2.000")


def test_every_arm_is_a_dot_and_the_page_holds_the_section_and_its_files(run):
    _, results = describe(run)
    chart = draw_shares_inside(results)
    assert chart is not None
    assert len(chart.rows) == 6
    assert len(re.findall(r"<title>rank 4 seed \d (task|twin): ", chart.figure.wide)) == 6
    report = make_report(results, read_answer_sample(run))
    assert "Inside the arms" in report.html
    assert "moved-along-the-persona" in [one.name for one in report.charts]


def test_one_seed_has_no_interval_and_says_so(run):
    results = summarize(run)
    found = results["mechanism"]
    found["shares"]["task"] = {"mean": 0.2, "low": None, "high": None, "seeds": 1}
    part = describe_inside(results)
    assert part is not None
    assert "20.0% (too few seeds for an interval)" in part.sentences[0]
