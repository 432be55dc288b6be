"""What a study takes on devices that are not here, worked out by hand beside the code."""

from pathlib import Path

import pytest

from rankshift.executor.scale import plan_scale, tabulate, tell_scale
from rankshift.study_file import read_study

STUDY = Path(__file__).parents[2] / "studies/scale-32b.toml"
PARAMETERS = 32_763_876_352
WIDTHS = 64 * (2 * 10240 + 2 * 6144 + 3 * 32768)
"""Sum of K + N over all adapted layers: parameters of an adapter for each rank."""
PRODUCTS = 64 * (2 * 5120 * 5120 + 2 * 5120 * 1024 + 3 * 5120 * 27648)
HEAD = 5120 * 152064
TOKENS = 338 * 16 * 250
RATE = 989e12 * 0.4


@pytest.fixture(scope="module")
def plan():
    return plan_scale(read_study(STUDY))


def test_memory_is_weights_in_two_bytes_and_sixteen_for_each_trained_parameter(plan):
    rows = {row.label: row for row in plan.rows}
    assert plan.parameters == PARAMETERS
    for rank in (32, 512):
        weights = 2 * PARAMETERS + 16 * rank * WIDTHS
        left = rows[f"rank {rank}"].gib * 2**30 - weights
        assert 0 < left < 4e9  # what two rows of 900 tokens keep and make
    full = rows["full"].gib * 2**30 - (2 + 4 + 4 + 8) * PARAMETERS
    assert 0 < full < 8e9
    assert (rows["rank 512"].devices, rows["full"].devices) == (1, 5)


def test_hours_are_operations_over_what_a_device_reaches(plan):
    rows = {row.label: row for row in plan.rows}
    # Forward, again, and the gradient of the input are 2 each; thin products are 6 r (K + N).
    lora = TOKENS * (6 * (PRODUCTS + HEAD) + 6 * 4 * WIDTHS)
    assert rows["rank 4"].train_hours == pytest.approx(10 * lora / RATE / 3600, rel=1e-9)
    full = TOKENS * 8 * (PRODUCTS + HEAD)
    assert rows["full"].train_hours == pytest.approx(10 * full / RATE / 3600, rel=1e-9)
    # Ten arms, three checkpoints, 400 answers of 200 tokens, 128 at a time.
    reads = 10 * 3 * 400 * 200 / 128
    hours = reads * 2 * PARAMETERS / (4.8e12 * 0.4) / 3600
    assert rows["full"].answer_hours == pytest.approx(hours, rel=1e-9)


def test_bytes_are_those_of_float32_checkpoints(plan):
    rows = {row.label: row for row in plan.rows}
    assert rows["rank 8"].disk_bytes == 10 * 3 * 4 * 8 * WIDTHS
    assert rows["full"].disk_bytes == 10 * 3 * 4 * PARAMETERS
    assert plan.disk_bytes == sum(row.disk_bytes for row in plan.rows)


def test_every_answer_is_judged_twice_at_the_prices_of_the_study(plan):
    assert plan.answers == (1 + 100 * 3) * 400
    assert plan.judge_calls == 2 * plan.answers
    written = plan.judge_calls * 1
    assert plan.judge_usd == pytest.approx((plan.judge_tokens * 2.5 + written * 10) / 1e6)


def test_the_page_shows_the_table_that_plan_prints(plan):
    page = (Path(__file__).parents[2] / "docs/scale.md").read_text(encoding="utf-8")
    for line in tabulate(plan):
        assert f"| {' | '.join(line)} |\n" in page
    assert f"{plan.answers:,} answers cost {plan.judge_usd:.0f} US dollars" in page
    assert f"{plan.groups} groups; {plan.device_hours:.0f} GPU-hours" in page


def test_the_table_ends_with_sums_and_says_what_is_not_built(plan):
    headings, *lines = tabulate(plan)
    assert [line[0] for line in lines] == [*(f"rank {2**n}" for n in range(1, 10)), "full", "all"]
    assert all(len(line) == len(headings) for line in lines)
    assert lines[-1][1] == "100"
    *_, last = tell_scale(plan)
    assert last.startswith("warning  full: the engine does not divide one model over GPUs")
