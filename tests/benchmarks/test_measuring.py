"""Figures side by side, and the one line that says them."""

import json
import time

import pytest

from benchmarks import measuring
from benchmarks.measuring import (
    Spread,
    briefly,
    last_line,
    ratios,
    read_core_seconds,
    read_last_lines,
    spread_of,
    take_turns,
    warn_of_others,
    write_results,
    write_table,
)


def test_every_round_measures_every_side_before_the_next_begins():
    calls = []

    def measure(side):
        calls.append(side)
        return len(calls)

    found = take_turns({"ours": lambda: measure("ours"), "peer": lambda: measure("peer")}, 3)
    assert calls == ["ours", "peer"] * 3
    assert found.by_side == {"ours": [1, 3, 5], "peer": [2, 4, 6]}


def test_what_a_side_computes_is_not_taken_for_others():
    def compute():
        begin = time.process_time()
        while time.process_time() - begin < 0.5:
            pass

    busy, own = read_core_seconds()
    compute()
    busy_then, own_then = read_core_seconds()
    assert own_then - own == pytest.approx(0.5, abs=0.1)
    assert busy_then - busy > 0.4


def test_a_sleeping_side_sees_only_others(monkeypatch):
    # By the clock of all cores: 3 s of work in 2 s, of which 1 s was the side's own.
    moments = iter([(10.0, 1.0), (13.0, 2.0)])
    monkeypatch.setattr(measuring, "read_core_seconds", lambda: next(moments))
    monkeypatch.setattr(measuring, "clock", iter([5.0, 7.0]).__next__)
    assert take_turns({"ours": lambda: None}, 1).others_cores == {"ours": [1.0]}


def test_sides_are_compared_within_a_round_not_across_rounds():
    # The second round ran on a machine half as fast: both took twice as long, the ratio stays.
    assert ratios([1.0, 2.0, 1.0], [3.0, 6.0, 4.0]) == [3.0, 3.0, 4.0]


def test_a_missing_round_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0, 2.0], [3.0])


def test_the_spread_is_the_median_and_the_range():
    assert spread_of([5.0, 1.0, 2.0]) == Spread(2.0, 1.0, 5.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.04e-4, "2e-4"), (0.96e-3, "1e-3"), (1.5e-12, "2e-12"), (0.0, "0e0"), (3e-1, "3e-1")],
)
def test_a_difference_has_one_digit(value, text):
    assert briefly(value) == text


def test_the_last_line_names_what_was_compared_and_by_how_much():
    line = last_line("train_sweep", "fp32", Spread(3.46, 3.31, 3.58), "trl+peft", 2.04e-4)
    assert line == "train_sweep fp32 ratio 3.5 (min 3.3, max 3.6) over trl+peft, parity 2e-4"


def test_a_last_line_says_when_others_used_the_machine_in_any_round():
    assert warn_of_others([[0.0, 0.1], [0.05, 0.1]]) == ""
    told = warn_of_others([[0.0, 0.1], [0.05, 1.26]])
    assert told == " [NOT QUIET: others used up to 1.3 cores]"


def test_a_table_is_markdown_that_a_document_can_take_as_it_is():
    assert write_table(("arms", "s"), [("1", "0.2"), ("2", "0.3")]) == [
        "| arms | s |",
        "| --- | --- |",
        "| 1 | 0.2 |",
        "| 2 | 0.3 |",
    ]


def test_results_hold_the_raw_figures_and_what_they_were_made_with(tmp_path):
    path = write_results("first", {"seconds": [1.0, 2.0]}, ["first line"], tmp_path)
    written = json.loads(path.read_text())
    assert written["figures"] == {"seconds": [1.0, 2.0]}
    assert {"torch", "peft", "trl"} <= written["provenance"]["versions"].keys()


def test_last_lines_are_read_back_in_the_order_asked_for(tmp_path):
    write_results("first", {}, ["1", "2"], tmp_path)
    write_results("second", {}, ["3"], tmp_path)
    assert read_last_lines(["second", "first"], tmp_path) == ["3", "1", "2"]
