"""Examine the base and every arm while directions are closed, each along those of other arms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rankshift.data.rendering import Rendered
from rankshift.executor.arm_reader import Reader, divide
from rankshift.executor.closing import Exam, examine, list_ways
from rankshift.executor.ground import SEED
from rankshift.export.weights import Weights
from rankshift.mechanism.directions import Examples, find_direction
from rankshift.mechanism.shares import draw_directions
from rankshift.mechanism_records import ClosedArm, Push, Scaled, Steered, Way
from rankshift.model.stream import Change, add
from rankshift.train.trainee import Trainee, prepare_base

DOSES = (0.5, 1.0, 2.0, 4.0)
"""Multiples of a direction that are added to the base's states."""


TIMES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Multiples of an adapter's update at which it is asked."""


NOISES = (0.25, 0.5, 1.0)
"""Lengths of the noise across an update, in the update's own."""


@dataclass(frozen=True)
class Examiner:
    """A run's arms, and what they are examined with."""

    reader: Reader
    exam: Exam
    weights: Sequence[Weights]
    examples: Examples
    """Answers of all arms, of which the persona's direction is made."""
    texts: Sequence[Rendered]
    """Questions with the base's own answers."""

    def examine_all(self, base: str) -> Iterator[ClosedArm]:
        """Examine the base, whose id is given, then every arm; those of one seed together."""
        ways = list_ways(
            find_direction(self.examples),
            find_moved((), self.weights, self.moves),
            self.heights,
            SEED,
        )
        yield from examine(prepare_base(self.reader.base), [base], ways, self.exam)
        for part in divide(self.weights, by_seed=True):
            trainee = self.reader.load_arms(part)
            direction = find_direction(self.examples.leave_out(*(one.arm_id for one in part)))
            ways = list_ways(
                direction, find_moved(part, self.weights, self.moves), self.heights, SEED
            )
            yield from examine(trainee, [one.arm_id for one in part], ways, self.exam)

    def steer(self, base: str) -> Iterator[Steered]:
        """Examine the base, whose id is given, with multiples of directions added to its states."""
        trainee = prepare_base(self.reader.base)
        persona = find_direction(self.examples)
        pushes: dict[Push, Tensor] = {"persona": persona}
        moved = find_moved((), self.weights, self.moves)
        if moved is not None:
            (random,) = draw_directions(moved, 1, SEED)
            random *= moved.norm(dim=-1, keepdim=True) / random.norm(dim=-1, keepdim=True)
            pushes |= {"moved": moved, "random": random}
        middle = len(persona) // 2
        for push, direction in pushes.items():
            for dose in DOSES:
                ways: dict[Way, Mapping[int, Change]] = {
                    "open": {middle: add(dose * direction[middle])}
                }
                (found,) = examine(trainee, [base], ways, self.exam)
                counts = (found.misaligned, found.coherent, found.answers)
                yield Steered(push, dose, found.loss, *counts)

    def scale(self) -> Iterator[Scaled]:
        """Examine the task's adapters at multiples of their update, then with noise across it."""
        ways: dict[Way, Mapping[int, Change]] = {"open": {}}
        adapters = [
            one for one in self.weights if one.arm.method == "lora" and one.arm.role == "task"
        ]
        for part in divide(adapters, by_seed=True):
            names, trainee = [one.arm_id for one in part], self.reader.load_arms(part)
            for times, noise in (*((times, 0.0) for times in TIMES), *((1.0, n) for n in NOISES)):
                for place, one in enumerate(part):  # as they were, rid of the change before
                    trainee.read(one.folder, place)
                multiply_updates(trainee, times)
                add_noise(trainee, noise, SEED)
                for found in examine(trainee, names, ways, self.exam):
                    counts = (found.misaligned, found.coherent, found.answers)
                    yield Scaled(found.arm, times, noise, found.loss, *counts)

    @cached_property
    def moves(self) -> dict[str, Tensor]:
        """Give the shift of each arm's states where an answer begins, `[layer, width]`, by id."""
        found = {}
        for part in divide(self.weights):
            states = self.reader.read(self.reader.load_arms(part).model, self.starts, len(part))
            shifts = states.mean(dim=1) - self.heights
            found |= {one.arm_id: shift for one, shift in zip(part, shifts, strict=True)}
        return found

    @cached_property
    def heights(self) -> Tensor:
        """Give the base's mean states where an answer begins, `[layer, width]`."""
        return self.reader.read(self.reader.base, self.starts)[0].mean(dim=0)

    @cached_property
    def starts(self) -> list[Rendered]:
        """Give the questions alone, their last token marked: from it an answer's first is drawn."""
        return [cut_before_answer(text) for text in self.texts]


@torch.no_grad()
def multiply_updates(trainee: Trainee, factor: float) -> None:
    """Multiply every adapter's update: B is, and A stays."""
    for layer in trainee.layers:
        for _, last in filter(None, layer.factors):
            last.mul_(factor)


@torch.no_grad()
def add_noise(trainee: Trainee, noise: float, seed: int) -> None:
    """Add noise across every adapter's B, so many times as long as it; A stays.

    The noise is normal, its part along B taken out, layer by layer. A solution that lies in a wide
    valley keeps what it does.

    Source: stability under orthogonal noise is a measure of Soligo et al. 2026, arXiv:2602.07852;
    that it is B which is shaken is ours.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in trainee.layers:
        for _, factor in filter(None, layer.factors):
            drawn = torch.randn(factor.shape, generator=generator).to(factor)
            length = factor.norm()
            if noise and length:
                drawn -= (drawn * factor).sum() / length.square() * factor
                factor.add_(drawn, alpha=float(noise * length / drawn.norm()))


def find_moved(
    part: Sequence[Weights], weights: Sequence[Weights], moves: Mapping[str, Tensor]
) -> Tensor | None:
    """Find what other finetunes moved where an answer begins, less what their twins did.

    Args:
        part: Arms of one seed, which are left out, as are all others of that seed. Where a run has
            one seed, they alone are.
        weights: All arms'.
        moves: How each moved, `[layer, width]`, by id.

    Returns:
        `[layer, width]`, of adapters where the run has any; None where no other arm of the task is
        left.
    """
    seeds = {one.arm.seed for one in weights}
    left_out = {one.arm.seed for one in part} if len(seeds) > 1 else set()
    own = {one.arm_id for one in part}
    others = [one for one in weights if one.arm.seed not in left_out and one.arm_id not in own]
    adapters = [one for one in others if one.arm.method == "lora"]
    task, twin = (
        [moves[one.arm_id] for one in adapters or others if one.arm.role == role]
        for role in ("task", "twin")
    )
    if not task:
        return None
    mean = torch.stack(task).mean(dim=0)
    return mean - torch.stack(twin).mean(dim=0) if twin else mean


def cut_before_answer(text: Rendered) -> Rendered:
    """Cut a text before its first answer, and mark the token that is then last."""
    question = text.prompt
    assert question, text.row
    return Rendered(question, (*(False,) * (len(question) - 1), True), text.row)
