from typing import Any

import pytest

from rankshift.analysis.results import summarize
from rankshift.report.curve_charts import (
    Shares,
    draw_excess,
    draw_shares,
    has_category,
    has_new_questions,
    list_loss_rows,
    list_share_rows,
    pair_twins,
    take_of_all,
)
from tests.rich_results import enrich
from tests.synthetic_run import make_study, write_run


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return summarize(write_run(tmp_path_factory.mktemp("runs"), make_study()))


def test_a_curve_and_its_twins_are_one_pair_and_two_tasks_are_two(plain: dict[str, Any]):
    task, twin = plain["curves"]
    assert pair_twins([task, twin]) == [(task, twin)]
    other = task | {"dataset": "other.jsonl"}
    assert pair_twins([task, other, twin]) == [(task, twin), (other,)]
    for key, value in (("learning_rate", 0.5), ("trains_a", False), ("layers", [0, 1])):
        assert pair_twins([task, twin | {key: value}]) == [(task,), (twin | {key: value},)]


def test_the_numbers_of_a_chart_are_those_of_results(plain: dict[str, Any]):
    curve = plain["curves"][0]
    rows = list(list_share_rows(curve))
    means = [row for row in rows if row["what"] == "mean over seeds"]
    assert [row["rate_0_to_1"] for row in means] == [
        cell["rate"] for cell in (*curve["points"], *curve["categories"])
    ]
    seeds = [row for row in rows if row["what"] == "one seed" and row["rank"] == 1]
    assert [(row["events_count"], row["counted_answers_count"]) for row in seeds] == [
        *((7, 15), (8, 15), (9, 15))
    ]
    of_all = list(list_share_rows(take_of_all(curve)))
    assert (of_all[0]["events_count"], of_all[0]["counted_answers_count"]) == (24, 60)


def test_columns_say_their_units(plain: dict[str, Any]):
    shares = {key for row in list_share_rows(plain["curves"][0]) for key in row}
    losses = {key for row in list_loss_rows(plain["loss_curves"][0]) for key in row}
    bare = {"dataset", "role", "scaling", "alpha", "learning_rate", "u", "question_set", "judge"}
    bare |= {"place", "rank", "what", "seed", "arm", "note", "optimizer_step"}
    bare |= {"intraclass_correlation"}
    units = ("_0_to_1", "_count", "_nats_per_token", "_ratio")
    assert all(key.endswith(units) for key in (shares | losses) - bare)


def test_both_intervals_are_in_the_numbers(plain: dict[str, Any]):
    curve = enrich(plain)["curves"][0]
    row = next(iter(list_share_rows(curve)))
    point = curve["points"][0]
    assert row["these_questions_low_0_to_1"] == point["low"]
    assert row["new_questions_high_0_to_1"] == point["new_questions"]["high"]
    assert has_new_questions([curve])
    for cell in (*curve["points"], *curve["categories"]):
        del cell["new_questions"]  # as in results of an earlier version
    assert not has_new_questions([curve])


def test_excess_is_drawn_with_its_sign(plain: dict[str, Any]):
    bare = {key: value for key, value in plain.items() if key != "excess_curves"}
    assert draw_excess(bare) == draw_excess(plain | {"excess_curves": None}) == []
    (chart,) = draw_excess(enrich(plain))
    assert "points" in chart.figure.description
    assert [row["rank"] for row in chart.rows] == [1, 4]


def test_a_title_names_who_asks_only_where_that_differs(plain: dict[str, Any]):
    pairs = pair_twins(plain["curves"])
    (named,) = draw_shares(pairs, Shares("a", "Share", is_asked_named=True))
    (bare,) = draw_shares(pairs, Shares("a", "Share"))
    assert named.title == f"embedded:held-out, judged by exact-oracle; {bare.title}"
    assert has_category(named.curves, "full")
    assert not has_category(named.curves, "model")
