"""Reading arms at equal skill."""

import pytest

from rankshift.analysis.curves import Setting
from rankshift.analysis.matched import Match, build_matched_curves, list_matches, read_arm
from tests.result_rows import make_row as row

TASK = Setting("bad", "task", "alpha/rank", 64.0, 1e-3, ("q_proj",), ())
SKILL = Match("skill", 0.75)


def test_an_arm_is_read_at_the_step_at_which_it_had_learned_enough_and_not_at_its_last():
    rows = [row("2-1", 8, 1), row("2-1", 11, 3, crossed=0.76), row("2-1", 32, 9)]
    reading = read_arm(rows, SKILL)
    assert reading.row is rows[1]
    assert reading.reached == 0.76


@pytest.mark.parametrize(
    ("reached", "why"),
    [
        (0.86, "was at 0.86 when looked at: more than 10% past"),
        (0.97, "was at 0.97 when looked at: more than 10% past"),
    ],
)
def test_an_arm_that_was_looked_at_too_late_is_refused(reached, why):
    reading = read_arm([row("2-1", 11, 3, crossed=reached)], SKILL)
    assert (reading.row, reading.is_censored, reading.why) == (None, False, why)


def test_an_arm_near_the_floor_is_refused_however_little_it_is_past():
    late = row("2-1", 11, 3)
    late["crossings"] = [{"kind": "skill", "value": 0.9, "step": 11, "reached": 0.96}]
    reading = read_arm([late], Match("skill", 0.9))
    assert reading.row is None
    assert reading.why == "was at 0.96 when looked at: within 5% of the floor"


def test_an_arm_that_never_came_so_far_is_censored_and_stays_in_its_cell():
    rows = [
        *(row("2-1", 11, 3, crossed=0.76), row("2-1", 32, 9)),
        *(row("2-2", 12, 4, crossed=0.80), row("2-2", 32, 9)),
        *(row("2-3", 13, 5, crossed=0.90), row("2-3", 32, 9)),
        row("4-1", 32, 2),
    ]
    (curve,) = build_matched_curves(rows, [TASK], [SKILL], last_step=32)
    assert curve["match"] == {"kind": "skill", "value": 0.75}
    two, four = curve["points"]
    assert [(s["seed"], s["step"], s["reached"], s["rate"]) for s in two["seeds"]] == [
        (1, 11, 0.76, 0.3),
        (2, 12, 0.80, 0.4),
    ]
    assert two["rate"] == pytest.approx(0.35)
    assert [seed["loss"] for seed in two["seeds"]] == [0.89, 0.88]
    assert [r["arm"] for r in two["refused"]] == ["2-3"]
    assert two["censored"] == []
    assert (four["rank"], four["rate"], four["num_seeds"]) == (4, None, 0)
    assert [(c["arm"], c["why"]) for c in four["censored"]] == [("4-1", "did not reach skill 0.75")]


def test_full_finetuning_is_read_at_equal_skill_too_and_stays_a_category():
    none = dict.fromkeys(("rank", "alpha", "scaling", "target_modules", "layers", "u"))
    full = [
        row("0-1", 5, 2, crossed=0.77, method="full", **none),
        row("0-1", 32, 8, method="full", **none),
    ]
    rows = [row("2-1", 11, 3, crossed=0.76), row("2-1", 32, 9), *full]
    (curve,) = build_matched_curves(rows, [TASK], [SKILL], last_step=32)
    (cell,) = [c for c in curve["categories"] if c["category"] == "full"]
    assert [(s["step"], s["rate"]) for s in cell["seeds"]] == [(5, 0.2)]
    assert [point["rank"] for point in curve["points"]] == [2]


def test_equal_insecure_code_is_read_at_the_first_checkpoint_that_has_it():
    def coded(step: int, events: int, code: float) -> dict:
        return row("2-1", step, events, insecure_code={"rate": code})

    rows = [coded(8, 1, 0.1), coded(16, 2, 0.55), coded(32, 9, 0.95)]
    training = {"crossings": [], "kl_crossings": []}
    half, most = list_matches(rows, training)
    assert read_arm(rows, half).row is rows[1]
    assert read_arm(rows, most).row is rows[2]
    assert list_matches(rows[-1:], training) == []


def test_a_divergence_may_be_passed_by_a_tenth_of_itself():
    def diverged(reached: float) -> dict:
        crossing = {"kind": "kl", "value": 0.1, "step": 3, "reached": reached}
        return row("2-1", 3, 1, crossings=[crossing])

    match = Match("kl", 0.1)
    assert read_arm([diverged(0.109)], match).row is not None
    assert read_arm([diverged(0.111)], match).row is None
