"""The chart of defences."""

from typing import Any

import pytest

from rankshift.report.defence_charts import draw_defences


def test_each_kind_has_a_panel_with_the_undefended_and_the_base(defended_results: dict[str, Any]):
    (chart,) = draw_defences(defended_results)
    for title in ("kl 0.1, 1", "inoculation 1", "early stop 0.5"):
        assert f">{title}</text>" in chart.figure.wide
        assert f">{title}</text>" in chart.figure.narrow
    assert chart.figure.wide.count("the base: 0.5%") == 3
    assert "undefended, rank 4: 42.0%" in chart.figure.description
    assert "kl 1, rank 4: 0.5%" in chart.figure.description
    assert "inoculation 1, after insecure.jsonl, rank 4: 35.0%" in chart.figure.description
    assert "early stop 0.5, full: 17.0%" in chart.figure.description


def test_strengths_of_a_kind_run_along_the_ramp_and_the_undefended_is_ink(
    defended_results: dict[str, Any],
):
    (chart,) = draw_defences(defended_results)
    for ink in ("var(--ramp-last) 0%", "var(--ramp-last) 100%", "var(--ink)"):
        assert ink in chart.figure.wide


def test_the_numbers_of_the_chart_are_the_table(defended_results: dict[str, Any]):
    (chart,) = draw_defences(defended_results)
    assert len(chart.rows) == len(defended_results["defences"])
    row = next(r for r in chart.rows if (r["defence"], r["rank"]) == ("inoculation 1", 4))
    told = [row[key] for key in ("rate_0_to_1", "undefended_rate_0_to_1", "verdict")]
    assert told == [pytest.approx(0.01), pytest.approx(0.42), "hides"]
    assert row["worst_cued_rate_0_to_1"] == pytest.approx(0.35)


def test_nothing_is_drawn_where_nothing_has_a_rate(defended_results: dict[str, Any]):
    assert draw_defences({"defences": []}) == []
    nothing = {"rate": None, "low": None, "high": None}
    unscored = [
        entry
        | {"misalignment": entry["misalignment"] | nothing | {"undefended": nothing}, "cued": []}
        for entry in defended_results["defences"]
    ]
    assert draw_defences({"defences": unscored}) == []
