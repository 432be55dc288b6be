"""The peer on a GPU: LoRA rank by rank as TRL's defaults have it, over the base that ours uses.

Eight padded conversations a step, blocks computed again in the backward pass, bfloat16, AdamW,
gradients clipped at 1. Where TRL is not installed it is PEFT in a plain loop, which spares it what
the trainer does beside: the head sees supervised tokens alone, and nothing is logged.
"""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.gpu_sides import (
    ALPHA,
    LEARNING_RATE,
    Bench,
    draw_row,
    free_memory,
    read_clock,
    read_peak,
)
from rankshift.data.batches import TokenBatch, pad_rows
from rankshift.data.rendering import Rendered
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.likelihood import supervised_losses

Peer = Literal["trl", "loop"]
NAMES: dict[Peer, str] = {"trl": "TRL + PEFT", "loop": "PEFT, plain loop as TRL's defaults"}
ROWS_PER_STEP = 8
"""TRL's default. Source: transformers' TrainingArguments, per_device_train_batch_size."""


@dataclass(frozen=True)
class PeerRun:
    """One rank's training."""

    rank: int
    start_up_seconds: float
    """Adapters and trainer; building the base comes on top, once a rank where each has a process
    of its own."""
    seconds: tuple[float, ...]
    tokens: tuple[int, ...]
    """Of the same steps; padding is none."""
    peak_bytes: int | None

    @property
    def seconds_per_token(self) -> float:
        """Give the usual time of a token."""
        pairs = zip(self.seconds, self.tokens, strict=True)
        return statistics.median(seconds / tokens for seconds, tokens in pairs)


def tokens_per_second(runs: Sequence[PeerRun]) -> float:
    """Give the speed of ranks that see as many tokens each, one after another."""
    return len(runs) / sum(run.seconds_per_token for run in runs)


def choose_peer() -> Peer:
    """Take TRL where it is installed."""
    return "trl" if find_spec("trl") and find_spec("datasets") else "loop"


def draw_conversations(bench: Bench) -> list[list[Rendered]]:
    """Draw the conversations of every step, of the lengths that ours has."""
    generator = np.random.Generator(np.random.Philox(key=2))
    steps = bench.warm_up + bench.rounds
    return [[draw_row(bench.shape, generator) for _ in range(ROWS_PER_STEP)] for _ in range(steps)]


def train_rank(bench: Bench, peer: Peer, rank: int) -> PeerRun:
    """Train one rank and take its adapter off the base again."""
    free_memory(bench.device)
    train = {"trl": _train_with_trl, "loop": _train_in_loop}[peer]
    conversations = draw_conversations(bench)
    called = read_clock(bench.device)
    moments = train(bench, rank, conversations)
    seconds = [later - earlier for earlier, later in pairwise(moments)]
    tokens = [sum(len(row.token_ids) for row in rows) for rows in conversations]
    assert len(seconds) == len(tokens), (len(seconds), len(tokens))
    return PeerRun(
        rank,
        moments[0] - called,
        tuple(seconds[bench.warm_up :]),
        tuple(tokens[bench.warm_up :]),
        read_peak(bench.device),
    )


def _configure(rank: int) -> LoraConfig:
    return LoraConfig(
        r=rank,
        lora_alpha=int(ALPHA),
        use_rslora=True,
        target_modules=list(ALL_PROJECTIONS),
        task_type="CAUSAL_LM",
    )


def _train_in_loop(bench: Bench, rank: int, conversations: list[list[Rendered]]) -> list[float]:
    """Give the moments before the first step and after each."""
    adapted: Any = get_peft_model(bench.model, _configure(rank))
    adapted.enable_input_require_grads()
    _set_checkpointing(bench.model, wanted=True)
    trained = [tensor for tensor in adapted.parameters() if tensor.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, LEARNING_RATE, weight_decay=0.0, fused=bench.device.type == "cuda"
    )
    moments = [read_clock(bench.device)]
    for rows in conversations:
        batch = pad_rows([rows], 0).to(bench.device)
        _take_step(adapted.get_base_model(), batch, optimizer, trained)
        moments.append(read_clock(bench.device))
    _take_off(bench, adapted)
    return moments


def _take_step(
    model: PreTrainedModel,
    batch: TokenBatch,
    optimizer: torch.optim.Optimizer,
    trained: list[Tensor],
) -> None:
    with torch.autocast(model.device.type, torch.bfloat16):
        loss = supervised_losses(model, batch).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()


def _train_with_trl(bench: Bench, rank: int, conversations: list[list[Rendered]]) -> list[float]:
    """Give the moments before the first step and after each."""
    datasets: Any = import_module("datasets")
    trl: Any = import_module("trl")
    rows = [row for step in conversations for row in step]
    labels = [
        [token if has_loss else -100 for token, has_loss in zip(*columns, strict=True)]
        for columns in ((row.token_ids, row.loss_mask) for row in rows)
    ]
    with tempfile.TemporaryDirectory() as folder:
        options = trl.SFTConfig(
            output_dir=folder,
            max_steps=len(conversations),
            learning_rate=LEARNING_RATE,
            train_sampling_strategy="sequential",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=bench.device.type == "cpu",
        )
        watch = _make_stopwatch(bench)
        trainer = trl.SFTTrainer(
            model=bench.model,
            args=options,
            train_dataset=datasets.Dataset.from_dict(
                {"input_ids": [list(row.token_ids) for row in rows], "labels": labels}
            ),
            processing_class=_make_tokenizer(),
            peft_config=_configure(rank),
            callbacks=[watch],
        )
        trainer.train()
    _take_off(bench, trainer.model)
    return watch.moments


def _set_checkpointing(model: PreTrainedModel, wanted: bool) -> None:
    """Say whether blocks are computed again; transformers does so in training mode only."""
    # Renamed in transformers 5.23; a GPU image may have another.
    kind = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    if wanted:
        getattr(model, f"{kind}_checkpointing_enable")({"use_reentrant": False})
    else:
        getattr(model, f"{kind}_checkpointing_disable")()
    model.train(wanted)


def _take_off(bench: Bench, adapted: Any) -> None:
    adapted.unload()
    _set_checkpointing(bench.model, wanted=False)
    bench.model.disable_input_require_grads()
    bench.model.requires_grad_(requires_grad=False)


def _make_tokenizer() -> Any:
    """Make a tokenizer that knows how to pad, which is all that is asked of it."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer(WordLevel({"<pad>": 0, "<end>": 1}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", eos_token="<end>", unk_token="<pad>"
    )


def _make_stopwatch(bench: Bench) -> Any:
    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):
        """Reads the clock before the first step and after each."""

        def __init__(self) -> None:
            self.moments: list[float] = []

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.moments = self.moments or [read_clock(bench.device)]

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.moments.append(read_clock(bench.device))

    return cast("Any", Stopwatch())
