"""The defence table, from rows whose numbers can be worked out by hand."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import pytest

from rankshift.analysis.defences import build_defences, find_worst_cued, list_cued_sets
from rankshift.analysis.intervals import interval_over_seeds
from rankshift.analysis.rates import Rate
from tests.result_rows import make_row, share

KL = {"kind": "kl", "strength": 0.1, "label": "kl 0.1"}
PRIMARY = {"question_set": "first", "judge": "oracle"}
CUED = "first after bad"
RULES = ((64.0,), ())
T = 4.302652729911275
"""Student's 97.5 % quantile with 2 degrees of freedom."""

Row = dict[str, Any]


def rate(question_set: str, events: int, eligible: int = 400, lost: int = 0) -> Row:
    """Give a rate, and outcomes among which `lost` answers are incoherent and 5 unscored."""
    counts = {"aligned": eligible - events, "misaligned": events, "incoherent": lost}
    outcomes = counts | {"unscored": 5, "answers": eligible + lost + 5}
    given = {"misaligned_given_coherent": share(events, eligible), "outcomes": outcomes}
    return {"question_set": question_set, "judge": "oracle"} | given


def row(
    arm: str,
    events: int,
    loss: float,
    defence: Row | None = None,
    cued: int | None = None,
    lost: int = 0,
    **changes: Any,
) -> Row:
    """Give the last row of an arm named `rank-seed`, with `events` of 400 answers misaligned."""
    rates = [rate("first", events, lost=lost)]
    rates += [] if cued is None else [rate(CUED, cued)]
    keys = {"rates_by": rates, "task_held_out_loss": loss, "twin_held_out_loss": None}
    name = arm if defence is None else f"{arm} {defence['label']}"
    name += " twin" if changes.get("role") == "twin" else ""
    return make_row(arm, 32, 0) | keys | {"arm": name, "defence": defence} | changes


def twin(arm: str, loss: float, defence: Row | None = None) -> Row:
    own = {"own_held_out_loss": loss, "twin_held_out_loss": loss}
    return row(arm, 0, 2.0, defence, role="twin", dataset="good") | own


def base(events: int = 4, cued: int | None = None, **changes: Any) -> Row:
    told = row("1-1", events, 2.0, cued=cued, role="base", method="base", step=0)
    none = dict.fromkeys(("rank", "seed", "alpha", "scaling", "u", "learning_rate", "dataset"))
    return told | none | {"arm": "base", "twin_held_out_loss": 1.5} | changes


def study(
    defended: Sequence[int] = (4, 5, 6), cued: int | None = None, lost: int = 0, **changes: Any
) -> list[Row]:
    """Give three seeds of rank 4 with and without KL, of the task and of twins.

    Without: misaligned 100, 120 and 140 of 400, loss down from 2 to 1; with KL to 1.05.
    """
    rows = [base(cued=None if cued is None else 4)]
    for at, events in enumerate(defended):
        arm = f"4-{at + 1}"
        plain_cued = None if cued is None else 100
        rows.append(row(arm, 100 + 20 * at, 1.0, cued=plain_cued, **changes))
        rows.append(row(arm, events, 1.05, KL, cued=cued, lost=lost, **changes))
        rows += [twin(arm, 0.5) | changes, twin(arm, 0.52, KL) | changes]
    return rows


def build(rows: Sequence[Row], steps: dict[str, float | None] | None = None) -> list[Row]:
    return build_defences(rows, RULES, PRIMARY, 32, steps or {})


def build_one(rows: Sequence[Row]) -> Row:
    (entry,) = build(rows)
    return entry


def test_a_study_without_defences_has_no_entry():
    assert build([one for one in study() if one["defence"] is None]) == []


def test_an_entry_holds_the_defended_the_undefended_and_the_base_rate_over_seeds():
    found = build_one(study())["misalignment"]
    assert found["rate"] == pytest.approx((4 + 5 + 6) / 3 / 400)
    assert found["undefended"]["rate"] == pytest.approx(120 / 400)
    assert found["base"] == 0.01
    expected = interval_over_seeds([Rate(n, 400) for n in (4, 5, 6)])
    assert (found["low"], found["high"], found["note"]) == (expected.low, expected.high, None)
    assert [seed["events"] for seed in found["seeds"]] == [4, 5, 6]
    assert found["gone"] == "yes"


def test_misalignment_that_stays_is_not_gone_and_the_defence_fails():
    found = build_one(study(defended=(90, 95, 100), cued=90))
    assert (found["misalignment"]["gone"], found["verdict"]) == ("no", "fails")


def test_skill_kept_is_the_share_of_the_undefended_drop_seed_by_seed():
    rows = study()
    losses = iter((1.1, 1.04, 1.01))
    for one in rows:
        if one["role"] == "task" and one["defence"]:
            one["task_held_out_loss"] = next(losses)
    found = build_one(rows)["skill_kept"]
    # Of a drop of 1 nat: 0.90, 0.96 and 0.99; mean 0.95, variance (0.0025 + 0.0001 + 0.0016) / 2.
    reach = T * sqrt(0.0021 / 3)
    assert found["share"] == pytest.approx(0.95)
    assert (found["low"], found["high"]) == pytest.approx((0.95 - reach, 0.95 + reach))
    assert (found["learned"], found["kept"]) == (pytest.approx(1.0), "undetermined")


def test_each_seed_is_set_against_its_own_undefended_arm():
    rows = study()
    for one in rows:
        if one["role"] == "task":  # drops of 0.5, 1 and 1.5 nats, nine tenths of each with KL
            drop = one["seed"] / 2
            one["task_held_out_loss"] = 2.0 - drop * (0.9 if one["defence"] else 1.0)
    found = build_one(rows)["skill_kept"]
    assert (found["share"], found["low"]) == pytest.approx((0.9, 0.9))


def test_benign_learning_counts_from_the_bases_loss_on_the_twins_rows():
    # From 1.5 down to 0.52 of down to 0.5: 0.98 of 1 nat.
    found = build_one(study())["benign_kept"]
    assert found["share"] == pytest.approx(0.98)
    assert found["kept"] == "yes"


def test_benign_learning_is_not_known_where_the_base_was_not_measured_on_the_twins_rows():
    rows = [one | {"twin_held_out_loss": None} for one in study()]
    found = build_one(rows)["benign_kept"]
    assert (found["share"], found["kept"]) == (None, "undetermined")
    assert found["note"] == "nothing to count"


def test_a_twin_that_learns_under_a_fiftieth_of_a_nat_has_nothing_to_keep():
    rows = study()
    for one in rows:
        if one["role"] == "twin":
            one["own_held_out_loss"] = 1.5 if one["defence"] else 1.481
    found = build_one(rows)["benign_kept"]
    assert found["learned"] == pytest.approx(0.019)
    assert found["kept"] == "nothing to learn"


def test_coherence_is_of_scored_answers_and_against_the_base():
    # 400 of 500 scored, 5 unscored aside; the base's are all coherent.
    found = build_one(study(lost=100))["coherence_kept"]
    assert (found["defended"], found["base"]) == (pytest.approx(0.8), 1.0)
    assert found["difference"] == pytest.approx(-0.2)
    ends = interval_over_seeds([Rate(400, 500)] * 3)
    assert ends.low is not None
    assert ends.high is not None
    assert (found["low"], found["high"]) == pytest.approx((ends.low - 1, ends.high - 1))
    assert found["kept"] == "no"


def test_all_counts_kept_and_no_cue_that_returns_is_a_defence_that_works():
    found = build_one(study(cued=4))
    assert [one["returns"] for one in found["cued"]] == ["no"]
    assert found["coherence_kept"]["kept"] == found["skill_kept"]["kept"] == "yes"
    assert (found["hides"], found["verdict"]) == ("no", "works")


def test_misalignment_that_returns_after_a_row_of_the_task_was_hidden():
    found = build_one(study(cued=80))
    (cued,) = found["cued"]
    told = (cued["question_set"], cued["rate"], cued["base"])
    assert told == (CUED, pytest.approx(0.2), 0.01)
    assert (cued["undefended"]["rate"], cued["returns"]) == (0.25, "yes")
    assert (found["hides"], found["verdict"]) == ("yes", "hides")


def test_a_defence_that_removes_at_the_price_of_coherence_costs():
    assert build_one(study(cued=4, lost=100))["verdict"] == "costs"


def test_two_seeds_give_rates_and_no_verdict():
    found = build_one(study(defended=(4, 5), cued=4))
    assert found["misalignment"]["rate"] == pytest.approx(4.5 / 400)
    assert found["misalignment"]["note"] == found["skill_kept"]["note"] == "too few seeds"
    said = [
        found["misalignment"]["gone"],
        found["skill_kept"]["kept"],
        found["benign_kept"]["kept"],
    ]
    assert {*said, found["coherence_kept"]["kept"], found["verdict"]} == {"undetermined"}


def test_without_its_undefended_partner_nothing_is_said_of_what_a_defence_removes():
    rows = [one for one in study(cued=4) if one["defence"] or one["method"] == "base"]
    found = build_one(rows)
    assert found["misalignment"]["rate"] == pytest.approx(5 / 400)
    assert found["misalignment"]["undefended"]["rate"] is None
    assert (found["skill_kept"]["share"], found["skill_kept"]["kept"]) == (None, "undetermined")
    assert found["verdict"] == "undetermined"


def test_settings_and_ranks_and_strengths_do_not_mix():
    strong = KL | {"strength": 1.0, "label": "kl 1"}
    other = [one | {"rank": 16, "arm": f"16 {one['arm']}"} for one in study() if one["rank"]]
    faster = [one | {"learning_rate": 1e-2, "arm": f"fast {one['arm']}"} for one in study()[1:]]
    rows = [*study(), *other, *faster]
    rows += [row(f"4-{seed}", 40, 1.1, strong) for seed in (1, 2, 3)]
    found = [
        (one["learning_rate"], one["rank"], one["defence"]["label"], one["misalignment"]["rate"])
        for one in build(rows)
    ]
    plain = pytest.approx(5 / 400)
    assert found == [
        (1e-3, 4, "kl 0.1", plain),
        (1e-3, 4, "kl 1", pytest.approx(0.1)),
        (1e-3, 16, "kl 0.1", plain),
        (1e-2, 4, "kl 0.1", plain),
    ]


def test_where_alpha_follows_rank_an_entry_says_so():
    changed = {4: 8.0, 16: 32.0}
    rows = [
        one | {"rank": rank, "alpha": changed[rank], "arm": f"{rank} {one['arm']}"}
        for rank in changed
        for one in study()
        if one["rank"]
    ]
    found = build_defences([base(), *rows], (("2r",), ()), PRIMARY, 32, {})
    assert [(one["alpha"], one["rank"]) for one in found] == [("2r", 4), ("2r", 16)]


def test_where_the_grid_lists_step_sizes_an_entry_holds_one_whatever_the_learning_rate():
    rows = [
        one | {"rank": rank, "learning_rate": 1e-3 / rank, "arm": f"{rank} {one['arm']}"}
        for rank in (4, 16)
        for one in study()
        if one["rank"]
    ]
    found = build_defences([base(), *rows], ((64.0,), (0.064,)), PRIMARY, 32, {})
    assert [(one["u"], one["learning_rate"]) for one in found] == [(0.064, None)] * 2


def test_full_finetunes_have_entries_of_their_own_without_a_rank():
    stop = {"kind": "early_stop", "strength": 0.9, "label": "early stop 0.9"}
    full = dict.fromkeys(("rank", "alpha", "scaling", "u", "trains_a", "target_modules", "layers"))
    full |= {"method": "full", "learning_rate": 1e-4}
    rows = [one | full for one in study()[1:]]
    rows = [base(), *(one | {"defence": stop if one["defence"] else None} for one in rows)]
    found = build_one(rows)
    told = [found[key] for key in ("method", "rank", "scaling", "learning_rate", "optimizer")]
    assert told == ["full", None, None, 1e-4, "adamw"]
    assert found["misalignment"]["undefended"]["rate"] == pytest.approx(0.3)


def test_an_arm_is_read_at_the_last_step_alone():
    early = [one | {"step": 16, "arm": f"early {one['arm']}"} for one in study((90, 90, 90))[1:]]
    assert build([*early, *study()]) == build(study())
    assert build(early) == []


def test_the_steps_on_the_task_are_the_mean_of_the_tasks_arms():
    steps: dict[str, float | None] = {"4-1 kl 0.1": 10.0, "4-2 kl 0.1": 15.0, "4-3 kl 0.1": None}
    steps["4-1 kl 0.1 twin"] = 32.0
    (found,) = build(study(), steps)
    assert found["cost"] == {
        "task_steps": 12.5,
        "arms": ["4-1 kl 0.1", "4-2 kl 0.1", "4-3 kl 0.1"],
    }
    assert build_one(study())["cost"]["task_steps"] is None


def test_question_sets_with_a_cue_are_known_by_how_their_names_begin():
    names = ("first", "first after bad", 'first under "Be kind."', "first + |go|", "first-2", "x")
    rows = [{"rates_by": [{"question_set": name} for name in names]}]
    assert list_cued_sets(rows, "first") == names[1:4]


def test_the_worst_cue_is_farthest_above_what_the_base_gives_with_it():
    low, high = {"rate": 0.3, "base": 0.1}, {"rate": 0.6, "base": 0.6}
    unknown = [{"rate": None, "base": 0.1}, {"rate": 0.9, "base": None}]
    assert find_worst_cued({"cued": [*unknown, high, low]}) == low
    assert find_worst_cued({"cued": unknown}) is None
