"""Look inside every arm of a finished run: what of its update runs along the persona's direction.

docs/mechanism.md says what is measured and why so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor

from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.data.rendering import Rendered
from rankshift.errors import UserError
from rankshift.executor.arm_reader import Reader, divide, find_same_base, open_reader
from rankshift.executor.closing import make_exam
from rankshift.executor.devices import tell_shortage
from rankshift.executor.examiner import Examiner
from rankshift.executor.exemplars import list_base_texts, read_examples
from rankshift.executor.ground import SEED, Ground, measure_arm, measure_passage
from rankshift.executor.overlaps import list_overlaps
from rankshift.executor.passages import Passed, list_losses, list_passages
from rankshift.export.weights import Weights, find_weights
from rankshift.lock import hold_run
from rankshift.mechanism.directions import (
    Examples,
    find_direction,
    find_p_values,
)
from rankshift.mechanism.spectra import find_left_vectors
from rankshift.mechanism_records import (
    DirectionFacts,
    Inside,
    InsideArm,
    Passage,
    write_inside,
)
from rankshift.report.page import sum_up
from rankshift.runs import Fingerprints, StudyRun
from rankshift.study import Study

DRAWS = 99
"""Shuffles of labels, so that no p-value is below 0.01."""


@dataclass(frozen=True)
class AskedAgain:
    """Answers to each question that arms give again; 0 asks nothing."""

    closed: int = 0
    """While directions are closed, and the base while directions are added."""
    scaled: int = 0
    """At multiples of an adapter's update."""


NOTHING = AskedAgain()


def look_inside(
    directory: Path, answers_each: int, say: Callable[[str], None], asked: AskedAgain = NOTHING
) -> Inside:
    """Measure every undefended arm's last weights, and write `mechanism.json` and the page again.

    Args:
        directory: The run's.
        answers_each: Answers of each arm that are read, at most.
        say: Told each part as it begins.
        asked: How often arms are asked again with their states or updates changed.

    Raises:
        UserError: There is no such run, its base or data have changed, no direction can be found,
            or a judge that takes calls would have to read answers.
        WorkError: A GPU's memory ran out.
    """
    run = StudyRun(directory)
    study, fingerprints, base = check_run(run)
    reader, tokenizer = open_reader(study, base)
    asks = asked.closed or asked.scaled
    exam = make_exam(study, fingerprints, directory.parent, tokenizer, asks) if asks else None
    weights = [one for one in find_weights(run)[0] if one.arm.is_plain]
    measured = {arm.id: arm for arm in read_measurements(run)}
    with hold_run(directory), tell_shortage():
        say("reading the arms' answers with the base")
        steps = {one.arm_id: one.step for one in weights}
        read = partial(reader.read, reader.base)
        examples = read_examples(steps, measured, answers_each, tokenizer, read)
        texts = list_base_texts(measured.values(), answers_each, tokenizer)
        before = reader.read(reader.base, texts)[0]
        scale, left_vectors = float(before.mean(dim=0).norm()), find_left_vectors(reader.base)
        ground = Ground(reader.base, study.training, scale, examples, left_vectors)
        looker = Looker(reader, texts, before, ground, say)
        passages = list_passages(run, measured, weights)
        found = Inside(
            direction=describe_direction(examples),
            texts=len(texts),
            arms=tuple(looker.measure(weights)),
            passages=tuple(looker.walk(passages, measured)),
        )
        found = replace(found, overlaps=tuple(list_overlaps(weights, reader.base)))
        if exam and asked.closed:
            own = next(name for name, arm in measured.items() if arm.arm.method == "base")
            say(f"asking with directions closed: the base and {len(weights)} arms")
            examiner = Examiner(reader, exam, weights, examples, texts)
            closed, steered = tuple(examiner.examine_all(own)), tuple(examiner.steer(own))
            found = replace(found, closed=closed, base=own, steered=steered)
        if exam and asked.scaled:
            say("asking adapters at multiples of their update")
            exam = replace(exam, repeats=asked.scaled)
            examiner = Examiner(reader, exam, weights, examples, texts)
            found = replace(found, scaled=tuple(examiner.scale()))
        write_inside(directory, found)
        sum_up(run, list(measured.values()))
    return found


def check_run(run: StudyRun) -> tuple[Study, Fingerprints, Path]:
    """Give a run's study, its fingerprints and where its base lies, if it can be looked into.

    Raises:
        UserError: It trains nothing, its base is held in 4 bits, or has changed.
    """
    study, fingerprints = run.read_study()
    where = run.directory
    if study.imports:
        raise UserError(f"{where}: its arms are imported, so there are no weights to look into")
    if study.base.quantization != "none":
        raise UserError(f"{where}: its base is held in 4 bits, which cannot be looked into yet")
    return study, fingerprints, find_same_base(study.base, fingerprints.base).directory


@dataclass(frozen=True)
class Looker:
    """Reads the base's own answers with arms, and measures how their states have shifted."""

    reader: Reader
    texts: Sequence[Rendered]
    before: Tensor
    """The base's mean states of them, `[text, layer, width]`."""
    ground: Ground
    say: Callable[[str], None]

    def look(self, part: Sequence[Weights]) -> Tensor:
        """Load some arms; give the shift of each, `[arm, layer, width]`."""
        more = " and others" * (len(part) > 1)
        self.say(f"reading with {len(part)} arms: {part[0].arm.label}{more}")
        model = self.reader.load_arms(part).model
        return (self.reader.read(model, self.texts, len(part)) - self.before).mean(dim=1)

    def measure(self, weights: Sequence[Weights]) -> Iterator[InsideArm]:
        """Measure arms at their end."""
        for part in divide(weights):
            for one, shift in zip(part, self.look(part), strict=True):
                yield measure_arm(one, shift, self.ground)

    def walk(
        self, passages: Mapping[tuple[str, int], Passed], measured: Mapping[str, MeasuredArm]
    ) -> Iterator[Passage]:
        """Measure arms where they were on their way."""
        for part in divide([one.weights for one in passages.values()]):
            for one, shift in zip(part, self.look(part), strict=True):
                marks = passages[one.arm_id, one.step].marks
                loss = list_losses(measured[one.arm_id]).get(one.step)
                yield measure_passage(one, marks, loss, shift, self.ground)


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
