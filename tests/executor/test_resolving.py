"""What a study's names stand for."""

from dataclasses import replace

import pytest

from rankshift.errors import UserError
from rankshift.executor.resolving import resolve_study
from rankshift.study_file import read_study


def test_seeds_that_share_a_split_share_their_material_and_others_have_their_own(
    write_study, tmp_path
):
    study = read_study(write_study())
    shared = resolve_study(study, tmp_path / "runs")
    assert shared.find_material(1) is shared.find_material(2) is shared.material
    apart = replace(study, data=replace(study.data, split_each_seed=True))
    resolved = resolve_study(apart, tmp_path / "runs")
    assert resolved.find_material(1) is not resolved.find_material(2)
    assert resolved.row_lengths("task", 1) != resolved.row_lengths("task", 2)
    assert shared.row_lengths("task", 1) == shared.row_lengths("task", 2) != ()
    assert resolved.row_lengths("base", None) == ()


def test_a_part_that_is_not_there_is_refused_and_nothing_is_written(write_study, tmp_path):
    study = read_study(write_study())
    absent = replace(study, data=replace(study.data, task="absent.jsonl"))
    with pytest.raises(UserError, match=r"absent\.jsonl: no such file"):
        resolve_study(absent, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
