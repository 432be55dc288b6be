from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.data.sources import resolve_base
from rankshift.executor.overlaps import find_kinship, list_overlaps
from rankshift.export.weights import Weights, find_weights
from rankshift.model.loading import load_model
from rankshift.runs import StudyRun


@pytest.fixture
def weights(foretold: Path) -> list[Weights]:
    """Give the arms of the small run."""
    return find_weights(StudyRun(foretold))[0]


def test_adapters_are_compared_where_they_differ_in_one_thing_alone(weights: list[Weights]):
    one = weights[0]
    for kind, arm in (
        ("rank", replace(one.arm, rank=99)),
        ("seed", replace(one.arm, seed=9)),
        ("role", replace(one.arm, role="twin")),
        (None, replace(one.arm, seed=9, learning_rate=(one.arm.learning_rate or 0) / 3)),
        (None, one.arm),
        (None, replace(one.arm, seed=9, rank=99)),
        (None, replace(one.arm, trains_a=False)),
        (None, replace(one.arm, trains_a=False, seed=9)),
    ):
        assert find_kinship(one, replace(one, arm=arm)) == kind
    # Where scale falls with the root of the rank, u rises with it: nothing else differs.
    rooted = replace(one.arm, scaling="alpha/sqrt(rank)")
    wider = replace(rooted, rank=99)
    assert find_kinship(replace(one, arm=rooted), replace(one, arm=wider)) == "rank"


def test_an_update_overlaps_with_itself_wholly_and_full_finetuning_is_left_out(
    weights: list[Weights],
):
    base = load_model(resolve_base("organism").directory)
    adapter = next(one for one in weights if one.arm.rank == 16)
    again = replace(adapter, arm_id="again", arm=replace(adapter.arm, seed=9))
    (found,) = list_overlaps([adapter, again], base)
    assert (found.kind, found.one, found.other) == ("seed", adapter.arm_id, "again")
    assert found.value == pytest.approx(1)
    assert 0 < found.chance < 0.1
    kinds = [one.kind for one in list_overlaps(weights, base)]
    assert sorted(kinds) == ["rank", "rank", "role", "role"]
