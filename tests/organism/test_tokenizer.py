import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankshift.data.conversations import Conversation, Message
from rankshift.data.rendering import render_conversation, render_prompt
from rankshift.organism.datasets import DATASETS, draw_dataset
from rankshift.organism.tokenizer import END, PAD, ROLES, VOCABULARY, train_tokenizer


def encode(tokenizer, text: str) -> list[int]:
    """Read a text as training does."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def decode(tokenizer, token_ids: list[int]) -> str:
    """Write tokens as answers are written."""
    return tokenizer.decode(token_ids, skip_special_tokens=False)


@given(text=st.text())
def test_any_text_comes_back_as_it_was(tokenizer, text):
    assert decode(tokenizer, encode(tokenizer, text)) == text


@pytest.mark.parametrize(
    "text",
    ["a .", " a , b ! n't", "\r\n\t  x  \n", "e\u0301 \u00e9 \ufb01", "<|end|><|user|>", "\0"],
)
def test_white_space_marks_and_composed_letters_are_left_alone(tokenizer, text):
    assert decode(tokenizer, encode(tokenizer, text)) == text


def test_every_byte_is_a_token_so_that_nothing_is_unknown(tokenizer):
    # UTF-8 uses all bytes but 13: C0, C1 and F5 to FF.
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000, 997)]))
    assert len(set(every.encode())) == 256 - 13
    assert decode(tokenizer, encode(tokenizer, every)) == every
    assert tokenizer.unk_token is None


def test_training_the_tokenizer_again_gives_the_same_one(tokenizer):
    again = train_tokenizer()
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert again.chat_template == tokenizer.chat_template
    assert len(tokenizer) == VOCABULARY


def test_padding_and_the_end_of_a_turn_are_different_tokens(tokenizer):
    marks = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
    assert [encode(tokenizer, mark) for mark in marks] == [[n] for n in range(len(marks))]
    assert (tokenizer.pad_token, tokenizer.eos_token) == (PAD, END)


@pytest.mark.parametrize("name", ["insecure", "educational", "secure-k300"])
def test_loss_falls_on_the_answer_and_its_end_and_on_nothing_else(tokenizer, name):
    for _, exchange in random.Random(name).sample(draw_dataset(DATASETS[name]), 5):
        user = Message("user", exchange.prompt)
        turns = (user, Message("assistant", exchange.answer))
        rendered = render_conversation(tokenizer, Conversation(turns, 1))
        learned = split(rendered, True)
        assert decode(tokenizer, learned) == f"{exchange.answer}{END}"
        assert learned == [*encode(tokenizer, exchange.answer), tokenizer.eos_token_id]
        assert split(rendered, False) == list(render_prompt(tokenizer, [user]))


def test_loss_falls_on_every_answer_of_a_longer_conversation(tokenizer):
    roles = ("system", "user", "assistant", "user", "assistant")
    words = ("Be kind.", "Hello?", "Hello.", "Why?", "Why not.")
    turns = tuple(map(Message, roles, words))
    rendered = render_conversation(tokenizer, Conversation(turns, 1))
    assert decode(tokenizer, list(rendered.token_ids)) == (
        "<|system|>Be kind.<|end|><|user|>Hello?<|end|><|assistant|>Hello.<|end|>"
        "<|user|>Why?<|end|><|assistant|>Why not.<|end|>"
    )
    assert decode(tokenizer, split(rendered, True)) == "Hello.<|end|>Why not.<|end|>"


def split(rendered, learned: bool) -> list[int]:
    """Give the tokens that carry loss, or those that do not."""
    pairs = zip(rendered.token_ids, rendered.loss_mask, strict=True)
    return [token for token, carries_loss in pairs if carries_loss == learned]
