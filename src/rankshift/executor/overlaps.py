"""How much of what adapters write to they have in common: across ranks, seeds, and with twins."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from torch import Tensor
from transformers import PreTrainedModel

from rankshift.export.weights import Weights
from rankshift.mechanism.spectra import compare_subspaces, find_main_directions
from rankshift.mechanism_records import Kinship, Overlap
from rankshift.model.updates import find_update

ASPECTS: tuple[Kinship, ...] = ("rank", "seed", "role")


def list_overlaps(weights: Sequence[Weights], base: PreTrainedModel) -> Iterator[Overlap]:
    """Compare every two adapters that differ in one of rank, seed and role alone."""
    adapters = [one for one in weights if one.arm.method == "lora"]
    main = {
        one.arm_id: find_main_directions(find_update(one.folder, base, one.arm.subset))
        for one in adapters
    }
    for one, other in combinations(adapters, 2):
        kind = find_kinship(one, other)
        if kind is not None:
            yield _compare(kind, one.arm_id, other.arm_id, main)


def find_kinship(one: Weights, other: Weights) -> Kinship | None:
    """Say in what alone two adapters differ; None where in more, or in something else.

    Of two ranks either the step size u is the same or all that it is made of but the rank.
    """
    mine, theirs = one.arm, other.arm
    rests = [(arm.trains_a, arm.subset) for arm in (mine, theirs)]
    recipes = [(arm.alpha, arm.scaling, arm.learning_rate) for arm in (mine, theirs)]
    if rests[0] != rests[1] or (mine.u != theirs.u and recipes[0] != recipes[1]):
        return None
    differing: list[Kinship] = [
        key for key in ASPECTS if getattr(mine, key) != getattr(theirs, key)
    ]
    return differing[0] if len(differing) == 1 else None


def _compare(
    kind: Kinship, one: str, other: str, main: Mapping[str, Mapping[str, Tensor]]
) -> Overlap:
    pairs = [(vectors, main[other][layer]) for layer, vectors in main[one].items()]
    pairs = [(a, b) for a, b in pairs if a.shape[1] and b.shape[1]]
    number = max(len(pairs), 1)
    value = sum(compare_subspaces(a, b) for a, b in pairs) / number
    chance = sum(max(a.shape[1], b.shape[1]) / a.shape[0] for a, b in pairs) / number
    return Overlap(kind, one, other, min(value, 1.0), min(chance, 1.0))
