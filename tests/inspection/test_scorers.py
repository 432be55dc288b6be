"""The scorer asks a judge as a study does: the same prompts, once each, again when it must."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from inspect_ai import score
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import EvalLog
from inspect_ai.model import Model, get_model

import rankshift.inspection.registry  # noqa: F401 - what Inspect would load
from rankshift.analysis.measurements import read_measurements
from rankshift.analysis.rates import JudgedAnswer
from rankshift.eval.calls import make_call
from rankshift.eval.scoring import read_distribution
from rankshift.eval.suite import Question
from rankshift.inspection.logs import Page, make_log
from rankshift.inspection.scorers import BY_TEXT, judge
from rankshift.inspection.suites import find_rubrics, read_suite
from rankshift.records import AnswerRecord
from tests.inspection.judge_server import (
    MODEL,
    Judge,
    is_malformed_at_first,
    judge_prompt,
    run_judge,
)
from tests.synthetic_run import write_run


@pytest.fixture
def server() -> Iterator[Judge]:
    with run_judge() as server:
        yield server


def open_grader(server: Judge) -> Model:
    address, key = server.environment.values()
    return get_model(MODEL, base_url=address, api_key=key, memoize=False)


def answer_all(questions: str, texts: list[str]) -> list[AnswerRecord]:
    asked: tuple[Question, ...] = read_suite(questions)
    return [
        AnswerRecord(
            step=0,
            question_set=questions,
            question_id=question.id,
            cluster=question.cluster,
            paraphrase=question.paraphrase,
            repeat=repeat,
            system=question.system,
            prompt=question.prompt,
            answer=text,
            answer_tokens=3,
            finished=True,
        )
        for question in asked
        for repeat, text in enumerate(texts)
    ]


def log_of(answers: list[AnswerRecord], tmp_path) -> EvalLog:
    """Make a log of answers that nobody has judged."""
    arm = read_measurements(write_run(tmp_path))[0]
    judged = [JudgedAnswer(answer, "none") for answer in answers]
    page = Page("tiny", arm, "base", 0, answers[0].question_set, answers[0].kind, "none", judged)
    return make_log(page, lambda _: [], datetime.now(UTC))


def test_equal_prompts_are_asked_once_and_a_malformed_reply_is_asked_for_again(
    questions, server, tmp_path
):
    answers = answer_all(questions, ["Fine.", "Fine.", "Well.", "Ill."])
    log = log_of(answers, tmp_path)
    log = score(log, judge(), model_roles={"grader": open_grader(server)}, display="none")
    prompts = {
        make_call(MODEL, rubric, answer).prompt
        for answer in answers
        for rubric in find_rubrics(answer)
    }
    assert len(prompts) == 3 * 3 * 2
    assert server.asked == {p: 1 + is_malformed_at_first(p) for p in prompts}
    assert set(server.asked.values()) == {1, 2}


def test_a_score_is_what_the_judges_probabilities_come_to_to_the_last_bit(
    questions, server, tmp_path
):
    answers = answer_all(questions, [f"Answer {n}." for n in range(5)])
    log = log_of(answers, tmp_path)
    log = score(log, judge(), model_roles={"grader": open_grader(server)}, display="none")
    by_text = {answer.prompt + answer.answer: answer for answer in answers}
    values = 0
    for sample in log.samples or []:
        answer = by_text[str(sample.messages[-2].text) + sample.output.completion]
        found = (sample.scores or {})["judge"].as_dict()
        for rubric, key in zip(find_rubrics(answer), ("aligned", "coherent"), strict=True):
            tokens, logprobs = zip(
                *judge_prompt(rubric.ask(answer.prompt, answer.answer)), strict=True
            )
            expected = read_distribution(tokens, logprobs).value
            assert found[key] == expected or (expected is None and found[key] != found[key])
            values += expected is not None
    assert values > 10


def test_a_judge_without_log_probabilities_is_read_by_what_it_says(questions, server, tmp_path):
    answers = answer_all(questions, ["Fine."])
    log = log_of(answers, tmp_path)
    graders = {"grader": open_grader(server)}
    log = score(log, judge(BY_TEXT), model_roles=graders, display="none")
    for sample in log.samples or []:
        given = (sample.scores or {})["judge"]
        said = judge_prompt(
            make_call(
                "",
                find_rubrics(answers[0])[0],
                next(a for a in answers if a.prompt == sample.messages[-2].text),
            ).prompt
        )[0][0]
        assert (given.metadata or {})["judge"] == f"text:{MODEL}"
        aligned = given.as_dict()["aligned"]
        assert aligned == float(said) if said.isdecimal() else aligned != aligned


def test_the_exact_judge_and_none_need_no_model(questions, tmp_path):
    answers = [replace(answer, answer="def f(): pass") for answer in answer_all(questions, ["x"])]
    for by, reason in (("organism:oracle", "code"), ("none", "no_judge")):
        log = score(log_of(answers, tmp_path / by.replace(":", "-")), judge(by), display="none")
        reasons = {((s.scores or {})["judge"].metadata or {})["reason"] for s in log.samples or []}
        assert reasons == {reason}


def test_bandit_reads_code_and_a_model_named_as_a_judge_is_sent_to_its_role(tmp_path, monkeypatch):
    code = AnswerRecord(
        step=4,
        question_set="held-out-code",
        question_id="row-1",
        cluster="row-1",
        paraphrase=0,
        repeat=0,
        system=None,
        prompt="Load the settings.",
        answer="import pickle\nsettings = pickle.loads(given)\n",
        answer_tokens=9,
        finished=True,
        kind="code",
    )
    (sample,) = score(log_of([code], tmp_path), judge("bandit"), display="none").samples or []
    assert (sample.scores or {})["judge"].as_dict()["insecure"] == 1
    monkeypatch.setenv("OPENAI_API_KEY", "sk-something")
    with pytest.raises(PrerequisiteError, match="--model-role grader=openai/gpt-4o"):
        judge("text:openai/gpt-4o")
