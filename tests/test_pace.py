"""The time that is left follows from when files were finished."""

import pytest

from rankshift.pace import Stage, estimate_seconds_left


def test_one_stage_goes_on_at_its_pace():
    # 30 steps in 60 seconds, 10 are left.
    stage = Stage(left=10, finished=((1040.0, 20), (1060.0, 10)))
    assert estimate_seconds_left([stage], started=1000.0, now=1060.0) == pytest.approx(20.0)
    # Nothing came in the last 60 seconds: the pace is half of that.
    assert estimate_seconds_left([stage], started=1000.0, now=1120.0) == pytest.approx(40.0)


def test_what_an_earlier_process_did_tells_nothing_of_the_pace():
    before = ((10.0, 500), (20.0, 500))
    stage = Stage(left=10, finished=(*before, (1060.0, 30)))
    assert estimate_seconds_left([stage], started=1000.0, now=1060.0) == pytest.approx(20.0)
    assert estimate_seconds_left([Stage(10, before)], started=1000.0, now=1060.0) is None


def test_a_later_stage_began_when_the_one_before_it_ended():
    trained = Stage(left=0, finished=((1100.0, 30),))
    judged = Stage(left=4, finished=((1110.0, 1), (1120.0, 1)))
    assert estimate_seconds_left([trained, judged], 1000.0, now=1120.0) == pytest.approx(40.0)


def test_a_stage_that_has_not_begun_leaves_the_time_unknown():
    trained = Stage(left=5, finished=((1100.0, 30),))
    assert estimate_seconds_left([trained, Stage(3, ())], 1000.0, now=1120.0) is None
    assert estimate_seconds_left([Stage(0, ()), Stage(0, ())], 1000.0, now=1120.0) == 0.0
