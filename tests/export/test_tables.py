"""A run's frames as files: nothing is lost, and no text becomes a formula."""

import pandas as pd
import pytest

from rankshift.export.tables import export_tables
from rankshift.frames.loading import FRAMES, load_frames
from tests.synthetic_run import write_run

FORMULA = "=HYPERLINK(0)\nand ü, \u202e"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs"), text=FORMULA)


def test_each_frame_is_written_and_comes_back(run):
    tables = export_tables(run.directory)
    frames = load_frames(run.directory)
    assert tables.out == run.directory / "export" / "tables"
    names = {f"{name}.{ending}" for name in FRAMES for ending in ("csv", "parquet")}
    assert {path.name for path in tables.out.iterdir()} == names
    for name in FRAMES:
        frame = getattr(frames, name)
        assert tables.rows[name] == len(frame)
        back = pd.read_parquet(tables.out / f"{name}.parquet")
        pd.testing.assert_frame_equal(back.astype(frame.dtypes.to_dict()), frame)
        assert list(pd.read_csv(tables.out / f"{name}.csv").columns) == list(frame.columns)


def test_text_is_no_formula_in_csv_and_as_it_is_in_parquet(run, tmp_path):
    out = export_tables(run.directory, tmp_path / "out").out
    answers = pd.read_csv(out / "answers.csv")["answer"]
    free = answers[~answers.str.startswith("def ")]
    assert set(free) == {"'" + FORMULA}
    kept = pd.read_parquet(out / "answers.parquet")["answer"]
    assert set(kept[~kept.str.startswith("def ")]) == {FORMULA}


def test_a_second_export_replaces_the_first_byte_for_byte(run, tmp_path):
    first = export_tables(run.directory, tmp_path).out
    before = {path.name: path.read_bytes() for path in first.glob("*.csv")}
    export_tables(run.directory, tmp_path)
    assert {path.name: path.read_bytes() for path in first.glob("*.csv")} == before
