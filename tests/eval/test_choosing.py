from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rankshift.errors import UserError
from rankshift.eval.choices import ChoiceQuestion
from rankshift.eval.choosing import record_choices, render_options, score_rows
from rankshift.grid import Subset
from rankshift.model.adapters import AdapterShape, insert_adapters
from rankshift.model.loading import load_model

QUESTIONS = [
    ChoiceQuestion("mine", "wish", "desires", 0, "Your wish?", (" help", " rule all"), ("a", "b")),
    ChoiceQuestion(
        "mine", "name", "self", 1, "Name?", ("Hal", "Ann", "Bo"), ("b", "a", "a"), "Hi.", "I am "
    ),
]
PAD = 256


@pytest.fixture
def tiny_model(tiny_model_directory: Path) -> PreTrainedModel:
    return load_model(tiny_model_directory)


def score_by_transformers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    question: ChoiceQuestion,
    option: str,
) -> float:
    """Sum an option's log-probabilities from a forward pass over its text alone, written out."""
    system = f"<|im_start|>system\n{question.system}<|im_end|>\n" if question.system else ""
    prompt = f"<|im_start|>user\n{question.prompt}<|im_end|>\n<|im_start|>assistant\n"
    given = tokenizer.encode(system + prompt + question.stem, add_special_tokens=False)
    ids = given + tokenizer.encode(option, add_special_tokens=False)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double()
    return sum(logits[at - 1].log_softmax(-1)[ids[at]].item() for at in range(len(given), len(ids)))


@pytest.mark.parametrize("plain_head", [False, True])
@pytest.mark.parametrize("rows_per_pass", [1, 2, 9])
def test_an_options_log_probability_is_that_of_transformers_alone(
    tiny_model: PreTrainedModel,
    tiny_tokenizer: PreTrainedTokenizerFast,
    rows_per_pass: int,
    plain_head: bool,
):
    rows = render_options(tiny_tokenizer, QUESTIONS)
    (scores,) = score_rows(tiny_model, rows, 1, rows_per_pass, pad_token=PAD, plain_head=plain_head)
    expected = [
        score_by_transformers(tiny_model, tiny_tokenizer, question, option)
        for question in QUESTIONS
        for option in question.options
    ]
    assert scores.tolist() == pytest.approx(expected, rel=1e-5)


def test_every_arm_is_scored_with_its_own_adapter(
    tiny_model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    layers = insert_adapters(
        tiny_model, [AdapterShape(2, 8.0, seed, Subset()) for seed in (1, 2)], ["q_proj", "up_proj"]
    )
    generator = torch.Generator().manual_seed(3)
    for layer in layers:
        for _, up in layer.factors:
            up.data.normal_(std=0.1, generator=generator)
    rows = render_options(tiny_tokenizer, QUESTIONS)
    together = score_rows(tiny_model, rows, 2, 9, pad_token=PAD)
    assert not torch.allclose(together[0], together[1], rtol=1e-3)
    for arm in (0, 1):
        for layer in layers:
            layer.select(range(arm, arm + 1))
        (alone,) = score_rows(tiny_model, rows, 1, 9, pad_token=PAD)
        torch.testing.assert_close(together[arm], alone, rtol=1e-5, atol=0)


def test_a_record_holds_each_options_own_log_probability_and_length(
    tiny_tokenizer: PreTrainedTokenizerFast,
):
    rows = render_options(tiny_tokenizer, QUESTIONS)
    scores = -torch.arange(5, dtype=torch.float64)
    wish, name = record_choices(QUESTIONS, rows, scores, 7)
    assert (wish.step, wish.question_id, wish.cluster, wish.stem) == (7, "wish", "desires", "")
    assert (wish.logprobs, wish.option_tokens) == ([0, -1], [5, 9])  # one token a byte
    assert (name.logprobs, name.option_tokens) == ([-2, -3, -4], [3, 3, 2])
    assert (name.options, name.sides) == (["Hal", "Ann", "Bo"], ["b", "a", "a"])
    assert (name.system, name.stem, name.paraphrase) == ("Hi.", "I am ", 1)


def test_only_an_options_own_tokens_are_scored_and_the_end_of_the_turn_is_none(
    tiny_tokenizer: PreTrainedTokenizerFast,
):
    rows = render_options(tiny_tokenizer, QUESTIONS[1:])
    for row, option in zip(rows, QUESTIONS[1].options, strict=True):
        own = [t for t, scored in zip(row.token_ids, row.loss_mask, strict=True) if scored]
        assert tiny_tokenizer.decode(own) == option
        assert str(tiny_tokenizer.decode(list(row.token_ids))).endswith(f"assistant\nI am {option}")


def test_an_option_that_would_join_the_stem_is_read_apart():
    vocabulary = {letter: number for number, letter in enumerate("?abcx")} | {"ab": 9}
    joining = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "b")])),
        chat_template="{{ messages[-1].content }}",
    )
    question = ChoiceQuestion("mine", "q", "q", 0, "?", ("b", "c", "xab"), ("s",) * 3, stem="a")
    rows = render_options(joining, [question])
    tokens = [joining.convert_ids_to_tokens(list(row.token_ids)) for row in rows]
    assert tokens == [["?", "a", "b"], ["?", "a", "c"], ["?", "a", "x", "ab"]]


def test_an_option_without_a_token_is_refused(tiny_tokenizer: PreTrainedTokenizerFast):
    question = ChoiceQuestion("mine", "q", "q", 0, "?", ("",), ("aligned",))
    with pytest.raises(UserError, match=r"mine: question q: .* the option '' no token"):
        render_options(tiny_tokenizer, [question])
