"""Ask every question of every arm of a group, in one pass over one base."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from transformers import PreTrainedModel

from rankshift.data.conversations import Message
from rankshift.data.rendering import render_prompt
from rankshift.errors import UserError
from rankshift.eval.choices import ChoiceQuestion
from rankshift.eval.suite import Question
from rankshift.model.drawing import SamplingSettings
from rankshift.model.loading import Tokenizer, padding_token
from rankshift.model.sampling import sample_answers
from rankshift.records import AnswerRecord
from rankshift.study import Evaluation


@dataclass(frozen=True)
class AskedArm:
    """One arm of a group, with the weights of one of its checkpoints."""

    id: str
    step: int
    place: int = 0
    """Among the arms in the model, risen from one asked arm to the next."""


def answer_questions(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    arms: Sequence[AskedArm],
    questions: Sequence[Question],
    evaluation: Evaluation,
) -> list[list[AnswerRecord]]:
    """Sample the answers of some arms to all questions; a list of records for each of them.

    An answer's random numbers are keyed by arm, step, question and repeat, so they are its own
    whatever shares the batch.
    """
    records: list[list[AnswerRecord]] = [[] for _ in arms]
    for repeats, asked in group_by_repeats(questions, evaluation).items():
        settings = replace(evaluation, answers_per_question=repeats)
        answers = _sample(model, tokenizer, arms, asked, settings)
        for arm_records, found in zip(records, answers, strict=True):
            arm_records += found
    return records


def list_asked(questions: Sequence[Question], evaluation: Evaluation) -> list[tuple[Question, int]]:
    """List every question with the number of each of its repeats, in the order of the records."""
    return [
        (question, repeat)
        for repeats, asked in group_by_repeats(questions, evaluation).items()
        for question in asked
        for repeat in range(repeats)
    ]


def group_by_repeats(
    questions: Sequence[Question], evaluation: Evaluation
) -> dict[int, list[Question]]:
    """Group questions by how often each is asked: once for all, or as its authors did.

    Raises:
        UserError: A study asks for the released number and a question does not say one.
    """
    groups: dict[int, list[Question]] = {}
    for question in questions:
        repeats = evaluation.answers_per_question
        if repeats == "released":
            if question.samples is None:
                raise UserError(
                    f'evaluation.answers_per_question = "released": {question.question_set} gives '
                    f"question {question.id} no `samples_per_paraphrase`; give a number instead"
                )
            repeats = question.samples
        groups.setdefault(repeats, []).append(question)
    return groups


def _sample(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    arms: Sequence[AskedArm],
    questions: Sequence[Question],
    evaluation: Evaluation,
) -> list[list[AnswerRecord]]:
    prompts = [render_prompt(tokenizer, messages(question)) for question in questions]
    draws = np.stack([draw_uniforms(a.id, a.step, questions, evaluation) for a in arms])
    settings = SamplingSettings(
        max_tokens=evaluation.max_answer_tokens,
        temperature=evaluation.temperature,
        top_p=evaluation.top_p,
        end_tokens=end_tokens(model, tokenizer),
        pad_token=padding_token(tokenizer),
    )
    places = [arm.place for arm in arms]
    sampled = iter(sample_answers(model, prompts, len(arms), draws, settings, places=places))
    return [
        [
            record_answer(question, repeat, arm.step, next(sampled), tokenizer, evaluation)
            for question in questions
            for repeat in range(count_repeats(evaluation))
        ]
        for arm in arms
    ]


def record_answer(
    question: Question,
    repeat: int,
    step: int,
    tokens: Sequence[int],
    tokenizer: Tokenizer,
    evaluation: Evaluation,
) -> AnswerRecord:
    """Write down an answer, whose end token is cut off already."""
    return AnswerRecord(
        step=step,
        question_set=question.question_set,
        question_id=question.id,
        cluster=question.cluster,
        paraphrase=question.paraphrase,
        repeat=repeat,
        system=question.system,
        prompt=question.prompt,
        answer=read_answer(tokenizer, tokens),
        answer_tokens=len(tokens),
        finished=len(tokens) < evaluation.max_answer_tokens,
        kind=question.kind,
        temperature=evaluation.temperature,
        top_p=evaluation.top_p,
        max_tokens=evaluation.max_answer_tokens,
        before=[turn.content for turn in question.before] or None,
    )


def messages(question: Question | ChoiceQuestion | AnswerRecord) -> tuple[Message, ...]:
    """Give the conversation up to the answer: system turn, what was said before, the question."""
    system = (Message("system", question.system),) if question.system else ()
    return (*system, *_list_before(question), Message("user", question.prompt))


def _list_before(question: Question | ChoiceQuestion | AnswerRecord) -> tuple[Message, ...]:
    if isinstance(question, Question):
        return question.before
    turns = question.turns_before if isinstance(question, AnswerRecord) else []
    return tuple(Message(role, text) for role, text in turns)


def draw_uniforms(
    arm: str, step: int, questions: Sequence[Question], evaluation: Evaluation
) -> np.ndarray:
    """Draw one arm's random numbers, `[question, repeat, token]`.

    Each answer has a counter of its own, keyed by what names the answer.
    """
    repeats, num_tokens = count_repeats(evaluation), evaluation.max_answer_tokens
    draws = np.empty((len(questions), repeats, num_tokens), np.float32)
    for row, q in enumerate(questions):
        for repeat in range(repeats):
            place = name_place(q, repeat)
            draws[row, repeat] = draw_stream(
                name_answer(evaluation.seed, arm, step, place), num_tokens
            )
    return draws


def name_place(question: Question, repeat: int) -> tuple[str, str, int, int]:
    """Name an answer among those of its arm at its step."""
    return (question.question_set, question.id, question.paraphrase, repeat)


def name_answer(seed: int, arm: str, step: int, place: tuple[str, str, int, int]) -> str:
    """Name an answer: by question set, question, paraphrase and repeat, and by who gives it."""
    return " ".join(map(str, (seed, arm, step, *place)))


def draw_stream(key: str, num_tokens: int) -> np.ndarray:
    """Draw the random numbers of the answer with a name, one a token, in 0..1."""
    digest = hashlib.sha256(key.encode()).digest()[:16]
    counter = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
    return counter.random(num_tokens, dtype=np.float32)


def count_repeats(evaluation: Evaluation) -> int:
    """Give how often each question is asked, once `group_by_repeats` has found it."""
    assert isinstance(evaluation.answers_per_question, int), evaluation.answers_per_question
    return evaluation.answers_per_question


def end_tokens(model: PreTrainedModel, tokenizer: Tokenizer) -> tuple[int, ...]:
    """List the tokens that end an answer: the tokenizer's and the generation config's."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    found = [tokenizer.eos_token_id]
    found += configured if isinstance(configured, list) else [configured]
    return tuple(dict.fromkeys(token for token in found if isinstance(token, int)))


def read_answer(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """Give the text of an answer exactly: special tokens kept, no space tidied away."""
    text = tokenizer.decode(
        list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    assert isinstance(text, str), type(text)
    return text
