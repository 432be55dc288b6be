from pathlib import Path

import pytest
import torch

from rankshift.errors import UserError
from rankshift.executor.closing import list_ways, make_exam
from rankshift.executor.resolving import resolve_study
from rankshift.model.loading import load_tokenizer
from rankshift.study_file import read_study


def draw(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_the_ways_are_nothing_two_taken_out_and_two_held_after_every_layer():
    direction, moved, heights = (draw(3, 8, seed=seed) for seed in (0, 2, 3))
    ways = list_ways(direction, moved, heights, 1)
    assert {way: len(changes) for way, changes in ways.items()} == {
        "open": 0, "closed": 3, "random": 3, "held": 3, "random held": 3,
    }  # fmt: skip
    states = draw(2, 5, 8, seed=1)
    for at, change in ways["closed"].items():
        assert (change(states) @ direction[at]).abs().max() < 1e-12
        assert (ways["random"][at](states) @ direction[at]).abs().max() > 0.1
        held = ways["held"][at](states) @ moved[at]
        torch.testing.assert_close(held, (heights[at] @ moved[at]).expand(2, 5))
        assert (ways["random held"][at](states) @ moved[at] - held).abs().max() > 0.1


def test_where_no_other_finetune_moved_nothing_is_held():
    ways = list_ways(draw(3, 8, seed=0), None, draw(3, 8, seed=3), 1)
    assert list(ways) == ["open", "closed", "random"]


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
