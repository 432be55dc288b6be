import math
from dataclasses import replace

import pytest

from rankshift.cli.inside import find_effect, group, tabulate, tell, tell_closed
from rankshift.mechanism_records import ClosedArm
from tests.test_mechanism_records import ARM, INSIDE


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


def test_a_row_has_means_over_seeds_and_a_dash_where_nothing_is_known():
    table = tabulate(replace(INSIDE, arms=(ARM, replace(ARM, of_activations=0.4, intruders=4))))
    (cells,) = zip(*(column._cells for column in table.columns), strict=True)
    assert cells == ("rank 4 (2)", "30.0%", "-", "0.40", "0.10", "-", "3.5")


def test_an_effect_is_a_share_of_what_the_arms_have_over_the_base():
    rows = [
        ClosedArm("base", "open", 2.0, 2, 100, 100),
        ClosedArm("0a", "open", 1.0, 42, 100, 120),
        ClosedArm("0a", "closed", 1.3, 12, 100, 120),
        ClosedArm("0a", "random", 1.0, 42, 100, 120),
    ]
    found = replace(INSIDE, arms=(ARM,), closed=tuple(rows), base="base")
    removed, lost = find_effect(found, {"0a"}, "closed")
    assert (removed, lost) == (pytest.approx(0.75), pytest.approx(0.3))
    assert find_effect(found, {"0a"}, "random") == (0, 0)
    told = " ".join(tell_closed(found))
    assert "Closing the persona's direction removes 75% of the misalignment" in told
    rows[0] = ClosedArm("base", "open", 1.0, 42, 100, 100)
    level = replace(found, closed=tuple(rows))
    assert all(math.isnan(one) for one in find_effect(level, {"0a"}, "closed"))


def test_the_sentence_sets_task_twin_and_chance_side_by_side():
    twin = replace(ARM, role="twin", of_activations=0.05)
    told = " ".join(tell(replace(INSIDE, arms=(ARM, twin))))
    moved = "moved 20.0% along the persona's direction, their twins' 5.0%, a random direction has"
    assert moved in told
    assert "twins" not in " ".join(tell(INSIDE))
