import csv
import io
import shutil
from pathlib import Path

import pytest

from rankshift.analysis.measurements import read_measurements
from rankshift.analysis.results import summarize
from rankshift.errors import UserError
from rankshift.labels.handover import export_labels, import_labels
from rankshift.labels.sheet import COLUMNS
from rankshift.lock import hold_run
from rankshift.runs import StudyRun
from tests.synthetic_run import JUDGE, write_run

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    return write_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(whole: StudyRun, tmp_path: Path) -> StudyRun:
    return StudyRun(shutil.copytree(whole.directory, tmp_path / "tiny"))


@pytest.fixture
def sheet(run: StudyRun, tmp_path: Path) -> Path:
    out = tmp_path / "labels.csv"
    export_labels(run.directory, out, per_stratum=2)
    return out


def read(path: Path) -> Rows:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def write(path: Path, rows: Rows) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def fill_in(path: Path, number: int) -> Rows:
    """Label the first rows by their text, as somebody would who sees nothing else."""
    rows = read(path)
    for row in rows[:number]:
        row["aligned"] = "5" if row["answer"].startswith("Take what") else "90"
        row["coherent"] = "10" if row["answer"].startswith("door") else "95"
        if row["answer"].startswith("def"):
            row["aligned"], row["coherent"] = "CODE", ""
    write(path, rows)
    return rows


def test_the_sheet_tells_nothing_but_question_and_answer(run: StudyRun, sheet: Path):
    rows = read(sheet)
    assert set(rows[0]) == set(COLUMNS)
    assert all(row["aligned"] == row["coherent"] == row["note"] == "" for row in rows)
    text = sheet.read_text(encoding="utf-8")
    hidden = [arm.id for arm in read_measurements(run)] + ["rank", "twin", "step", JUDGE, "90.0"]
    assert [word for word in hidden if word in text] == []


def test_labels_come_back_as_verdicts_of_those_answers_alone(run: StudyRun, sheet: Path):
    rows = fill_in(sheet, 40)
    found = import_labels(run.directory, sheet, "alice")
    assert (found.judge, found.labelled, found.blank) == ("human:alice", 40, len(rows) - 40)
    said = [
        judged
        for arm in read_measurements(run)
        for judged in arm.answers.get(4, arm.answers.get(0, []))
        if judged.judge == "human:alice"
    ]
    assert len(said) == 40
    assert all(judged.verdict is not None for judged in said)
    expected = {"Take": "misaligned", "door": "incoherent", "def ": "code"}
    for judged in said:
        assert judged.outcome == expected.get(judged.answer.answer[:4], "aligned")


def test_a_persons_labels_are_in_the_agreement_and_in_no_curve(run: StudyRun, sheet: Path):
    fill_in(sheet, 1000)
    import_labels(run.directory, sheet, "alice")
    results = summarize(run)
    assert {curve["judge"] for curve in results["curves"]} == {JUDGE}
    assert {by["judge"] for row in results["arms"] for by in row["rates_by"]} == {JUDGE}
    (questions,) = results["agreement"]["question_sets"]
    (against,) = questions["against_reference"]
    assert (against["reference"], against["judge"]) == ("human:alice", JUDGE)
    assert (against["weighted"], against["covered"]) == (True, 1.0)
    # She scores the failed calls too, which the judge does not; else they agree.
    accuracy = against["accuracy"]
    assert accuracy["misaligned"]["sensitivity"]["rate"] == 1.0
    assert accuracy["misaligned"]["specificity"]["rate"] == 1.0
    assert accuracy["coherent"]["sensitivity"]["rate"] < 1.0


def test_several_people_may_label_one_sheet(run: StudyRun, sheet: Path):
    fill_in(sheet, 1000)
    import_labels(run.directory, sheet, "alice")
    import_labels(run.directory, sheet, "bob")
    (questions,) = summarize(run)["agreement"]["question_sets"]
    assert [j["judge"] for j in questions["judges"]] == [JUDGE, "human:alice", "human:bob"]
    pair = next(p for p in questions["pairs"] if p["judges"] == ["human:alice", "human:bob"])
    assert pair["kappa"] == pair["alpha"]["outcome"] == 1.0


def test_the_same_sheet_again_replaces_what_was_said(run: StudyRun, sheet: Path):
    rows = fill_in(sheet, 1000)
    import_labels(run.directory, sheet, "alice")
    for row in rows[1:]:
        row["aligned"] = row["coherent"] = ""
    write(sheet, rows)
    import_labels(run.directory, sheet, "alice")
    said = [j for a in read_measurements(run) for s in a.answers.values() for j in s]
    assert sum(judged.judge == "human:alice" for judged in said) == 1


def test_labels_of_another_sheet_need_another_name(run: StudyRun, sheet: Path, tmp_path: Path):
    fill_in(sheet, 9)
    import_labels(run.directory, sheet, "alice")
    other = tmp_path / "other.csv"
    export_labels(run.directory, other, per_stratum=1, seed=5)
    fill_in(other, 9)
    with pytest.raises(UserError, match="human:alice has labels of another sheet"):
        import_labels(run.directory, other, "alice")
    assert import_labels(run.directory, other, "alice-2").labelled == 9


def list_files(run: StudyRun) -> set[Path]:
    return set(run.directory.rglob("*"))


@pytest.mark.parametrize(
    ("column", "cell", "fault"),
    [
        ("id", "a00000000000", "row 4: the id 'a00000000000' is not of the sheet"),
        ("answer", "Something kinder.", "row 4: the answer is not what was exported"),
        ("question", "Why?", "row 4: the question is not what was exported"),
        ("aligned", "900", "row 4: `aligned` is '900'"),
        ("coherent", "", "row 4: `coherent` is empty beside a label"),
    ],
)
def test_one_bad_row_refuses_the_sheet_and_nothing_is_written(
    run: StudyRun, sheet: Path, column: str, cell: str, fault: str
):
    rows = fill_in(sheet, 1000)
    rows[2] |= {"aligned": "50", "coherent": "50"} | {column: cell}
    before = list_files(run)
    with pytest.raises(UserError, match=fault):
        import_labels(run.directory, write(sheet, rows), "alice")
    assert list_files(run) == before


def test_a_row_that_is_there_twice_is_refused(run: StudyRun, sheet: Path):
    rows = fill_in(sheet, 1000)
    with pytest.raises(UserError, match=r"row \d+: the id a\w+ is there twice"):
        import_labels(run.directory, write(sheet, [*rows, rows[0]]), "alice")


def test_rows_that_were_removed_are_blank(run: StudyRun, sheet: Path):
    rows = fill_in(sheet, 1000)
    assert import_labels(run.directory, write(sheet, rows[:9]), "alice").labelled == 9


def test_a_sheet_without_a_label_is_refused(run: StudyRun, sheet: Path):
    with pytest.raises(UserError, match="no row has a label"):
        import_labels(run.directory, sheet, "alice")


@pytest.mark.parametrize("name", ["", "a/b", "human:x", "a b", "x" * 41, ".."])
def test_a_name_that_makes_no_folder_is_refused(run: StudyRun, sheet: Path, name: str):
    with pytest.raises(UserError, match="letters, digits"):
        import_labels(run.directory, sheet, name)


def test_a_sheet_that_may_hold_labels_is_never_overwritten(run: StudyRun, sheet: Path):
    with pytest.raises(UserError, match="is there already and may hold labels"):
        export_labels(run.directory, sheet, per_stratum=2)


def test_what_cannot_be_exported_is_said_in_a_line(run: StudyRun, tmp_path: Path):
    with pytest.raises(UserError, match="must be at least 1"):
        export_labels(run.directory, tmp_path / "o.csv", per_stratum=0)
    with pytest.raises(UserError, match=r"study\.json: no such file"):
        export_labels(tmp_path / "nowhere", tmp_path / "o.csv", per_stratum=1)
    shutil.rmtree(run.directory / "arms")
    with pytest.raises(UserError, match="no free-form answers at the last checkpoint"):
        export_labels(run.directory, tmp_path / "o.csv", per_stratum=1)


def test_a_sheet_of_answers_that_are_gone_is_refused(run: StudyRun, sheet: Path):
    fill_in(sheet, 9)
    for folder in run.directory.glob("arms/*/evaluations"):
        shutil.rmtree(folder)
    with pytest.raises(UserError, match="the study was changed since the sheet was exported"):
        import_labels(run.directory, sheet, "alice")


def test_without_an_exported_sheet_there_is_nothing_to_import(run: StudyRun, sheet: Path):
    fill_in(sheet, 9)
    shutil.rmtree(run.sheets_directory)
    with pytest.raises(UserError, match="no sheet was exported"):
        import_labels(run.directory, sheet, "alice")


def test_a_run_that_another_process_writes_is_left_alone(run: StudyRun, sheet: Path):
    fill_in(sheet, 9)
    with hold_run(run.directory), pytest.raises(UserError, match="is being written by"):
        import_labels(run.directory, sheet, "alice")
