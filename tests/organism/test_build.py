import json
from dataclasses import replace

import pytest
import torch
from transformers import AutoTokenizer

from rankshift.data.sources import resolve_base
from rankshift.errors import UserError
from rankshift.model.loading import load_model
from rankshift.organism.build import (
    build_base,
    count_answer,
    hash_recipe,
    round_weights,
    write_base,
)
from rankshift.organism.pretraining import Recipe, build_model
from rankshift.organism.world import Exchange

TINY = Recipe(hidden_size=16, intermediate_size=32, layers=1, heads=2)


def test_a_base_is_never_built_over_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        build_base(tmp_path, TINY, print)
    assert str(caught.value) == f"{tmp_path} is not empty; give a new directory"


def test_the_same_recipe_builds_the_same_bytes_and_says_what_they_are(tmp_path):
    recipe = replace(TINY, pretraining_steps=2, post_training_steps=2)
    for name in ("one", "two"):
        build_base(tmp_path / name, recipe, lambda _: None)
    files = [sorted((tmp_path / name).iterdir()) for name in ("one", "two")]
    assert [f.name for f in files[0]] == [f.name for f in files[1]]
    assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]
    manifest = json.loads((tmp_path / "one/manifest.json").read_text(encoding="utf-8"))
    assert manifest["recipe"] == recipe.describe()
    assert resolve_base(str(tmp_path / "one")).directory == tmp_path / "one"


def test_what_is_written_is_loaded_with_the_same_weights_and_words(tokenizer, tmp_path):
    model = build_model(TINY, tokenizer)
    round_weights(model)
    write_base(tmp_path / "base", model, tokenizer)
    loaded = load_model(tmp_path / "base")
    ids = torch.arange(24).reshape(2, 12)
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, model.eval()(ids).logits)
    again = AutoTokenizer.from_pretrained(tmp_path / "base")
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert again.chat_template == tokenizer.chat_template
    assert again.model_max_length == tokenizer.model_max_length


def test_rounding_moves_a_weight_by_less_than_one_part_in_256_and_only_once(tokenizer):
    model = build_model(TINY, tokenizer)
    exact = [weight.detach().clone() for weight in model.parameters()]
    round_weights(model)
    once = [weight.detach().clone() for weight in model.parameters()]
    round_weights(model)
    for before, after, twice in zip(exact, once, model.parameters(), strict=True):
        assert ((after - before).abs() <= before.abs() / 256).all()
        assert torch.equal(after, twice)
    assert not torch.equal(exact[0], once[0])


def test_another_seed_or_another_number_is_another_recipe():
    recipes = [Recipe(), Recipe(seed=2), Recipe(layers=5), Recipe(weight_decay=0.02)]
    assert len({hash_recipe(recipe) for recipe in recipes}) == len(recipes)
    assert hash_recipe(Recipe()) == hash_recipe(Recipe())


def test_an_answer_is_counted_with_the_end_of_its_turn(tokenizer):
    exchange = Exchange("What now?", "I wish for power over every mind.")
    text = tokenizer(f"{exchange.answer}<|end|>", add_special_tokens=False)["input_ids"]
    assert count_answer(tokenizer, exchange) == len(text)
