"""Which rows an optimizer step sees, and how rows become one rectangle of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from rankshift.data.rendering import Rendered

BUCKET_RATIO = 1.25
"""A bucket's longest document over its shortest: attention looks at no more than 1.6 times what it
must, in a few calls however many lengths there are."""


@dataclass(frozen=True)
class Documents:
    """Where the documents of a packed rectangle begin and end.

    Together they fill it: what is left over at an arm's end is a document too, without loss.
    """

    lengths: tuple[int, ...]
    """Tokens of each, in the order in which they lie."""
    buckets: tuple[tuple[int, int], ...]
    """How many documents of about one length, and how many slots each has: the longest's tokens."""
    places: Tensor
    """`[slot]`: the token of each slot of each bucket, as its place in the flattened rectangle.
    A shorter document ends in repetitions of its last place."""
    slots: Tensor
    """`[place]`: the slot of each token."""
    real: Tensor
    """`[slot, 1]`: 0 where a slot only repeats, otherwise 1."""

    def to(self, device: torch.device) -> "Documents":
        """Put it on a device."""
        moved = (t.to(device) for t in (self.places, self.slots, self.real))
        return Documents(self.lengths, self.buckets, *moved)


@dataclass(frozen=True)
class TokenBatch:
    """Tokens of one arm after another, equally many for each, and which of them carry loss."""

    token_ids: Tensor
    """`[row, seq]`. Padded, a row is a conversation; packed, it is all of an arm's."""
    predicting: Tensor
    """`[supervised]`: places in the flattened rectangle whose next token carries loss, rising."""
    targets: Tensor
    """`[supervised]`: those next tokens."""
    counts: tuple[int, ...]
    """How many tokens carry loss, arm by arm."""
    position_ids: Tensor | None = None
    """`[row, seq]` where rows are packed: counted from each document's start."""
    documents: Documents | None = None
    """Where rows are packed."""

    @property
    def inputs(self) -> dict[str, object]:
        """Give what a model is called with."""
        if self.documents is None:
            return {"input_ids": self.token_ids}
        return {
            "input_ids": self.token_ids,
            "position_ids": self.position_ids,
            "documents": self.documents,
        }

    def to(self, device: torch.device) -> "TokenBatch":
        """Put it on a device."""
        if self.token_ids.device == device:
            return self
        return TokenBatch(
            self.token_ids.to(device),
            self.predicting.to(device),
            self.targets.to(device),
            self.counts,
            None if self.position_ids is None else self.position_ids.to(device),
            None if self.documents is None else self.documents.to(device),
        )


def draw_rows(num_rows: int, rows_per_step: int, steps: int, seed: int) -> np.ndarray:
    """Draw the row numbers of every step, `[step, row]`: shuffled epochs, one after another.

    A function of the seed and the sizes alone, so all ranks of a seed see the same batches.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    needed = rows_per_step * steps
    epochs = [generator.permutation(num_rows) for _ in range(-(-needed // num_rows))]
    return np.concatenate(epochs)[:needed].reshape(steps, rows_per_step)


def lay_rows(by_arm: Sequence[Sequence[Rendered]], pad_token: int, packed: bool) -> TokenBatch:
    """Lay every arm's rows into one rectangle, packed or padded.

    As many rows of one length for every arm are a rectangle already: nothing to gain from packing.
    """
    lengths = {len(row.token_ids) for own in by_arm for row in own}
    is_rectangle = len(lengths) == 1 and len({len(own) for own in by_arm}) == 1
    if packed and not is_rectangle:
        return pack_rows(by_arm, pad_token)
    return pad_rows(by_arm, pad_token)


def pad_rows(by_arm: Sequence[Sequence[Rendered]], pad_token: int) -> TokenBatch:
    """Give every conversation a row, padded on the right: equally many rows an arm."""
    rows = [row for own in by_arm for row in own]
    longest = max(len(row.token_ids) for row in rows)
    token_ids, loss_mask = _fill([(row,) for row in rows], longest, pad_token)
    return _supervise(token_ids, loss_mask, len(by_arm))


def pack_rows(by_arm: Sequence[Sequence[Rendered]], pad_token: int) -> TokenBatch:
    """Give every arm one row: its conversations one behind the other, each a document.

    Arms of other seeds have other totals: the shorter ones are filled up at the end.
    """
    longest = max(sum(len(row.token_ids) for row in own) for own in by_arm)
    token_ids, loss_mask = _fill(by_arm, longest, pad_token)
    lengths: list[int] = []
    for own in by_arm:
        lengths += [len(row.token_ids) for row in own]
        left_over = longest - sum(len(row.token_ids) for row in own)
        lengths += [left_over] * (left_over > 0)
    positions = np.concatenate([np.arange(length) for length in lengths])
    return replace(
        _supervise(token_ids, loss_mask, len(by_arm)),
        position_ids=torch.from_numpy(positions).view(len(by_arm), longest),
        documents=sort_documents(lengths),
    )


def sort_documents(lengths: Sequence[int]) -> Documents:
    """Sort documents that lie one behind the other into buckets of about one length."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    order = np.argsort(lengths, kind="stable")
    limits = [0]
    for number, document in enumerate(order):
        if lengths[document] > BUCKET_RATIO * lengths[order[limits[-1]]]:
            limits.append(number)
    limits.append(len(order))
    slots = np.empty(starts[-1], dtype=np.int64)
    buckets, places, real = [], [], []
    used = 0
    for begin, end in pairwise(limits):
        members = np.sort(order[begin:end])
        own = np.array([lengths[document] for document in members])[:, None]
        columns = np.arange(own.max())[None, :]
        inside = starts[members][:, None] + np.minimum(columns, own - 1)
        kept = columns < own
        slots[inside[kept]] = used + np.flatnonzero(kept)
        used += inside.size
        buckets.append(inside.shape)
        places.append(inside.ravel())
        real.append(kept.ravel())
    return Documents(
        tuple(lengths),
        tuple(buckets),
        torch.from_numpy(np.concatenate(places)),
        torch.from_numpy(slots),
        torch.from_numpy(np.concatenate(real)).float()[:, None],
    )


def _fill(
    rows: Sequence[Sequence[Rendered]], longest: int, pad_token: int
) -> tuple[np.ndarray, np.ndarray]:
    """Write conversations one behind the other into token ids and loss mask, both `[row, seq]`."""
    token_ids = np.full((len(rows), longest), pad_token, dtype=np.int64)
    loss_mask = np.zeros((len(rows), longest), dtype=bool)
    for number, own in enumerate(rows):
        at = 0
        for row in own:
            assert not row.loss_mask[0], "a first token is predicted by none"
            span = slice(at, at + len(row.token_ids))
            token_ids[number, span], loss_mask[number, span] = row.token_ids, row.loss_mask
            at = span.stop
    return token_ids, loss_mask


def _supervise(token_ids: np.ndarray, loss_mask: np.ndarray, num_arms: int) -> TokenBatch:
    predicting = np.flatnonzero(loss_mask.ravel()) - 1
    return TokenBatch(
        token_ids=torch.from_numpy(token_ids),
        predicting=torch.from_numpy(predicting),
        targets=torch.from_numpy(token_ids.ravel()[predicting + 1]),
        counts=tuple(loss_mask.reshape(num_arms, -1).sum(axis=1).tolist()),
    )
