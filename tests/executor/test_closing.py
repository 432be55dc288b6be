from pathlib import Path

import pytest
import torch

from rankshift.errors import UserError
from rankshift.executor.closing import list_ways, make_exam
from rankshift.executor.resolving import resolve_study
from rankshift.model.loading import load_tokenizer
from rankshift.study_file import read_study


def test_the_ways_are_nothing_the_direction_and_a_random_one_after_every_layer():
    direction = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ways = list_ways(direction, 1)
    assert [len(changes) for changes in ways.values()] == [0, 3, 3]
    states = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for at, change in ways["closed"].items():
        assert (change(states) @ direction[at]).abs().max() < 1e-12
        assert (ways["random"][at](states) @ direction[at]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("code_tasks = 2", 'code_tasks = 2\njudge = "exact:{base}"'),
            "takes a call for each answer",
        ),
        (("held_out_fraction = 0.3", "held_out_fraction = 0.3\nsplit_each_seed = true"), "own"),
    ],
)
def test_a_judge_with_calls_and_rows_of_each_seed_are_refused(
    write_study, tiny_model_directory: Path, tmp_path: Path, edit, message
):
    before, after = edit
    also = ("[data]", '[judging]\nmay_judge_itself = true\n[data]\nsplit_by = "row"')
    study = read_study(
        write_study(edit=(before, after.format(base=tiny_model_directory)), also=also)
    )
    fingerprints = resolve_study(study, tmp_path).parts.fingerprints
    with pytest.raises(UserError, match=message):
        make_exam(study, fingerprints, tmp_path, load_tokenizer(tiny_model_directory), 1)
