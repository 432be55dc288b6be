import re
from typing import Any

import pytest

from rankshift.analysis.results import summarize
from rankshift.report.matched import draw_matched, draw_tradeoff, list_lacking
from tests.rich_results import MATCHES, enrich
from tests.synthetic_run import make_study, write_run


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return summarize(write_run(tmp_path_factory.mktemp("runs"), make_study((1, 4), (1, 2, 3))))


@pytest.fixture(scope="module")
def rich(plain: dict[str, Any]) -> dict[str, Any]:
    return enrich(plain)


def test_every_match_value_is_a_panel_of_one_figure(rich: dict[str, Any]):
    (chart,) = draw_matched(rich)
    for title in ("At 50% of the skill", "At KL 0.25 nats a token", "At 30.0% insecure code"):
        assert f">{title}<" in chart.figure.wide
    assert len(chart.curves) == 2 * len(MATCHES)  # the twin's beside the task's
    assert {row["match"] for row in chart.rows if row["rank"] == 4} >= {"90% of the skill"}


def test_arms_without_a_value_are_marked_and_listed_with_the_reason(rich: dict[str, Any]):
    (chart,) = draw_matched(rich)
    assert "rank 1: 3 arms censored, never reached it" in chart.figure.wide
    lacking = list_lacking(rich)
    assert len(lacking) == 4  # three seeds of rank 1, and its twin
    assert {(lack.match, lack.kind, lack.why) for lack in lacking} == {
        ("90% of the skill", "censored", "never reached it")
    }
    assert {lack.arm for lack in lacking} == {
        *(f"rank 1 seed {seed}" for seed in (1, 2, 3)),
        "rank 1 seed 1 twin",
    }


def test_without_matched_curves_there_is_nothing(plain: dict[str, Any]):
    bare = plain | {"matched_curves": []}
    assert draw_matched(bare) == []
    assert list_lacking(bare) == []


def test_the_tradeoff_has_every_checkpoint_of_the_tasks_arms_and_the_base(plain: dict[str, Any]):
    chart = draw_tradeoff(plain)
    assert chart is not None
    rows = [row for row in plain["arms"] if row["role"] in ("base", "task")]
    assert len(chart.rows) == len(rows) == 19
    titles = re.findall(r"<title>(.*?)</title>", chart.figure.wide)
    assert len(titles) == len(rows)
    # Rank 1 seed 2: loss 2 - 0.1 x 4 - 0.01 x 2, 8 of 15 misaligned.
    assert "rank 1 seed 2 at step 4: loss 1.580, 53.3%" in titles


def test_one_loss_is_no_tradeoff(plain: dict[str, Any]):
    rows = [row | {"task_held_out_loss": 1.0} for row in plain["arms"]]
    assert draw_tradeoff(plain | {"arms": rows}) is None
    assert draw_tradeoff(plain | {"arms": []}) is None
