"""Who has read what: the answers that more than one judge may have read, and what each said."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rankshift.analysis.measurements import MeasuredArm, answer_key
from rankshift.analysis.rates import JudgedAnswer
from rankshift.errors import UserError
from rankshift.records import HUMAN, SampledRecord, read_records
from rankshift.runs import StudyRun

EXACT_JUDGES = ("organism:oracle",)
"""Judges that are right by construction; people are taken for the truth too."""


@dataclass(frozen=True)
class ReadAnswer:
    """One free-form answer of one arm, and what each judge that has read it said."""

    arm: str
    key: tuple[object, ...]
    by: dict[str, JudgedAnswer] = field(default_factory=dict)


@dataclass(frozen=True)
class Weights:
    """How many answers each answer that a judge has read stands for."""

    by_answer: dict[tuple[object, ...], float]
    """Arm and key of an answer to its weight; what is not in it is worth 1."""
    covered: float = 1.0
    """Share of all answers that lie in a stratum of which at least one answer was read."""

    def of(self, answer: ReadAnswer) -> float:
        """Give one answer's weight."""
        return self.by_answer.get((answer.arm, *answer.key), 1.0)


def is_reference(judge: str) -> bool:
    """Say whether a judge is taken for the truth: a person, or one that is exact."""
    return judge.startswith(HUMAN) or judge in EXACT_JUDGES


def collect_panels(arms: Sequence[MeasuredArm], last_step: int) -> dict[str, list[ReadAnswer]]:
    """Collect the answers at the last checkpoint, and the base's, by question set.

    Earlier checkpoints are left out: their answers are the same arms' once more.
    """
    panels: dict[str, dict[tuple[object, ...], ReadAnswer]] = {}
    for arm in arms:
        for judged in arm.answers.get(step_of(arm, last_step), []):
            if judged.answer.kind == "free_form" and judged.verdict is not None:
                key = answer_key(judged.answer)
                panel = panels.setdefault(judged.answer.question_set, {})
                read = panel.setdefault((arm.id, *key), ReadAnswer(arm.id, key))
                read.by[judged.judge] = judged
    return {name: list(panel.values()) for name, panel in panels.items()}


def step_of(arm: MeasuredArm, last_step: int) -> int:
    """Give the step at which an arm's answers count: the last, or 0 for what is not trained."""
    return last_step if arm.arm.has_steps else 0


def list_judges(panel: Sequence[ReadAnswer], first: str) -> list[str]:
    """List the judges that have read anything, the one whose verdicts decide first."""
    judges = {judge for answer in panel for judge in answer.by}
    return sorted(judges, key=lambda judge: (judge != first, judge))


def read_weights(run: StudyRun, judge: str, panel: Sequence[ReadAnswer]) -> Weights:
    """Read what the answers that a judge has read stand for; 1 each where it has read all.

    A person's sheet is a stratified sample. Its rows are in random order, so those left blank are
    taken as left out by chance, and an answer stands for its stratum's answers divided by those
    labelled in it.

    Raises:
        UserError: A person's labels are there and the sample they are of is not.

    Source: Horvitz and Thompson 1952, JASA 47(260), 663-685; blanks as in weighting by adjustment
    cells, Little and Rubin 2019, Statistical Analysis with Missing Data, section 3.3.
    """
    if not judge.startswith(HUMAN):
        return Weights({})
    path = run.labelled_path(judge)
    if not path.exists():
        raise UserError(f"{path}: no such file, but {judge} has labels; import them again")
    asked = {a.answer.question_set for read in panel for a in read.by.values()}
    sampled = [row for row in read_records(path, SampledRecord) if row.question_set in asked]
    labelled = {
        (read.arm, *read.key)
        for read in panel
        if judge in read.by and read.by[judge].outcome != "unscored"
    }
    answers = {row.stratum: row.stratum_answers for row in sampled}
    counts = dict.fromkeys(answers, 0)
    for row in sampled:
        counts[row.stratum] += _place(row) in labelled
    covered = sum(answers[stratum] for stratum, number in counts.items() if number)
    return Weights(
        {
            _place(row): row.stratum_answers / counts[row.stratum]
            for row in sampled
            if counts[row.stratum]
        },
        covered / sum(answers.values()) if answers else 0.0,
    )


def _place(row: SampledRecord) -> tuple[object, ...]:
    return (row.arm, *answer_key(row))
