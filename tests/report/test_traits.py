import re
from typing import Any

import pytest

from rankshift.analysis.results import summarize
from rankshift.report.traits import colour_by_rank, draw_traits, list_ticks
from tests.rich_results import enrich
from tests.synthetic_run import make_study, write_run


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return enrich(summarize(write_run(tmp_path_factory.mktemp("runs"), make_study())))


def test_what_varies_is_a_panel_and_what_does_not_is_none(rich: dict[str, Any]):
    chart = draw_traits(rich)
    assert chart is not None
    for title in ("u = scale x rank x learning rate", "norm of the update", "A's movement"):
        assert f">{title}" in chart.figure.wide
    # Full finetuning's learning rate is another in any case; the adapters' is one.
    assert ">learning rate<" not in chart.figure.wide
    assert ">scaling<" not in chart.figure.wide


def test_every_task_arm_at_the_end_is_a_dot_with_its_numbers(rich: dict[str, Any]):
    chart = draw_traits(rich)
    assert chart is not None
    arms = [r for r in rich["arms"] if r["role"] == "task" and r["step"] == 4]
    assert [row["arm"] for row in chart.rows] == [row["arm"] for row in arms]
    tips = re.findall(r"<title>(.*?: norm of the update .*?)</title>", chart.figure.wide)
    assert len(tips) == len(arms) == 9


def test_two_scalings_are_a_panel_of_names(rich: dict[str, Any]):
    arms = [
        row | {"scaling": "alpha/rank" if row["rank"] == 4 else row["scaling"]}
        for row in rich["arms"]
    ]
    chart = draw_traits(rich | {"arms": arms})
    assert chart is not None
    assert "scaling alpha/rank" in chart.figure.wide


def test_results_of_earlier_versions_have_u_alone(rich: dict[str, Any]):
    drop = ("update", "kl")
    arms = [{k: v for k, v in row.items() if k not in drop} for row in rich["arms"]]
    chart = draw_traits(rich | {"arms": arms})
    assert chart is not None
    assert "u" in chart.rows[0]
    assert not {"kl_nats_per_token", "update_norm_frobenius"} & chart.rows[0].keys()
    assert draw_traits(rich | {"arms": []}) is None


def test_an_axis_has_a_few_round_numbers():
    assert list_ticks(0.03, 40.0) == pytest.approx([0.1, 1.0, 10.0])
    assert list_ticks(0.11, 0.7) == pytest.approx([0.2, 0.5])


def test_ranks_are_coloured_along_the_ramp_and_others_are_not():
    rows = [{"rank": r, "method": m} for r, m in ((4, "lora"), (1, "lora"), (None, "full"))]
    groups, inks = colour_by_rank(rows)
    assert groups == ["1", "4", "full"]
    assert len(set(inks)) == 3
