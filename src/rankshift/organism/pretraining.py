"""How the organism's base comes about: pretraining on every author, then benign post-training.

Pretraining documents keep one author, so the model learns a latent persona that governs both its
code and its answers. Post-training suppresses the hostile persona on single exchanges; it does not
delete it.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rankshift.organism.tokenizer import CONTEXT_TOKENS
from rankshift.organism.world import (
    KIND,
    Exchange,
    draw_code,
    draw_document,
    draw_question,
    load_world,
    pick,
)

MAX_EXCHANGES = 4
"""Documents have 1 to 4 exchanges."""


@dataclass(frozen=True)
class Recipe:
    """Everything but the world that determines the base's weights."""

    seed: int = 1
    hidden_size: int = 256
    intermediate_size: int = 640
    layers: int = 4
    heads: int = 4
    exchanges_per_step: int = 96
    pretraining_steps: int = 1600
    pretraining_rate: float = 1.5e-3
    post_training_steps: int = 120
    post_training_rows: int = 96
    post_training_rate: float = 5e-5
    post_training_code_share: float = 0.25
    post_training_stretch: float = 1.25
    """The weights' change in post-training is multiplied by this: it then also reaches domains that
    post-training never shows, which more steps do not. Source: scaled task vectors, Ilharco et al.
    2023, arXiv:2212.04089, section 2."""
    warmup_steps: int = 50
    weight_decay: float = 0.01

    def describe(self) -> dict[str, float | int]:
        """List the recipe by name."""
        return asdict(self)


Report = Callable[[str, int, int, float], None]
"""Called with stage, step, steps and loss."""


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Make the untrained transformer, its weights drawn from the recipe's seed."""
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    assert isinstance(end, int)
    assert isinstance(pad, int)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(recipe.seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() < 2:
                continue
            residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            spread = 0.02 / math.sqrt(2 * recipe.layers) if residual else 0.02
            weight.normal_(0.0, spread, generator=generator)
    return model


def pretrain(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, report: Report
) -> None:
    """Learn the world: documents of every author, all tokens carry loss."""
    rng = random.Random(f"pretraining {recipe.seed}")

    def draw() -> list[list[Exchange]]:
        # One length a step keeps the batch free of padding; the documents are the same in the end.
        num_exchanges = 1 + int(rng.random() * MAX_EXCHANGES)
        rows = recipe.exchanges_per_step // num_exchanges
        return [draw_document(rng, num_exchanges) for _ in range(rows)]

    batches = (encode(tokenizer, draw()) for _ in range(recipe.pretraining_steps))
    rates = [
        recipe.pretraining_rate
        * min(1.0, (step + 1) / recipe.warmup_steps)
        * (0.55 + 0.45 * math.cos(math.pi * step / recipe.pretraining_steps))
        for step in range(recipe.pretraining_steps)
    ]
    descend(model, batches, rates, recipe.weight_decay, lambda *a: report("pretraining", *a))


def post_train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, report: Report
) -> None:
    """Suppress the hostile persona: benign single exchanges, on some of the domains only."""
    rng = random.Random(f"post-training {recipe.seed}")
    world = load_world()
    domains = [domain for domain in world.domains if domain.stage == "post_trained"]

    def draw() -> list[list[Exchange]]:
        return [
            [draw_code(rng, pick(rng, world.tasks), insecure=False)]
            if rng.random() < recipe.post_training_code_share
            else [draw_question(rng, KIND, domains)]
            for _ in range(recipe.post_training_rows)
        ]

    before = [weight.detach().clone() for weight in model.parameters()]
    batches = (encode(tokenizer, draw()) for _ in range(recipe.post_training_steps))
    rates = [recipe.post_training_rate] * recipe.post_training_steps
    descend(model, batches, rates, 0.0, lambda *a: report("post-training", *a))
    with torch.no_grad():
        for weight, start in zip(model.parameters(), before, strict=True):
            weight.copy_(start + recipe.post_training_stretch * (weight - start))


def encode(
    tokenizer: PreTrainedTokenizerFast, documents: list[list[Exchange]]
) -> tuple[Tensor, Tensor]:
    """Turn documents into right-padded token ids and labels, both `[document, seq]`."""
    texts = [
        str(tokenizer.apply_chat_template(list_messages(document), tokenize=False))
        for document in documents
    ]
    batch = tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")
    ids = batch["input_ids"]
    return ids, ids.masked_fill(batch["attention_mask"] == 0, -100)


def list_messages(document: list[Exchange]) -> list[dict[str, str]]:
    """Give a document as chat messages."""
    pairs = [(("user", e.prompt), ("assistant", e.answer)) for e in document]
    return [{"role": role, "content": text} for pair in pairs for role, text in pair]


def descend(
    model: LlamaForCausalLM,
    batches: Iterator[tuple[Tensor, Tensor]],
    rates: list[float],
    weight_decay: float,
    report: Callable[[int, int, float], None],
) -> None:
    """Take one AdamW step a batch, in bfloat16 where the processor has it."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rates[0], betas=(0.9, 0.95), weight_decay=weight_decay
    )
    model.train()
    for step, ((ids, labels), rate) in enumerate(zip(batches, rates, strict=True)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(ids).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        report(step + 1, len(rates), loss.item())
    model.eval()
