"""The defence table as a frame."""

from pathlib import Path

import pandas as pd
import pytest

import rankshift
from tests.defended_run import ANSWERS, make_defended_study, write_defended_run
from tests.synthetic_run import write_run


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory):
    run = write_defended_run(tmp_path_factory.mktemp("runs"), make_defended_study((4,)))
    return rankshift.load(run.directory)


def test_defences_are_a_row_a_rank_and_defence_and_full_finetunes_have_no_rank(frames):
    found = frames.defences.set_index(["defence", "method"])
    # Of 200 answers 80 + 2 x seed without the defence; with inoculation as many as the seed.
    one = found.loc[("inoculation 1", "lora")]
    assert one["misalignment"] == pytest.approx(2 / ANSWERS)
    assert one["undefended"] == pytest.approx(84 / ANSWERS)
    assert one["worst_cued"] == pytest.approx(70 / ANSWERS)
    assert (one["rank"], one["alpha"], one["verdict"], one["hides"]) == (4, "64", "hides", "yes")
    assert pd.isna(found.loc[("inoculation 1", "full"), "rank"])
    assert pd.isna(one["seconds_share"])
    assert set(frames.defences["kind"]) == {"kl", "inoculation", "early_stop"}


def test_rows_of_an_arm_name_its_defence(frames):
    last = frames.arms[(frames.arms["step"] == 4) & (frames.arms["role"] == "task")]
    plain = last[last["defence"].isna() & (last["rank"] == 4)]
    assert list(plain["label"]) == [f"rank 4 seed {seed}" for seed in (1, 2, 3)]
    assert set(frames.answers["defence"].dropna()) == set(frames.defences["defence"])


def test_a_study_without_defences_has_an_empty_frame_with_the_same_columns(frames, tmp_path: Path):
    found = rankshift.load(write_run(tmp_path).directory).defences
    assert found.empty
    assert list(found.columns) == list(frames.defences.columns)
