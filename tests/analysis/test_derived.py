"""Curves of cut and scaled updates."""

from rankshift.analysis.curves import Setting
from rankshift.analysis.derived import build_derived_curves
from tests.result_rows import make_row as row

TASK = Setting("bad", "task", "alpha/rank", 64.0, 1e-3, ("q_proj",), ())


def test_cut_updates_have_a_curve_for_each_cut_over_the_rank_they_were_trained_at():
    rows = [
        row("16-1", 32, 9),
        row("16-1", 32, 5, truncated_to=1),
        row("64-1", 32, 3, truncated_to=1),
        row("64-1", 32, 7, truncated_to=4),
        row("16-1", 32, 2, norm_to=3.0),
    ]
    curves = build_derived_curves(rows, [TASK], last_step=32)
    found = {
        (curve["truncated_to"], curve["norm_to"]): {p["rank"]: p["rate"] for p in curve["points"]}
        for curve in curves
    }
    assert found == {(1, None): {16: 0.5, 64: 0.3}, (4, None): {64: 0.7}, (None, 3.0): {16: 0.2}}


def test_a_study_without_derived_arms_has_no_such_curve():
    assert build_derived_curves([row("16-1", 32, 9)], [TASK], last_step=32) == []
