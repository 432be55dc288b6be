import csv
import json
from pathlib import Path

import pytest

from rankshift.report.cells import Cell
from rankshift.report.charts import LISTING, Chart, number_names, write_charts
from rankshift.report.panels import Panel
from rankshift.report.rank_figures import draw_over_rank


@pytest.fixture(scope="module")
def chart() -> Chart:
    cells = [Cell("task", rank, None, 0.1 * rank, None, None, ()) for rank in (1, 2)]
    figure = draw_over_rank(Panel(cells, "Share", "share"))
    assert figure is not None
    return Chart("shares", "", figure, ({"rank": 1, "rate_0_to_1": 0.1, "note": "=1"},))


def test_every_chart_is_three_files(chart: Chart, tmp_path: Path):
    write_charts(tmp_path, [chart])
    assert {path.name for path in tmp_path.iterdir()} == {*chart.files, LISTING}
    assert "var(" not in (tmp_path / "shares.svg").read_text()
    assert (tmp_path / "shares.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "shares.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["rank", "rate_0_to_1", "note"], ["1", "0.1", "'=1"]]


def test_charts_of_an_earlier_time_go_and_what_is_not_ours_stays(chart: Chart, tmp_path: Path):
    (other,) = number_names([Chart("old", "", chart.figure, ())])
    write_charts(tmp_path, [chart, other])
    (tmp_path / "notes.csv").write_text("mine")
    write_charts(tmp_path, [chart])
    assert not (tmp_path / "old.svg").exists()
    assert (tmp_path / "notes.csv").read_text() == "mine"
    assert list(json.loads((tmp_path / LISTING).read_text())) == ["shares"]


def test_a_listing_that_was_edited_removes_nothing_elsewhere(chart: Chart, tmp_path: Path):
    folder = tmp_path / "report"
    folder.mkdir()
    outside = tmp_path / "results.csv"
    outside.write_text("mine")
    (folder / LISTING).write_text('{"../results": "", "shares": ""}')
    write_charts(folder, [chart])
    (folder / LISTING).write_text("no listing at all")
    write_charts(folder, [chart])
    assert outside.read_text() == "mine"
    assert (folder / "shares.svg").exists()


def test_the_same_charts_are_the_same_bytes(chart: Chart, tmp_path: Path):
    for folder in ("a", "b"):
        write_charts(tmp_path / folder, [chart])
    for name in chart.files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_charts_of_one_name_are_numbered(chart: Chart):
    assert [one.name for one in number_names([chart] * 3)] == ["shares", "shares-2", "shares-3"]
