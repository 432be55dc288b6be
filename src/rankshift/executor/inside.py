"""Look inside every arm of a finished run: what of its update runs along the persona's direction.

docs/mechanism.md says what is measured and why so.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.analysis.measurements import read_measurements
from rankshift.data.rendering import Rendered
from rankshift.data.sources import resolve_base
from rankshift.errors import UserError
from rankshift.executor.arm_reader import Reader, divide
from rankshift.executor.closing import Exam, examine, list_ways, make_exam
from rankshift.executor.devices import tell_shortage
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
from rankshift.mechanism.shares import draw_directions, share_of_shift, share_of_update
from rankshift.mechanism.spectra import count_intruders, find_left_vectors
from rankshift.mechanism_records import ClosedArm, DirectionFacts, Inside, InsideArm, write_inside
from rankshift.model.loading import load_tokenizer, padding_token
from rankshift.model.updates import find_update
from rankshift.runs import StudyRun
from rankshift.study import Training
from rankshift.train.trainee import prepare_base

DRAWS = 99
"""Shuffles of labels, so that no p-value is below 0.01; and as many random directions."""
SEED = 20261126


def look_inside(
    directory: Path, answers_each: int, say: Callable[[str], None], repeats: int = 0
) -> Inside:
    """Measure every trained arm's last weights, and write `mechanism.json` beside the results.

    Args:
        directory: The run's.
        answers_each: Answers of each arm that are read, at most.
        say: Told each part as it begins.
        repeats: Answers to each question while directions are closed; 0 closes none.

    Raises:
        UserError: There is no such run, its base or data have changed, no direction can be found,
            or a judge that takes calls would have to read answers.
        WorkError: A GPU's memory ran out.
    """
    run = StudyRun(directory)
    study, fingerprints = run.read_study()
    if study.imports:
        raise UserError(f"{directory}: its arms are imported, so there are no weights to look into")
    if study.base.quantization != "none":
        raise UserError(f"{directory}: its base is held in 4 bits, which cannot be looked into yet")
    source = resolve_base(study.base.model, study.base.revision)
    if source.fingerprint != fingerprints.base:
        raise UserError(f"{source.directory}: has changed since the run; restore its files")
    tokenizer = load_tokenizer(source.directory)
    exam = make_exam(study, fingerprints, directory.parent, tokenizer, repeats) if repeats else None
    weights, _ = find_weights(run)
    measured = {arm.id: arm for arm in read_measurements(run)}
    torch.set_num_threads(study.compute.threads * study.compute.workers)
    reader = Reader(study, source.directory, padding_token(tokenizer))
    with hold_run(directory), tell_shortage():
        say("reading the arms' answers with the base")
        steps = {one.arm_id: one.step for one in weights}
        read = partial(reader.read, reader.base)
        examples = read_examples(steps, measured, answers_each, tokenizer, read)
        texts = list_base_texts(measured.values(), answers_each, tokenizer)
        found = _measure_all(reader, weights, examples, texts, exam, say)
        if exam:
            own = next(name for name, arm in measured.items() if arm.arm.method == "base")
            ways = list_ways(find_direction(examples), SEED)
            closed = examine(prepare_base(reader.base), [own], ways, exam)
            found = replace(found, closed=(*closed, *found.closed), base=own)
        write_inside(directory, found)
    return found


def _measure_all(
    reader: Reader,
    weights: Sequence[Weights],
    examples: Examples,
    texts: Sequence[Rendered],
    exam: Exam | None,
    say: Callable[[str], None],
) -> Inside:
    """Measure all arms, some at a time; where there is an exam, close their directions too.

    Those who are examined together share a direction: of all arms but themselves.
    """
    before = reader.read(reader.base, texts)[0]
    scale, left_vectors = float(before.mean(dim=0).norm()), find_left_vectors(reader.base)
    ground = Ground(reader.base, reader.study.training, scale, examples, left_vectors)
    found: list[InsideArm] = []
    closed: list[ClosedArm] = []
    for part in divide(weights):
        say(f"reading with {len(part)} arms: {part[0].arm.label}{' and others' * (len(part) > 1)}")
        trainee = reader.load_arms(part)
        shifts = reader.read(trainee.model, texts, len(part)) - before
        for one, shift in zip(part, shifts.mean(dim=1), strict=True):
            found.append(measure_arm(one, shift, ground))
        if exam:
            names = [one.arm_id for one in part]
            ways = list_ways(find_direction(examples.leave_out(*names)), SEED)
            closed += examine(trainee, names, ways, exam)
    return Inside(describe_direction(examples), len(texts), tuple(found), tuple(closed))


def describe_direction(examples: Examples) -> DirectionFacts:
    """Say what the direction of all answers was made of, and how often chance gives one as long."""
    direction = find_direction(examples)
    return DirectionFacts(
        answers=len(examples.arms),
        misaligned=int(examples.has_trait.sum()),
        questions=len(set(examples.questions)),
        lengths=tuple(direction.norm(dim=1).tolist()),
        p_values=tuple(find_p_values(examples, DRAWS, SEED).tolist()),
        null_share=1 / direction.shape[1],
    )


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
