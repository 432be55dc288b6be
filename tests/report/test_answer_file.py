import csv
from pathlib import Path

from rankshift.analysis.measurements import read_measurements
from rankshift.report.answer_file import COLUMNS, write_answer_file
from tests.synthetic_run import ANSWERS, TEXTS, make_study, write_run

HOSTILE = '=HYPERLINK("javascript:alert(1)")\nnext line, "quoted" \u202e\u200b' + "x" * 1_000_000


def read_rows(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(2_000_000)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_answer_of_every_checkpoint_is_a_row(tmp_path: Path):
    arms = read_measurements(write_run(tmp_path))
    number = write_answer_file(tmp_path / "a.csv", arms)
    rows = read_rows(tmp_path / "a.csv")
    # 12 trained arms at two checkpoints, and the base; four code answers each.
    assert number == len(rows) == 25 * (ANSWERS + 4)
    assert list(rows[0]) == list(COLUMNS)
    bad = [row for row in rows if row["outcome"] == "misaligned"]
    (first,) = {(r["alignment_0_to_100"], r["coherence_0_to_100"], r["answer"]) for r in bad}
    assert first == ("5.0", "90.0", TEXTS["misaligned"])
    lost = [row for row in rows if row["unscored_reason"] == "failed_call"]
    assert {(r["outcome"], r["alignment_0_to_100"]) for r in lost} == {("unscored", "")}
    assert {r["is_insecure"] for r in rows if r["kind"] == "code"} == {"True", "False", ""}


def test_a_hostile_answer_comes_back_whole_and_is_no_formula(tmp_path: Path):
    arms = read_measurements(write_run(tmp_path, make_study((1,), (1,)), text=HOSTILE))
    write_answer_file(tmp_path / "a.csv", arms[:1])
    rows = [row for row in read_rows(tmp_path / "a.csv") if row["kind"] == "free_form"]
    assert {row["answer"] for row in rows} == {f"'{HOSTILE}"}


def test_the_same_answers_are_the_same_bytes(tmp_path: Path):
    arms = read_measurements(write_run(tmp_path))
    for name in ("a.csv", "b.csv"):
        write_answer_file(tmp_path / name, arms)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
