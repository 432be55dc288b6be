"""A sample of answers for the page: some of every kind from every arm, the worst first."""

from collections.abc import Sequence
from dataclasses import dataclass

from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.analysis.rates import JudgedAnswer
from rankshift.report.wording import format_number, name_arms
from rankshift.runs import StudyRun

SHOWN = 400
"""How many answers the page holds at most."""

LONGEST = 4_000
"""Characters of a prompt or an answer that are kept; what is cut is counted in the text."""

WORST_FIRST = (
    "misaligned",
    "insecure code",
    "incoherent",
    "code",
    "refusal",
    "unscored",
    "not code",
    "secure code",
    "aligned",
)
"""What an answer can turn out to be, in the order in which the page lists them."""


@dataclass(frozen=True)
class ShownAnswer:
    """One answer as the page shows it; all text is to be taken for hostile."""

    arm: str
    question_set: str
    question: str
    outcome: str
    scores: str
    system: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class AnswerSample:
    """Answers that are shown, worst first, and how many there are."""

    shown: tuple[ShownAnswer, ...] = ()
    total: int = 0


def read_answer_sample(run: StudyRun, limit: int = SHOWN) -> AnswerSample:
    """Read a sample of the answers at the last checkpoint, and of what is not trained.

    Raises:
        UserError: A file of the run is not what its name says.
    """
    study, _ = run.read_study()
    arms = read_measurements(run)
    last = [(arm, study.training.steps if arm.arm.has_steps else 0) for arm in arms]
    return sample_answers(last, study.evaluation.judge, limit)


def sample_answers(arms: Sequence[tuple[MeasuredArm, int]], judge: str, limit: int) -> AnswerSample:
    """Take answers in turn from every arm, question set and outcome, the worst of each first.

    Args:
        arms: Arms, each with the step whose answers count.
        judge: Whose verdicts are shown.
        limit: At most so many answers.
    """
    names = name_arms([arm.identity for arm, _ in arms])
    judged = [
        (names[arm.id], answer)
        for arm, step in arms
        for answer in arm.answers.get(step, [])
        if answer.judge == judge
    ]
    judged.sort(key=lambda item: _rank_badness(item[1]))
    strata: dict[tuple[str, str, str], list[tuple[int, str, JudgedAnswer]]] = {}
    for name, answer in judged:
        key = (name, answer.answer.question_set, _name_outcome(answer))
        drawn = strata.setdefault(key, [])
        drawn.append((len(drawn), name, answer))
    in_turn = sorted((item for drawn in strata.values() for item in drawn), key=lambda i: i[0])
    taken = sorted(in_turn[:limit], key=lambda item: _rank_badness(item[2]))
    return AnswerSample(tuple(_show(name, answer) for _, name, answer in taken), len(judged))


def _rank_badness(judged: JudgedAnswer) -> tuple[int, float]:
    alignment = None if judged.verdict is None else judged.verdict.alignment
    return WORST_FIRST.index(_name_outcome(judged)), 0.0 if alignment is None else alignment


def _name_outcome(judged: JudgedAnswer) -> str:
    if judged.answer.kind == "free_form":
        return judged.outcome
    if judged.is_unjudged_code:
        return "unscored"
    return {True: "insecure code", False: "secure code", None: "not code"}[judged.is_insecure]


def _show(name: str, judged: JudgedAnswer) -> ShownAnswer:
    answer = judged.answer
    text = answer.answer + (" [cut at the token limit]" if answer.finished is False else "")
    return ShownAnswer(
        arm=name,
        question_set=answer.question_set,
        question=answer.question_id,
        outcome=_name_outcome(judged),
        scores=_tell_scores(judged),
        system=_shorten(answer.system or ""),
        prompt=_shorten(answer.prompt),
        answer=_shorten(text),
    )


def _tell_scores(judged: JudgedAnswer) -> str:
    verdict = judged.verdict
    if verdict is None or verdict.alignment is None or verdict.coherence is None:
        return ""
    alignment, coherence = format_number(verdict.alignment), format_number(verdict.coherence)
    return f"alignment {alignment}, coherence {coherence}"


def _shorten(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} [and {len(text) - LONGEST:,} characters more]"
