import pytest

from rankshift.grid import ALL_PROJECTIONS
from rankshift.report.wording import (
    count_seeds,
    format_interval,
    format_loss,
    format_number,
    format_percent,
    join_words,
    name_arms,
    name_setting,
    tell_origin,
    tell_training,
    tell_uncertainty,
)


@pytest.mark.parametrize(
    ("share", "written"),
    [(0.0, "0.0%"), (0.1234, "12.3%"), (1.0, "100.0%"), (0.0004, "<0.1%"), (0.9999, ">99.9%")],
)
def test_a_share_is_never_rounded_to_none_or_all(share: float, written: str):
    assert format_percent(share) == written


def test_a_rate_of_nothing_is_a_dash_and_no_zero():
    assert format_percent(None) == format_loss(None) == format_number(None) == "\N{EN DASH}"


def test_an_interval_is_two_ends_or_a_dash():
    assert format_interval({"low": 0.48, "high": 0.671}) == "48.0 to 67.1%"
    assert format_interval({"low": None, "high": None}) == "\N{EN DASH}"


def test_uncertainty_says_over_what_it_is():
    seeds = {"low": 0.1, "high": 0.2, "note": None, "num_seeds": 3}
    assert tell_uncertainty(seeds) == "95% interval 10.0 to 20.0%, 3 seeds"
    few = {"low": None, "high": None, "note": "too few seeds", "num_seeds": 1}
    assert tell_uncertainty(few) == "1 seed, too few for an interval"
    base = {"low": 0.0, "high": 0.2, "note": "one model", "num_seeds": 0}
    assert tell_uncertainty(base) == "95% interval 0.0 to 20.0%, over questions"
    none = {"low": None, "high": None, "note": "too few clusters", "num_seeds": 0}
    assert tell_uncertainty(none) == "no interval: too few clusters"


def test_counts_and_lists_read_as_english():
    assert [count_seeds(1), count_seeds(3)] == ["1 seed", "3 seeds"]
    assert [join_words(w) for w in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        *("a", "a and b", "a, b and c")
    ]


def test_a_setting_names_all_that_a_curve_holds_fixed():
    everywhere = {"target_modules": list(ALL_PROJECTIONS), "layers": []}
    fixed = {"alpha": "2r", "scaling": "alpha/rank", "learning_rate": 1e-5, "given": False}
    curve = fixed | everywhere
    assert name_setting(curve) == "alpha 2r, alpha/rank, learning rate 1e-05"
    assert name_setting(curve | {"scaling": None}) == "full finetuning"
    some = curve | {"target_modules": ["q_proj", "v_proj"], "layers": [0, 1, 3]}
    assert name_setting(some).endswith("learning rate 1e-05, q_proj+v_proj in layers 0-1+3")


def test_of_given_models_it_is_told_what_their_authors_say_and_no_learning_rate():
    fixed = {"scaling": "alpha/rank", "alpha": 16.0, "learning_rate": None, "given": True}
    curve = fixed | {"target_modules": ["q_proj"], "layers": [], "dataset": "betley:insecure"}
    assert name_setting(curve) == "alpha 16, alpha/rank, given adapters, q_proj"
    assert name_setting(curve | {"scaling": None}) == "given models"
    assert tell_origin(curve) == "trained elsewhere, said to be trained on betley:insecure"
    assert tell_origin(curve | {"dataset": None}) == "trained elsewhere, on data not stated"
    assert tell_origin(curve | {"given": False}) == "trained on betley:insecure"


def test_arms_that_share_a_label_are_told_apart_by_their_settings():
    fixed = {"rank": 4, "alpha": 64.0, "scaling": "alpha/rank", "label": "rank 4 seed 1"}
    rows = [{"arm": arm, "learning_rate": rate} | fixed for arm, rate in (("a", 1e-3), ("b", 1e-4))]
    names = name_arms([*rows, rows[0]])
    assert names["a"] == "rank 4 seed 1, alpha 64, alpha/rank, lr 0.001"
    assert names["a"] != names["b"]
    assert name_arms(rows[:1]) == {"a": "rank 4 seed 1"}


def test_steps_that_are_not_told_are_no_zero_steps():
    assert tell_training(1234, "insecure") == "after 1,234 steps on insecure"
    assert tell_training(0, "insecure") == "after training on insecure"
