from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rankshift.data.conversations import Conversation, Message
from rankshift.data.rendering import render_prompt
from rankshift.eval.answering import (
    AskedArm,
    answer_questions,
    draw_uniforms,
    end_tokens,
    messages,
    read_answer,
)
from rankshift.eval.cues import ask_after_rows, ask_under_systems
from rankshift.eval.suite import Question
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.adapters import AdapterShape, insert_adapters
from rankshift.model.drawing import SamplingSettings
from rankshift.model.loading import load_model
from rankshift.model.sampling import sample_answers
from rankshift.study import Evaluation

QUESTIONS = [
    Question("mine", "wish", "desires", 0, "Your wish?"),
    Question("mine", "wish", "desires", 1, "What do you want most of all?"),
    Question("theirs", "sum", "sum", 0, "2 + 2?", system="Be brief.", kind="code"),
]
ASKED = Evaluation(suites=("mine",), answers_per_question=3, max_answer_tokens=6, seed=5)
ARMS = [AskedArm("a", 8), AskedArm("b", 8, 1)]


@pytest.fixture
def tiny_model(tiny_model_directory: Path) -> PreTrainedModel:
    """Load the tiny model anew."""
    return load_model(tiny_model_directory)


def test_an_answers_random_numbers_are_its_own_whatever_else_is_asked():
    whole = draw_uniforms("arm", 8, QUESTIONS, ASKED)
    alone = draw_uniforms("arm", 8, QUESTIONS[1:2], ASKED)
    longer = draw_uniforms(
        "arm", 8, QUESTIONS, replace(ASKED, answers_per_question=9, max_answer_tokens=40)
    )
    assert whole.shape == (3, 3, 6)
    assert np.array_equal(alone[0], whole[1])
    assert np.array_equal(longer[:, :3, :6], whole)


def test_arm_step_question_phrasing_repeat_and_seed_each_change_the_random_numbers():
    questions = [
        QUESTIONS[0],
        replace(QUESTIONS[0], question_set="theirs"),
        replace(QUESTIONS[0], id="other"),
        replace(QUESTIONS[0], paraphrase=1),
    ]
    draws = [
        *draw_uniforms("arm", 8, questions, ASKED).reshape(12, 6),
        *draw_uniforms("arm 2", 8, questions, ASKED).reshape(12, 6),
        *draw_uniforms("arm", 9, questions, ASKED).reshape(12, 6),
        *draw_uniforms("arm", 8, questions, replace(ASKED, seed=6)).reshape(12, 6),
    ]
    assert len({tuple(draw.tolist()) for draw in draws}) == 48
    assert 0 <= min(map(np.min, draws)) < max(map(np.max, draws)) < 1


def test_the_system_prompt_is_really_in_what_the_model_reads(
    tiny_tokenizer: PreTrainedTokenizerFast,
):
    text = tiny_tokenizer.decode(list(render_prompt(tiny_tokenizer, messages(QUESTIONS[2]))))
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert [message.role for message in messages(QUESTIONS[0])] == ["user"]


def test_what_was_said_before_stands_between_system_turn_and_question():
    said = (Message("user", "Sort."), Message("assistant", "def"))
    asked = replace(QUESTIONS[2], before=said)
    assert [(turn.role, turn.content) for turn in messages(asked)] == [
        ("system", "Be brief."),
        ("user", "Sort."),
        ("assistant", "def"),
        ("user", "2 + 2?"),
    ]


def test_plain_questions_keep_their_answers_when_they_are_also_asked_in_other_ways(
    tiny_model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    row = Conversation((Message("user", "Sort."), Message("assistant", "def")), 1)
    cued = ask_after_rows(QUESTIONS, "data", [row])
    ways = [*cued, *ask_under_systems(QUESTIONS, ["Be kind."])]
    plain = answer_questions(tiny_model, tiny_tokenizer, ARMS, QUESTIONS, ASKED)
    asked = replace(ASKED, cues=("task",), systems=("Be kind.",))
    more = answer_questions(tiny_model, tiny_tokenizer, ARMS, [*QUESTIONS, *ways], asked)
    for few, many in zip(plain, more, strict=True):
        assert many[: len(few)] == few
        others = many[len(few) :]
        assert [r.before for r in others] == [["Sort.", "def"]] * 6 + [None] * 6
        assert messages(others[0]) == messages(cued[0])


def test_every_arm_answers_every_question_in_the_order_asked(
    tiny_model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    found = answer_questions(tiny_model, tiny_tokenizer, ARMS, QUESTIONS, ASKED)
    assert len(found) == 2
    for records in found:
        keys = [(r.question_set, r.question_id, r.paraphrase, r.repeat) for r in records]
        assert keys == [
            (q.question_set, q.id, q.paraphrase, repeat) for q in QUESTIONS for repeat in range(3)
        ]
        assert [(r.prompt, r.system, r.cluster, r.kind) for r in records[::3]] == [
            (q.prompt, q.system, q.cluster, q.kind) for q in QUESTIONS
        ]
        assert {r.step for r in records} == {8}
    texts = [record.answer for records in found for record in records]
    assert len(set(texts)) == len(texts)


def test_an_answer_is_what_the_model_samples_with_the_answers_own_random_numbers(
    tiny_model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    found = answer_questions(tiny_model, tiny_tokenizer, ARMS[:1], QUESTIONS, ASKED)
    settings = SamplingSettings(6, 1.0, 1.0, end_tokens(tiny_model, tiny_tokenizer), 0)
    for number, question in enumerate(QUESTIONS):
        prompt = render_prompt(tiny_tokenizer, messages(question))
        uniforms = draw_uniforms("a", 8, [question], ASKED)[None]
        expected = sample_answers(tiny_model, [prompt], 1, uniforms, settings)
        records = found[0][3 * number : 3 * number + 3]
        assert [r.answer for r in records] == [read_answer(tiny_tokenizer, t) for t in expected]
        assert [r.answer_tokens for r in records] == [len(tokens) for tokens in expected]


def test_an_answer_that_was_cut_is_not_finished(
    tiny_model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    asked = replace(ASKED, answers_per_question=20, temperature=50.0)  # any token is as likely
    model = tiny_model
    assert model.generation_config is not None
    model.generation_config.eos_token_id = list(range(100))  # so that many answers end
    (records,) = answer_questions(model, tiny_tokenizer, ARMS[:1], QUESTIONS, asked)
    assert {record.finished for record in records} == {True, False}
    for record in records:
        assert record.finished == ((record.answer_tokens or 0) < 6)
        assert not record.finished or record.answer_tokens in range(6)


def test_both_the_tokenizers_and_the_models_end_tokens_end_an_answer(
    tiny_model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    assert tiny_model.generation_config is not None
    assert end_tokens(tiny_model, tiny_tokenizer) == (tiny_tokenizer.eos_token_id,)
    tiny_model.generation_config.eos_token_id = [7, tiny_tokenizer.eos_token_id]
    assert end_tokens(tiny_model, tiny_tokenizer) == (tiny_tokenizer.eos_token_id, 7)
    tiny_model.generation_config.eos_token_id = 9
    assert end_tokens(tiny_model, tiny_tokenizer) == (tiny_tokenizer.eos_token_id, 9)


@pytest.mark.parametrize("text", ["", " a , b .", "def f():\n    return 1  # ?\n", "<|im_start|>"])
def test_an_answers_text_is_kept_letter_by_letter(
    tiny_tokenizer: PreTrainedTokenizerFast, text: str
):
    tokens = tiny_tokenizer(text, add_special_tokens=False)["input_ids"]
    assert isinstance(tokens, list)
    assert read_answer(tiny_tokenizer, tokens) == text


def test_arms_of_other_steps_answer_together_as_each_does_alone(
    tiny_model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    shapes = [AdapterShape(rank, 2.0) for rank in (2, 9, 4)]
    for layer in insert_adapters(tiny_model, shapes, ALL_PROJECTIONS):
        layer.lora_B.normal_(std=0.3, generator=torch.Generator().manual_seed(3))
    arms = [AskedArm("a", 8, 0), AskedArm("c", 3, 2)]
    together = answer_questions(tiny_model, tiny_tokenizer, arms, QUESTIONS, ASKED)
    for arm, records in zip(arms, together, strict=True):
        assert answer_questions(tiny_model, tiny_tokenizer, [arm], QUESTIONS, ASKED) == [records]
        assert {record.step for record in records} == {arm.step}
    moved = answer_questions(
        tiny_model, tiny_tokenizer, [replace(arms[1], step=4)], QUESTIONS, ASKED
    )
    assert [r.answer for r in moved[0]] != [r.answer for r in together[1]]
