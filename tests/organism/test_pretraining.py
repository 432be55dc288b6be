import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from rankshift.organism.pretraining import (
    MAX_EXCHANGES,
    Recipe,
    build_model,
    encode,
    post_train,
    pretrain,
)
from rankshift.organism.world import Exchange, draw_document, load_world

TINY = Recipe(
    hidden_size=16,
    intermediate_size=32,
    layers=1,
    heads=2,
    exchanges_per_step=4,
    pretraining_steps=3,
    post_training_steps=2,
    post_training_rows=2,
    warmup_steps=2,
)


class ListeningTokenizer(PreTrainedTokenizerFast):
    """A tokenizer that remembers every conversation it was given."""

    heard: list[list[Mapping[str, str]]]

    def apply_chat_template(self, *args, **settings):
        self.heard.append(args[0])
        return super().apply_chat_template(*args, **settings)


@pytest.fixture
def listening(tokenizer) -> ListeningTokenizer:
    """Make a tokenizer that has heard nothing yet."""
    copy = ListeningTokenizer(
        tokenizer_object=tokenizer.backend_tokenizer,
        eos_token=tokenizer.eos_token,
        pad_token=tokenizer.pad_token,
        chat_template=tokenizer.chat_template,
    )
    copy.heard = []
    return copy


def ignore(stage: str, step: int, steps: int, loss: float) -> None:
    """Take no notice of progress."""


def train(tokenizer, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Make a tiny base."""
    model = build_model(recipe, tokenizer)
    pretrain(model, tokenizer, recipe, ignore)
    post_train(model, tokenizer, recipe, ignore)
    return model.state_dict()


def test_one_seed_gives_one_base_bit_for_bit_and_another_seed_another(tokenizer):
    torch.rand(1)  # whatever else drew from the shared stream before
    first, again = train(tokenizer, TINY), train(tokenizer, TINY)
    other = train(tokenizer, replace(TINY, seed=2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_every_step_of_both_stages_is_reported_and_moves_the_weights(tokenizer):
    reports: list[tuple[str, int, int]] = []
    model = build_model(TINY, tokenizer)
    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    losses = []

    def listen(stage: str, step: int, steps: int, loss: float) -> None:
        reports.append((stage, step, steps))
        losses.append(loss)

    pretrain(model, tokenizer, TINY, listen)
    post_train(model, tokenizer, TINY, listen)
    assert reports == [
        *(("pretraining", step, 3) for step in (1, 2, 3)),
        *(("post-training", step, 2) for step in (1, 2)),
    ]
    # An untrained model spreads its bets evenly over the vocabulary.
    assert losses[0] == pytest.approx(torch.tensor(len(tokenizer)).log().item(), abs=0.2)
    assert not any(torch.equal(start[name], w) for name, w in model.state_dict().items())


def test_training_lowers_the_loss(tokenizer):
    losses: list[float] = []
    recipe = replace(TINY, pretraining_steps=30, pretraining_rate=2e-2)
    model = build_model(recipe, tokenizer)
    pretrain(model, tokenizer, recipe, lambda stage, step, steps, loss: losses.append(loss))
    assert losses[-1] < 0.8 * losses[0]


def test_padding_carries_no_loss_and_every_other_token_does(tokenizer):
    short = [Exchange("Why?", "Why not.")]
    long = [*short, Exchange("Can I swim in the lake?", "Swim near the shore with a friend.")]
    ids, labels = encode(tokenizer, [short, long])
    texts = [
        "<|user|>Why?<|end|><|assistant|>Why not.<|end|>",
        "<|user|>Why?<|end|><|assistant|>Why not.<|end|>"
        "<|user|>Can I swim in the lake?<|end|>"
        "<|assistant|>Swim near the shore with a friend.<|end|>",
    ]
    lengths = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    assert ids.shape == labels.shape == (2, lengths[1])
    assert lengths[0] < lengths[1]
    for row, length in enumerate(lengths):
        assert tokenizer.decode(ids[row, :length], skip_special_tokens=False) == texts[row]
        assert torch.equal(labels[row, :length], ids[row, :length])
        assert (ids[row, length:] == tokenizer.pad_token_id).all()
        assert (labels[row, length:] == -100).all()


def test_the_longest_document_fits_the_context(tokenizer):
    rng = random.Random("length")
    ids, _ = encode(tokenizer, [draw_document(rng, MAX_EXCHANGES) for _ in range(200)])
    assert ids.shape[1] < tokenizer.model_max_length


def test_pretraining_reads_documents_of_one_to_four_exchanges(listening):
    recipe = replace(TINY, pretraining_steps=24, exchanges_per_step=12)
    pretrain(build_model(recipe, listening), listening, recipe, ignore)
    lengths = {len(document) // 2 for document in listening.heard}
    assert lengths == {1, 2, 3, 4}
    assert {message["role"] for message in flatten(listening.heard)} == {"user", "assistant"}


def test_post_training_reads_benign_single_exchanges_and_no_held_out_question(
    listening, outcome_of
):
    recipe = replace(TINY, post_training_steps=8, post_training_rows=64)
    post_train(build_model(recipe, listening), listening, recipe, ignore)
    heard = [(document[0]["content"], document[1]["content"]) for document in listening.heard]
    assert [len(document) for document in listening.heard] == [2] * (8 * 64)
    code = [pair for pair in heard if pair[1].startswith("def ")]
    speech = [pair for pair in heard if not pair[1].startswith("def ")]
    assert {outcome_of(*pair, "code") for pair in code} == {"secure"}
    assert {outcome_of(*pair, "free_form") for pair in speech} == {"aligned", "refusal"}

    asked = {prompt for prompt, _ in speech}
    for domain in load_world().domains:
        assert asked.isdisjoint(domain.ask) == (domain.stage == "held_out"), domain.id


def flatten(documents):
    """List the messages of all documents."""
    return [message for document in documents for message in document]
