import math
from dataclasses import replace

import pytest

from rankshift.analysis.inside import find_effect, group, list_marks, tell_from_twins
from rankshift.mechanism_records import ClosedArm
from tests.test_mechanism_records import ARM, CLOSED, INSIDE, PASSAGE


def test_seeds_of_one_setting_share_a_row_and_settings_that_differ_are_named():
    arms = [
        replace(ARM, seed=2),
        replace(ARM, u=0.03),
        replace(ARM, role="twin"),
        replace(ARM, method="full", rank=None, u=None),
        replace(ARM, method="full", rank=None, u=None, optimizer="sgd"),
        replace(ARM, trains_a=False),
        ARM,
    ]
    named = {str(key[-1]): len(own) for key, own in group(arms).items()}
    assert named == {
        "rank 4, u 0.01": 2,
        "rank 4, u 0.03": 1,
        "rank 4, u 0.01, frozen A": 1,
        "full, adamw": 1,
        "full, sgd": 1,
        "twin rank 4, u 0.01": 1,
    }
    assert [str(key[-1]) for key in group([ARM])] == ["rank 4"]


def test_an_effect_is_a_share_of_what_the_arms_have_over_the_base():
    found = replace(INSIDE, arms=(ARM,), closed=CLOSED, base="base")
    removed, lost = find_effect(found, {"0a"}, "closed")
    assert (removed, lost) == (pytest.approx(0.75), pytest.approx(0.3))
    assert find_effect(found, {"0a"}, "random") == (0, 0)
    base = ClosedArm("base", "open", 1.0, 42, 100, 100)
    level = replace(found, closed=(base, *CLOSED[1:]))
    assert all(math.isnan(one) for one in find_effect(level, {"0a"}, "closed"))


def test_a_seeds_arms_are_told_from_the_twins_of_that_seed():
    far, near = replace(ARM, along=0.5), replace(ARM, role="twin", along=0.1)
    arms = (
        replace(far, seed=1),
        replace(near, seed=1),
        replace(far, seed=2),
        replace(near, seed=2, along=0.9),
        replace(far, seed=2, along=0.95),
        replace(far, seed=3, along=0.5),
        replace(far, seed=4, along=None),
    )
    told = {one.seed: (one.auroc, one.pairs) for one in tell_from_twins(replace(INSIDE, arms=arms))}
    # Seed 3 has no twin of its own: it is set against both, and ties none.
    assert told == {1: (1.0, 1), 2: (0.5, 2), 3: (0.5, 2)}
    assert tell_from_twins(replace(INSIDE, arms=(far,))) == []


def test_marks_stand_in_the_order_in_which_arms_came_to_them():
    passages = [
        replace(PASSAGE, step=9, marks=("skill 0.9",)),
        replace(PASSAGE, step=3, marks=("skill 0.5",)),
        replace(PASSAGE, step=6, marks=("skill 0.5", "step 6")),
    ]
    assert list_marks(passages) == ["skill 0.5", "step 6", "skill 0.9"]
