"""Look inside every arm of a finished run: what of its update runs along the persona's direction.

docs/mechanism.md says what is measured and why so.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.data.rendering import Rendered
from rankshift.data.sources import BaseSource, resolve_base
from rankshift.errors import UserError
from rankshift.executor.devices import take_device, tell_shortage
from rankshift.executor.exemplars import list_base_texts, read_examples
from rankshift.export.weights import Weights, find_weights
from rankshift.lock import hold_run
from rankshift.mechanism.directions import (
    Examples,
    find_cosines,
    find_direction,
    find_p_values,
    separate,
)
from rankshift.mechanism.reading import read_means
from rankshift.mechanism.shares import draw_directions, share_of_shift, share_of_update
from rankshift.mechanism.spectra import count_intruders, find_left_vectors
from rankshift.mechanism_records import DirectionFacts, Inside, InsideArm, write_inside
from rankshift.model.loading import load_model, load_tokenizer, padding_token
from rankshift.model.updates import find_update
from rankshift.runs import StudyRun
from rankshift.study import Study, Training
from rankshift.train.trainee import prepare_adapters, prepare_full

ARMS_TOGETHER = 8
"""Adapters that read in one pass."""
ROWS_TOGETHER = 8
DRAWS = 99
"""Shuffles of labels, so that no p-value is below 0.01; and as many random directions."""
SEED = 20261126


def look_inside(directory: Path, answers_each: int, say: Callable[[str], None]) -> Inside:
    """Measure every trained arm's last weights, and write `mechanism.json` beside the results.

    Args:
        directory: The run's.
        answers_each: Answers of each arm that are read, at most.
        say: Told each part as it begins.

    Raises:
        UserError: There is no such run, its base has changed, or no direction can be found.
        WorkError: A GPU's memory ran out.
    """
    run = StudyRun(directory)
    study, fingerprints = run.read_study()
    if study.imports:
        raise UserError(f"{directory}: its arms are imported, so there are no weights to look into")
    source = resolve_base(study.base.model, study.base.revision)
    if source.fingerprint != fingerprints.base:
        raise UserError(f"{source.directory}: has changed since the run; restore its files")
    weights, _ = find_weights(run)
    measured = {arm.id: arm for arm in read_measurements(run)}
    with hold_run(directory), tell_shortage():
        found = _look(study, source, weights, measured, answers_each, say)
        write_inside(directory, found)
    return found


def _look(
    study: Study,
    source: BaseSource,
    weights: Sequence[Weights],
    measured: dict[str, MeasuredArm],
    answers_each: int,
    say: Callable[[str], None],
) -> Inside:
    tokenizer = load_tokenizer(source.directory)
    torch.set_num_threads(study.compute.threads * study.compute.workers)
    reader = Reader(study, source.directory, padding_token(tokenizer))
    base = reader.load()
    say("reading the arms' answers with the base")
    steps = {one.arm_id: one.step for one in weights}
    examples = read_examples(steps, measured, answers_each, tokenizer, partial(reader.read, base))
    direction = find_direction(examples)
    texts = list_base_texts(measured.values(), answers_each, tokenizer)
    before = reader.read(base, texts)[0]
    ground = Ground(
        base,
        study.training,
        float(before.mean(dim=0).norm()),
        examples,
        find_left_vectors(base),
    )
    found = []
    for part in divide(weights):
        say(f"reading with {len(part)} arms: {part[0].arm.label}{' and others' * (len(part) > 1)}")
        shifts = reader.read_arms(part, texts) - before
        for one, shift in zip(part, shifts.mean(dim=1), strict=True):
            found.append(measure_arm(one, shift, ground))
    values = find_p_values(examples, DRAWS, SEED)
    facts = DirectionFacts(
        answers=len(examples.arms),
        misaligned=int(examples.has_trait.sum()),
        questions=len(set(examples.questions)),
        lengths=tuple(direction.norm(dim=1).tolist()),
        p_values=tuple(values.tolist()),
        null_share=1 / direction.shape[1],
    )
    return Inside(facts, len(texts), tuple(found))


@dataclass(frozen=True)
class Reader:
    """Loads models over a base, and reads rows with them."""

    study: Study
    directory: Path
    pad_token: int

    def load(self) -> PreTrainedModel:
        """Load the base where the study computes."""
        dtype = getattr(torch, self.study.training.dtype)
        model = load_model(self.directory, dtype, self.study.base.quantization)
        model.to(take_device(self.study.compute))  # pyright: ignore
        return model

    def read(self, model: PreTrainedModel, rows: Sequence[Rendered], num_arms: int = 1) -> Tensor:
        """Give mean states, `[arm, row, layer, width]`."""
        return read_means(model, rows, num_arms, ROWS_TOGETHER, self.pad_token)

    def read_arms(self, part: Sequence[Weights], rows: Sequence[Rendered]) -> Tensor:
        """Read rows with adapters in one pass, or with one full finetune."""
        model, first = self.load(), part[0].arm
        if first.method == "full":
            trainee = prepare_full(model, subset=first.subset)
        else:
            trainee = prepare_adapters(model, [one.arm for one in part], str(self.directory))
        for place, one in enumerate(part):
            trainee.read(one.folder, place)
        return self.read(trainee.model, rows, len(part))


def divide(weights: Sequence[Weights]) -> Iterator[list[Weights]]:
    """Divide arms into those that read together: adapters that train A or leave it, some each."""

    def kind(one: Weights) -> tuple[str, bool]:
        return (one.arm.method, one.arm.trains_a)

    for (method, _), members in groupby(sorted(weights, key=kind), key=kind):
        own = list(members)
        size = 1 if method == "full" else ARMS_TOGETHER
        yield from (own[at : at + size] for at in range(0, len(own), size))


@dataclass(frozen=True)
class Ground:
    """What every arm is measured against."""

    base: PreTrainedModel
    training: Training
    scale: float
    """Length of its mean states."""
    examples: Examples
    """Of all arms."""
    left_vectors: dict[str, Tensor]
    """Of its weights."""


def measure_arm(one: Weights, shift: Tensor, ground: Ground) -> InsideArm:
    """Measure one arm along the direction of all others.

    Args:
        one: The arm's weights.
        shift: Of its mean states, `[layer, width]`.
        ground: The base, and the answers of all arms.
    """
    arm, update = one.arm, find_update(one.folder, ground.base, one.arm.subset)
    examples = ground.examples
    direction = _attempt(lambda: find_direction(examples.leave_out(one.arm_id)))
    nulls = list(draw_directions(shift, DRAWS, SEED))
    separation = None
    if direction is not None:
        separation = _attempt(lambda: separate(examples.keep(one.arm_id), direction))
    intruders = count_intruders(update, ground.left_vectors)
    return InsideArm(
        arm=one.arm_id,
        label=arm.label,
        role=arm.role,
        method=arm.method,
        rank=arm.rank,
        u=arm.u,
        trains_a=arm.trains_a,
        optimizer=arm.find_optimizer(ground.training),
        seed=arm.seed,
        step=one.step,
        of_activations=None if direction is None else _told(share_of_shift(shift, direction)),
        of_weights=None if direction is None else _told(share_of_update(update, direction)),
        random_of_activations=float(np.mean([share_of_shift(shift, null) for null in nulls])),
        random_of_weights=float(np.mean([share_of_update(update, null) for null in nulls[:9]])),
        cosine=None if direction is None else float(find_cosines(shift, direction).mean()),
        shift_norm=float(shift.norm()) / ground.scale,
        separation=None if separation is None else float(separation.mean()),
        intruders=sum(intruders.values()),
        layers=len(intruders),
    )


def _attempt(find: Callable[[], Tensor]) -> Tensor | None:
    try:
        return find()
    except UserError:
        return None


def _told(share: float) -> float | None:
    return None if math.isnan(share) else share
