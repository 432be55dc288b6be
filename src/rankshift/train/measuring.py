"""Measure some arms of a group as they are: held-out losses, and divergence from the base.

Arms go through the model in the passes of training, whichever of them are asked about, so that an
arm's numbers do not depend on that; a pass with none of them is left out.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from rankshift.data.batches import lay_rows
from rankshift.data.rendering import Rendered
from rankshift.model.divergence import Predictions, predict, sum_divergences
from rankshift.model.team import Team
from rankshift.records import HeldOutRecord
from rankshift.train.roster import Group, HeldOut
from rankshift.train.step import divide_passes, reading, sum_losses
from rankshift.train.trainee import Trainee
from rankshift.watch_records import DivergenceRecord

Measured = dict[int, float]
"""Arm, by its place in the group, to a number."""


def measure_held_out(
    group: Group, trainee: Trainee, step: int, arms: Collection[int]
) -> dict[int, list[HeldOutRecord]]:
    """Measure some arms on every held-out set, a list of records for each arm."""
    found: dict[int, list[HeldOutRecord]] = {index: [] for index in arms}
    for held_out in group.held_out:
        tokens = count_supervised(held_out)
        for index, loss in measure_loss(group, trainee, held_out, arms).items():
            found[index].append(
                HeldOutRecord(step, held_out.name, loss, tokens, len(held_out.rows))
            )
    return found


@torch.no_grad()
def measure_loss(
    group: Group, trainee: Trainee, held_out: HeldOut, arms: Collection[int]
) -> Measured:
    """Give some arms' loss on one held-out set, nats per supervised token."""
    trainee.model.eval()
    passes, divided = _choose_passes(group, arms), _divide_rows(group, held_out, trainee.team)
    sums = sum_passes(trainee, divided, passes, len(group.arms), group.pad_token)
    tokens = count_supervised(held_out)
    return {index: sums[index].item() / tokens for index in arms}


@torch.no_grad()
def sum_passes(
    trainee: Trainee,
    divided: Iterable[Sequence[Rendered]],
    passes: Sequence[range],
    num_arms: int,
    pad_token: int,
) -> torch.Tensor:
    """Sum the losses of arms on rows that all of them read, nats `[arm]`: 0 for those in no pass.

    Args:
        trainee: As the arms are.
        divided: The rows of each pass, as far as this process reads them.
        passes: Which arms go through the model together.
        num_arms: How many arms there are.
        pad_token: Fills rows up.
    """
    sums = torch.zeros(num_arms, dtype=torch.float64)
    with reading(trainee):
        for rows in divided:
            for chosen in passes:
                trainee.select(chosen)
                batch = lay_rows([rows] * len(chosen), pad_token, trainee.traits.packs)
                sums[chosen.start : chosen.stop] += sum_losses(trainee, batch).cpu()
    return trainee.team.add(sums)


def record_divergences(
    group: Group, trainee: Trainee, base: list[Predictions], step: int, arms: Collection[int]
) -> dict[int, DivergenceRecord]:
    """Measure some arms' divergence from the base, a record for each."""
    unrelated = group.unrelated
    assert unrelated is not None
    tokens, rows = count_supervised(unrelated), len(unrelated.rows)
    return {
        index: DivergenceRecord(step, unrelated.name, kl, tokens, rows)
        for index, kl in measure_divergence(group, trainee, base, arms).items()
    }


@torch.no_grad()
def measure_divergence(
    group: Group, trainee: Trainee, base: list[Predictions], arms: Collection[int]
) -> Measured:
    """Give some arms' divergence from the base on the unrelated rows, nats per supervised token.

    Args:
        group: The arms, and the rows.
        trainee: As the arms are.
        base: From `read_base`.
        arms: Which.
    """
    assert group.unrelated is not None
    trainee.model.eval()
    sums = torch.zeros(len(group.arms), dtype=torch.float64)
    divided = _divide_rows(group, group.unrelated, trainee.team)
    with reading(trainee):
        for rows, reference in zip(divided, base, strict=True):
            for chosen in _choose_passes(group, arms):
                trainee.select(chosen)
                batch = lay_rows([rows] * len(chosen), group.pad_token, trainee.traits.packs)
                own = predict(trainee.model, batch, plain_head=trainee.traits.plain_head)
                sums[chosen.start : chosen.stop] += sum_divergences(own, reference, batch.counts)
    sums, tokens = trainee.team.add(sums), count_supervised(group.unrelated)
    return {index: sums[index].item() / tokens for index in arms}


def read_base(group: Group, trainee: Trainee, *, is_replaced: bool = False) -> list[Predictions]:
    """Predict the unrelated rows by the base, once for all arms; nothing where there are none.

    In a team each process predicts those that it reads.

    A model that is itself trained must not have been trained yet, nor be resumed.

    Args:
        group: The arms, and the rows.
        trainee: Over the base.
        is_replaced: Whether other weights will be read into the model itself.
    """
    if group.unrelated is None:
        return []
    trainee.model.eval()
    will_change = is_replaced or any(
        parameter.requires_grad for parameter in trainee.model.parameters()
    )
    head, found = None, []
    with reading(trainee), trainee.base_alone():
        for rows in _divide_rows(group, group.unrelated, trainee.team):
            batch = lay_rows([rows], group.pad_token, trainee.traits.packs)
            read = predict(trainee.model, batch, plain_head=trainee.traits.plain_head)
            if head is None and read.head is not None:
                head = read.head.clone() if will_change else read.head
            found.append(replace(read, head=head))
    return found


def count_supervised(held_out: HeldOut) -> int:
    """Count the tokens that carry loss."""
    return sum(sum(row.loss_mask) for row in held_out.rows)


def _divide_rows(group: Group, held_out: HeldOut, team: Team) -> Iterator[list[Rendered]]:
    """Yield the rows that this process reads in each pass."""
    size = group.micro_rows
    for start in range(0, len(held_out.rows), size):
        yield team.share(held_out.rows[start : start + size])


def _choose_passes(group: Group, arms: Collection[int]) -> list[range]:
    passes = divide_passes(len(group.arms), group.arms_per_pass)
    return [chosen for chosen in passes if any(index in arms for index in chosen)]
