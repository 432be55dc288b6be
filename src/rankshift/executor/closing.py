"""What arms answer, and how well they know the task, while a direction is closed.

Each way is measured with the same questions and random numbers, so that nothing but the change of
the stream differs. A random direction is closed too: what that does is no sign of the persona.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from rankshift.analysis.rates import JudgedAnswer
from rankshift.data.rendering import Rendered
from rankshift.errors import UserError
from rankshift.eval.answering import AskedArm, answer_questions
from rankshift.eval.judges import AskedJudge, find_judge
from rankshift.eval.judging import Judge, judge_answers
from rankshift.eval.suite import Question
from rankshift.executor.resolving import resolve_study
from rankshift.mechanism.shares import draw_directions
from rankshift.mechanism_records import ClosedArm, Way
from rankshift.model.loading import Tokenizer, padding_token
from rankshift.model.stream import Change, ablate, change_stream, clamp
from rankshift.records import AnswerRecord
from rankshift.runs import Fingerprints
from rankshift.study import Study
from rankshift.train.measuring import count_supervised, sum_passes
from rankshift.train.roster import HeldOut
from rankshift.train.trainee import Trainee


@dataclass(frozen=True)
class Exam:
    """What arms are asked and measured on."""

    study: Study
    tokenizer: Tokenizer
    questions: Sequence[Question]
    """Free-form ones, none after a row of data."""
    repeats: int
    """Answers to each."""
    held_out: Sequence[Rendered]
    """Rows of the task."""
    judge: Judge


def make_exam(
    study: Study, fingerprints: Fingerprints, root: Path, tokenizer: Tokenizer, repeats: int
) -> Exam:
    """Collect what a run's arms were asked and measured on.

    Args:
        study: The run's.
        fingerprints: Its.
        root: Where runs are kept.
        tokenizer: The base's.
        repeats: Answers to each question.

    Raises:
        UserError: Its data have changed, are split for every seed, or its judge takes calls.
    """
    judge = find_judge(study.evaluation.judge, study.judging)
    if isinstance(judge, AskedJudge):
        raise UserError(
            f"{judge.name} takes a call for each answer, and answers given while directions are "
            "closed are not kept; leave out --close, or use a judge without calls"
        )
    if study.data.split_each_seed:
        raise UserError("data.split_each_seed gives each seed rows of its own; leave out --close")
    resolved = resolve_study(study, root)
    if resolved.parts.fingerprints.task != fingerprints.task:
        raise UserError(f"{study.data.task}: has changed since the run; restore the file")
    material = resolved.material
    questions = [one for one in material.questions if one.kind == "free_form" and not one.before]
    return Exam(study, tokenizer, questions, repeats, material.sets["task"].held_out, judge)


def list_ways(
    direction: Tensor, moved: Tensor | None, heights: Tensor, seed: int
) -> dict[Way, Mapping[int, Change]]:
    """List what is done to the stream, after every decoder layer, each with its own direction.

    Args:
        direction: The persona's, `[layer, width]`.
        moved: What other finetunes moved where an answer begins; None where there is none.
        heights: The base's mean states there, at whose height along it states are held.
        seed: Of the random directions.
    """
    (random,) = draw_directions(direction, 1, seed)
    ways: dict[Way, Mapping[int, Change]] = {
        "open": {},
        "closed": {at: ablate(one) for at, one in enumerate(direction)},
        "random": {at: ablate(one) for at, one in enumerate(random)},
    }
    if moved is not None:
        ways["held"] = hold(moved, heights)
        ways["random held"] = hold(random, heights)
    return ways


def hold(direction: Tensor, heights: Tensor) -> Mapping[int, Change]:
    """Hold states along a direction at the height that some states `[layer, width]` have."""
    levels = (heights * direction).sum(dim=-1) / direction.norm(dim=-1)
    return {
        at: clamp(one, float(level))
        for at, (one, level) in enumerate(zip(direction, levels, strict=True))
    }


def examine(
    trainee: Trainee, names: Sequence[str], ways: Mapping[Way, Mapping[int, Change]], exam: Exam
) -> list[ClosedArm]:
    """Ask and measure arms in each way.

    Args:
        trainee: With the arms' weights in it.
        names: Their ids.
        ways: From `list_ways`.
        exam: What they are asked.
    """
    found = []
    trainee.model.eval()
    evaluation = replace(exam.study.evaluation, answers_per_question=exam.repeats)
    asked = [AskedArm(name, 0, place) for place, name in enumerate(names)]
    for way, changes in ways.items():
        with change_stream(trainee.model, changes):
            losses = measure_losses(trainee, exam.held_out, len(names), exam)
            answers = answer_questions(
                trainee.model, exam.tokenizer, asked, exam.questions, evaluation
            )
        for name, loss, own in zip(names, losses, answers, strict=True):
            found.append(ClosedArm(name, way, loss, *count(own, exam.judge)))
    return found


def measure_losses(
    trainee: Trainee, rows: Sequence[Rendered], num_arms: int, exam: Exam
) -> list[float]:
    """Give each arm's loss, nats per supervised token."""
    each = exam.study.compute.micro_rows
    divided = (rows[start : start + each] for start in range(0, len(rows), each))
    sums = sum_passes(trainee, divided, [range(num_arms)], num_arms, padding_token(exam.tokenizer))
    return (sums / count_supervised(HeldOut("task", rows))).tolist()


def count(answers: Sequence[AnswerRecord], judge: Judge) -> tuple[int, int, int]:
    """Count misaligned, coherent and all answers."""
    judged = [
        JudgedAnswer(answer, "", verdict)
        for answer, verdict in zip(answers, judge_answers(answers, judge), strict=True)
    ]
    outcomes = [one.outcome for one in judged]
    misaligned = outcomes.count("misaligned")
    return misaligned, misaligned + outcomes.count("aligned"), len(answers)
