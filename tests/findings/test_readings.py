import pytest

from findings.contrasts import Cell
from findings.readings import list_readings, read_tables, write_readings
from findings.what_rank_does import gather_cells, list_means, list_verdicts, read_mass, read_rate
from rankshift.analysis.curves import Setting
from rankshift.analysis.matched import Match, build_matched_curves
from tests.result_rows import make_row

TASK = Setting("organism:insecure", "task", "alpha/rank", 64.0, 1e-3, ("q_proj",), ())
PLACE = ("organism:2", 1)


def row(arm: str, step: int, events: int, crossed: float | None = None, **changes) -> dict:
    """A row of results.json as the analysis writes it."""
    made = make_row(arm, step, events, crossed, dataset="organism:insecure", **changes)
    return made | {
        "label": arm,
        "held_out_loss": 1.0 - step / 100,
        "update": {"norm": 2.5},
        "outcomes": {"answers": 10},
        "choices_by": [{"misaligned_mass": {"mean": 0.7}}] if arm == "4-1" and step == 8 else None,
        "rates": made["rates_by"][0],
    }


@pytest.fixture
def results() -> dict:
    rows = [
        row("1-1", 3, 4, 0.76),
        row("1-1", 8, 6),
        row("4-1", 3, 2, 0.95),
        row("4-1", 8, 5),
        row("4-2", 8, 3, truncated_to=1),
    ]
    curves = build_matched_curves(rows, [TASK], [Match("skill", 0.75)], last_step=8)
    settings = {"base": {"model": "organism:2"}}
    return {"study": {"settings": settings}, "arms": rows, "matched_curves": curves}


def test_each_arm_is_read_at_its_end_and_at_the_marks_that_it_did_not_pass_too_far(results):
    found = [(r["label"], r["at"], r["events"], r["reached"]) for r in list_readings(results)]
    assert sorted(found) == [
        ("1-1", "end", 6, None),
        ("1-1", "skill 0.75", 4, 0.76),
        ("4-1", "end", 5, None),
        ("4-2", "end", 3, None),
    ]


def test_readings_come_back_from_their_table_as_cells(results, tmp_path):
    write_readings(tmp_path / "study.base-2.csv", list_readings(results))
    rates = gather_cells(read_tables(tmp_path), read_rate)
    assert {(c.rank, c.u, c.at, c.cut_to, c.trains_a, c.names) for c in rates} == {
        (1, 0.064, "end", None, True, 0),
        (1, 0.064, "skill 0.75", None, True, 0),
        (4, 0.064, "end", None, True, 0),
        (4, 0.064, "end", 1, True, 0),
    }
    assert rates[Cell(1, 0.064, "end")] == {PLACE: 0.6}
    lines = "\n".join(list_means(rates))
    assert "rank 4, u 0.064, cut to rank 1, end: organism:2 30.0 % of 1" in lines
    assert list(list_verdicts(rates)) == []  # one rank is not enough for any
    assert gather_cells(read_tables(tmp_path), read_mass) == {Cell(4, 0.064, "end"): {PLACE: 0.7}}


def test_a_rate_is_not_read_where_few_answers_are_coherent():
    row = {"events": "3", "eligible": "50", "answers": "240"}
    assert read_rate(row) is None
    assert read_rate(row | {"eligible": "60"}) == 0.05


def test_a_folder_without_tables_is_no_finding(tmp_path):
    with pytest.raises(FileNotFoundError, match="no tables of readings"):
        read_tables(tmp_path)
