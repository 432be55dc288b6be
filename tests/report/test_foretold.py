import re
from dataclasses import replace

import pytest

from rankshift.analysis.foretold import describe_foretold
from rankshift.analysis.results import summarize
from rankshift.forecast_records import FILE, Foretold, write_evidence
from rankshift.report.foretold import draw_foretold, name_time, tell_foretold
from rankshift.report.page import make_report
from rankshift.runs import StudyRun, identify_arms
from tests.synthetic_run import make_study, read_answer_sample, write_run
from tests.test_forecast_records import FINETUNE


@pytest.fixture
def run(tmp_path) -> StudyRun:
    """Write a run of whose two adapters something was foretold, before and early in training."""
    run = write_run(tmp_path, make_study(ranks=(1, 4), seeds=(1,)))
    ids = [n for n, arm in identify_arms(*run.read_study()).items() if arm.method == "lora"][:2]
    happened = [
        replace(FINETUNE, arm=name, rank=rank, rate=rate)
        for name, rank, rate in zip(ids, (1, 4), (0.2, 0.5), strict=True)
    ]
    foretold = [
        Foretold(name, share, rate, 0.1, 0.4)
        for share, rate in ((None, 0.3), (0.05, 0.25))
        for name in ids
    ]
    write_evidence(run.directory / FILE, happened, foretold)
    return run


def test_where_nothing_was_foretold_the_page_says_nothing(tmp_path):
    run = write_run(tmp_path, make_study(ranks=(1,), seeds=(1,)))
    results = summarize(run)
    assert describe_foretold(run) is None
    assert (tell_foretold(results), draw_foretold(results)) == ((), [])
    assert "Foretold and happened" not in make_report(results, read_answer_sample(run)).html


def test_what_was_foretold_stands_beside_what_happened_for_each_time(run):
    assert tell_foretold(summarize(run)) == (
        "Foretold before training: 30.0% on average, and 35.0% happened; 1 of 2 arms lie in their "
        "90% interval.",
        "Foretold after 5% of the steps: 25.0% on average, and 35.0% happened; 1 of 2 arms lie in "
        "their 90% interval.",
    )


def test_every_arm_is_a_dot_in_the_chart_of_each_time(run):
    results = summarize(run)
    charts = draw_foretold(results)
    assert [chart.title for chart in charts] == [
        f"Foretold {name_time(share)}" for share in (None, 0.05)
    ]
    for chart in charts:
        assert len(chart.rows) == 2
        assert len(re.findall(r"<title>.*?: foretold .*?, happened ", chart.figure.wide)) == 2
    html = make_report(results, read_answer_sample(run)).html
    assert "Foretold and happened" in html
