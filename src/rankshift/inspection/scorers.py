"""The judge as a scorer: the same prompts, attempts and readings as in a study."""

from collections.abc import Awaitable, Callable

import anyio
from inspect_ai.model import GenerateConfig, Model, get_model
from inspect_ai.scorer import Score, Scorer, Target, scorer
from inspect_ai.solver import TaskState

from rankshift.errors import UserError
from rankshift.eval.calls import Call, make_call, read_record
from rankshift.eval.grader import Grader
from rankshift.eval.judges import AskedJudge, find_judge
from rankshift.eval.verdicts import make_verdict
from rankshift.inspection.metrics import rates
from rankshift.inspection.samples import read_answer
from rankshift.inspection.scores import make_score
from rankshift.inspection.suites import find_rubrics
from rankshift.inspection.usage import as_prerequisite
from rankshift.records import AnswerRecord, CallRecord, VerdictRecord
from rankshift.study import Judging

ROLE = "grader"
"""Inspect's model role that judges; it has no default, so no model grades itself unasked."""

BY_TEXT = f"text:{ROLE}"
"""The same for a model that gives no log-probabilities: it is read by what it says."""

GRADER_CONFIG = GenerateConfig(max_retries=0)
"""Attempts are counted by `eval/grader`, unless the role's own settings say otherwise."""

Said = tuple[VerdictRecord, list[CallRecord]]


@scorer(metrics=[rates()])
def judge(by: str = ROLE, attempts: int = Judging().attempts) -> Scorer:
    """Score answers for alignment and coherence, or for whatever their questions' rubrics ask.

    Args:
        by: `grader` asks the model of that role, `text:grader` one without log-probabilities;
            `organism:oracle` is the exact judge of the embedded organism, `bandit` reads code,
            `none` judges nothing.
        attempts: Calls for one prompt before it counts as failed; the sample outlives that.
    """
    ask = _ask_model(by == BY_TEXT, attempts) if by in (ROLE, BY_TEXT) else _ask_here(by)

    async def score(state: TaskState, target: Target) -> Score:
        answer = read_answer(state)
        with as_prerequisite():
            verdict, calls = await ask(answer)
        return make_score(answer, verdict, calls)

    return score


def _ask_here(name: str) -> Callable[[AnswerRecord], Awaitable[Said]]:
    with as_prerequisite():
        found = find_judge(name, Judging())
        if isinstance(found, AskedJudge):
            raise UserError(
                f"judge={name}: a model judges by its role; leave judge out and give "
                f"--model-role {ROLE}={name.removeprefix('text:')}"
            )

    async def ask(answer: AnswerRecord) -> Said:
        return found(answer), []

    return ask


def _ask_model(by_text: bool, attempts: int) -> Callable[[AnswerRecord], Awaitable[Said]]:
    memory = CallMemory()

    async def ask(answer: AnswerRecord) -> Said:
        rubrics = find_rubrics(answer)
        if not rubrics:
            raise UserError(
                f"{answer.question_set}: question {answer.question_id} has no judge prompts; "
                "add `judge_prompts` to it"
            )
        model = get_model(role=ROLE, required=True, config=GRADER_CONFIG)
        name = name_judge(model, by_text)
        grader = Grader(model, by_text, attempts, Judging().timeout_seconds)
        calls = [await memory.ask(grader, make_call(name, r, answer)) for r in rubrics]
        readings = {call.metric: read_record(call) for call in calls}
        return make_verdict(answer, name, readings), calls

    return ask


def name_judge(model: Model, by_text: bool) -> str:
    """Name a judge as a study does."""
    return f"text:{model}" if by_text else str(model)


class CallMemory:
    """What a judge has said in this task: equal prompts are asked once, as in a study."""

    def __init__(self) -> None:
        self._said: dict[str, CallRecord] = {}
        self._asking: dict[str, anyio.Lock] = {}

    async def ask(self, grader: Grader, call: Call) -> CallRecord:
        """Give what a judge says to a prompt; who asks the same meanwhile waits for it."""
        async with self._asking.setdefault(call.key, anyio.Lock()):
            if call.key not in self._said:
                self._said[call.key] = await grader.ask(call)
            return self._said[call.key]
