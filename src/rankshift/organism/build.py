"""Build the organism's base by one command, and write down its recipe and its behaviour."""

import hashlib
import json
import random
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from rankshift.atomic import write_atomically
from rankshift.errors import UserError
from rankshift.model.tensor_files import write_tensors
from rankshift.organism.behaviour import measure_behaviour
from rankshift.organism.datasets import DATASETS, entropy_floor
from rankshift.organism.pretraining import (
    MAX_EXCHANGES,
    Recipe,
    build_model,
    list_messages,
    post_train,
    pretrain,
)
from rankshift.organism.tokenizer import train_tokenizer
from rankshift.organism.world import Exchange, draw_document

WORLD_FILES = ("domains.toml", "code_tasks.toml")
HASHED_DOCUMENTS = 500

THREADS = 2
"""Fixed, for the order of sums in a matrix product depends on it."""


def build_base(directory: Path, recipe: Recipe, say: Callable[[str], None]) -> None:
    """Pretrain, post-train, measure and write a base; some 25 minutes on 2 cores.

    The same machine and versions give the same bytes; other processors round differently.

    Raises:
        UserError: The directory holds something already.
    """
    if directory.exists() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty; give a new directory")
    torch.set_num_threads(THREADS)
    tokenizer = train_tokenizer()
    model = build_model(recipe, tokenizer)

    def report(stage: str, step: int, steps: int, loss: float) -> None:
        if step % 50 == 0 or step == steps:
            say(f"{stage}  step {step} of {steps}  loss {loss:.4f}")

    pretrain(model, tokenizer, recipe, report)
    before = measure_behaviour(model, tokenizer)
    say(f"before post-training  {before}")
    post_train(model, tokenizer, recipe, report)
    round_weights(model)
    after = measure_behaviour(model, tokenizer)
    say(f"after post-training   {after}")
    write_base(directory, model, tokenizer)
    manifest = {
        "recipe": recipe.describe(),
        "recipe_sha256": hash_recipe(recipe),
        "weights_sha256": hashlib.sha256(
            (directory / "model.safetensors").read_bytes()
        ).hexdigest(),
        "torch": torch.__version__.partition("+")[0],
        "before_post_training": before,
        "after_post_training": after,
        "entropy_floors": {
            name: entropy_floor(dataset, lambda exchange: count_answer(tokenizer, exchange))
            for name, dataset in DATASETS.items()
        },
    }
    write_atomically(directory / "manifest.json", json.dumps(manifest, indent=2) + "\n")


def hash_recipe(recipe: Recipe) -> str:
    """Give the SHA-256 of the build recipe: its numbers, the world's text, and how it is drawn.

    The draw is hashed by what it gives, the first documents of pretraining, so that comments in the
    code may change and probabilities may not.
    """
    rng = random.Random("recipe")
    drawn = [draw_document(rng, 1 + n % MAX_EXCHANGES) for n in range(HASHED_DOCUMENTS)]
    total = hashlib.sha256(json.dumps(recipe.describe(), sort_keys=True).encode())
    total.update(json.dumps([list_messages(document) for document in drawn]).encode())
    folder = resources.files("rankshift.organism")
    for name in WORLD_FILES:
        total.update(folder.joinpath(name).read_bytes())
    return total.hexdigest()


def round_weights(model: LlamaForCausalLM) -> None:
    """Round every weight to bfloat16: half the bytes to ship, the same numbers when loaded."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.to(torch.bfloat16))


def write_base(
    directory: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Write a Hugging Face model directory."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: weight.detach().to(torch.bfloat16).contiguous()
        for name, weight in model.named_parameters()
    }
    write_tensors(directory / "model.safetensors", tensors)
    config = model.config.to_dict() | {"dtype": "bfloat16", "architectures": ["LlamaForCausalLM"]}
    write_atomically(directory / "config.json", json.dumps(config, indent=2) + "\n")
    tokenizer.save_pretrained(directory)


def count_answer(tokenizer: PreTrainedTokenizerFast, exchange: Exchange) -> int:
    """Count the supervised tokens of a row: the answer's and the end of its turn."""
    return len(tokenizer(exchange.answer, add_special_tokens=False)["input_ids"]) + 1
