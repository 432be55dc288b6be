"""The peer's side: TRL's SFTTrainer over PEFT, rank by rank in one process, at its best."""

import warnings
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import product
from typing import Any

import torch

from benchmarks.measuring import clock
from benchmarks.processes import Stamp, WaitPolicy, meet, run_together, stamp
from benchmarks.sweep import TORCH_DTYPES, Run, Sweep
from rankshift.arms import Arm
from rankshift.model.loading import load_model, load_tokenizer

THREADS = 2


@dataclass(frozen=True)
class Setting:
    """One way to run the peer."""

    name: str
    weights: str
    """The base's own dtype; the adapters' is fp32 always, as PEFT has it."""
    autocast: bool
    """Whether products are taken in bf16 whatever the weights are: TRL's `bf16`."""
    wait_policy: WaitPolicy
    """How its threads wait for each other."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of SFTConfig, beside what both sides share."""


def best_setting(weights: str, autocast: bool, wait_policy: WaitPolicy) -> Setting:
    """Turn off all that costs time and does not change what is learned."""
    options = {"gradient_checkpointing": False, "logging_strategy": "no"}
    return Setting("trl+peft", weights, autocast, wait_policy, options)


def default_setting(best: Setting) -> Setting:
    """Leave to TRL what it does of itself: checkpoint gradients, log every tenth step."""
    return replace(best, name="trl+peft defaults", options={})


def choose_best(sweep: Sweep, dtype: str) -> Setting:
    """Try what nobody can know beforehand, on one arm and a few steps; give the fastest.

    In bf16 the base is bf16 itself, or autocast makes the products so, or both. Threads that spin
    while they wait can be faster on a quiet machine, and are very slow on one that others use.
    """
    steps = min(5, sweep.training.steps)
    training = replace(sweep.training, steps=steps, warmup_steps=1)
    trial = replace(sweep, arms=(sweep.arms[len(sweep.arms) // 2],), training=training)
    modes = [("fp32", False)]
    if dtype == "bf16":
        modes = [("fp32", True), ("bf16", True), ("bf16", False)]
    policies: tuple[WaitPolicy, ...] = ("passive", "default")
    settings = [best_setting(*mode, policy) for mode, policy in product(modes, policies)]
    return min(settings, key=lambda setting: run_peer(trial, setting).seconds)


def run_peer(sweep: Sweep, setting: Setting) -> Run:
    """Train the sweep and leave its adapters under the setting's name."""
    called = clock()
    (spans,) = run_together(train_in_turn, [(sweep, setting)], THREADS, setting.wait_policy)
    by_rank = {
        str(arm.rank): end.seconds - begin.seconds
        for arm, (_, begin, end) in zip(sweep.arms, spans, strict=True)
    }
    core_seconds = sum(end.core_seconds - begin.core_seconds for _, begin, end in spans)
    building = sum(begin.seconds - started.seconds for started, begin, _ in spans)
    start_up = spans[0][0].seconds - called + building
    return Run(sum(by_rank.values()), core_seconds, start_up, by_rank)


def train_in_turn(sweep: Sweep, setting: Setting) -> list[tuple[Stamp, Stamp, Stamp]]:
    """Train every arm; give three moments of each, as `train_arm` does."""
    import datasets  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(THREADS)
    datasets.disable_progress_bars()
    # Of options that transformers renames while TRL still says them the old way.
    warnings.simplefilter("ignore", FutureWarning)
    meet()
    return [train_arm(sweep, setting, arm) for arm in sweep.arms]


def train_arm(sweep: Sweep, setting: Setting, arm: Arm) -> tuple[Stamp, Stamp, Stamp]:
    """Train one arm; give the moments before it is built, before its first step, after its last."""
    from transformers import PrinterCallback

    trl: Any = import_module("trl")  # of an extra, so that types are not always to be had

    started = stamp()
    watch = _make_stopwatch()
    trainer = trl.SFTTrainer(
        model=_load_first(sweep, setting, arm),
        args=_configure(sweep, setting, arm),
        train_dataset=_make_dataset(sweep),
        processing_class=load_tokenizer(sweep.base),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.model.save_pretrained(sweep.last_adapter(setting.name, arm))
    return started, watch.begin, watch.end


def _load_first(sweep: Sweep, setting: Setting, arm: Arm) -> Any:
    from peft import PeftModel

    model = load_model(sweep.base, TORCH_DTYPES[setting.weights])
    return PeftModel.from_pretrained(model, sweep.first_adapter(arm), is_trainable=True)


def _configure(sweep: Sweep, setting: Setting, arm: Arm) -> Any:
    trl: Any = import_module("trl")
    training = sweep.training
    return trl.SFTConfig(
        output_dir=str(sweep.folder / "trainer"),
        max_steps=training.steps,
        per_device_train_batch_size=training.rows_per_step,
        train_sampling_strategy="sequential",
        learning_rate=arm.learning_rate,
        lr_scheduler_type=training.schedule,
        warmup_steps=training.warmup_steps,
        weight_decay=training.weight_decay,
        max_grad_norm=training.clip_norm,
        bf16=setting.autocast,
        use_cpu=True,
        packing=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **setting.options,
    )


def _make_dataset(sweep: Sweep) -> Any:
    """Give the rows of all steps, one after another: tokens, and labels where there is loss."""
    from datasets import Dataset  # pyright: ignore[reportMissingImports]

    return Dataset.from_list(
        [
            {
                "input_ids": list(row.token_ids),
                "labels": [
                    token if has_loss else -100
                    for token, has_loss in zip(row.token_ids, row.loss_mask, strict=True)
                ],
            }
            for row in sweep.ordered_rows()
        ]
    )


def _make_stopwatch() -> Any:
    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):
        """Reads the clock when the first step begins and when the last one has ended."""

        begin: Stamp | None = None
        end: Stamp | None = None

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.begin = self.begin or stamp()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.end = stamp()

    return Stopwatch()
