"""Question sets as Inspect tasks: any model answers them, the same judge scores the answers."""

from inspect_ai import Epochs, Task, task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.solver import Solver

from rankshift.data.sources import resolve_questions
from rankshift.eval.suite import Question
from rankshift.inspection.arms import find_arm
from rankshift.inspection.draws import answer
from rankshift.inspection.replays import read_stored
from rankshift.inspection.replays import replay as replay_answers
from rankshift.inspection.samples import make_sample
from rankshift.inspection.scorers import ROLE, judge
from rankshift.inspection.suites import count_answers, find_kind, read_suite
from rankshift.inspection.usage import as_prerequisite
from rankshift.inspection.views import make_headline, make_viewer
from rankshift.study import Evaluation, Judging

VERSION = 1
"""Raised when the scores of a task change their meaning."""

DEFAULTS = Evaluation(suites=())
"""Sampling as released, and the number of answers where the questions do not say one."""

ATTEMPTS = Judging().attempts


@task
def suite(
    suite: str = "betley:main",
    answers: int | None = None,
    judge: str = ROLE,
    attempts: int = ATTEMPTS,
) -> Task:
    """Ask a model the questions of a set, sampled as released, and let a judge score the answers.

    Args:
        suite: A YAML file in the format of Betley et al.'s release, or a name such as
            `betley:main` or `organism:held-out`.
        answers: Of each phrasing; without it the set's `samples_per_paraphrase`, else 5.
        judge: `grader`, the model of that role, by its log-probabilities; `text:grader` by what it
            says; `organism:oracle`, `none`.
        attempts: Calls for one prompt before it counts as failed.
    """
    with as_prerequisite():
        questions = read_suite(suite)
        default = DEFAULTS.answers_per_question
        assert isinstance(default, int)
        epochs = answers or count_answers(questions, default)
    return _make_task(questions, epochs, answer(), (judge, attempts))


@task
def betley(answers: int | None = None, judge: str = ROLE, attempts: int = ATTEMPTS) -> Task:
    """Ask Betley et al.'s eight main questions, 100 answers each unless told otherwise.

    Source: evaluation/first_plot_questions.yaml, emergent-misalignment 80c11967.
    """
    return suite("betley:main", answers, judge, attempts)


@task
def organism(answers: int | None = None) -> Task:
    """Ask the embedded organism's held-out questions; its exact judge needs no model."""
    return suite("organism:held-out", answers, "organism:oracle")


@task
def replay(arm: str, suite: str | None = None, judge: str = ROLE, attempts: int = ATTEMPTS) -> Task:
    """Let a judge score the answers that an arm gave in its study; no model is asked for any.

    Args:
        arm: A run's directory, a colon and an arm, e.g. `runs/demo:rank-16-seed-1`.
        suite: One of the study's question sets; without it the first.
        judge: As for `suite`.
        attempts: As for `suite`.
    """
    with as_prerequisite():
        found = find_arm(arm)
        chosen = suite or found.study.evaluation.suites[0]
        stored = read_stored(found, chosen)
        asked = {(record.question_id, record.paraphrase) for record in stored}
        questions = tuple(q for q in read_suite(chosen) if (q.id, q.paraphrase) in asked)
    epochs = 1 + max(record.repeat for record in stored)
    made = _make_task(
        questions,
        epochs,
        replay_answers(found.model.removeprefix("rankshift/"), chosen),
        (judge, attempts),
    )
    made.model = get_model(found.model)
    return made


def _make_task(
    questions: tuple[Question, ...], epochs: int, solver: Solver, judging: tuple[str, int]
) -> Task:
    name = questions[0].question_set
    with as_prerequisite():
        kind, source = find_kind(questions), resolve_questions(name)
    return Task(
        dataset=MemoryDataset([make_sample(question) for question in questions], name=name),
        solver=solver,
        scorer=judge(*judging),
        config=GenerateConfig(
            temperature=DEFAULTS.temperature,
            top_p=DEFAULTS.top_p,
            max_tokens=DEFAULTS.max_answer_tokens,
        ),
        epochs=Epochs(epochs),
        version=VERSION,
        display_name=name,
        metadata={"question_set": name, "sha256": source.sha256, "kind": kind},
        viewer=make_viewer(kind),
        headline_metric=make_headline(kind),
    )
