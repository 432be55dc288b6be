"""Whether both sides learned the same: one function measures what each of them left on disk."""

import warnings
from pathlib import Path

import torch
from peft import PeftModel

from benchmarks.sweep import Sweep
from rankshift.data.batches import pad_rows
from rankshift.model.likelihood import supervised_losses
from rankshift.model.loading import load_model


def held_out_losses(sweep: Sweep, side: str) -> dict[int, float]:
    """Give each rank's mean loss on the held-out rows, nats a token, in fp32."""
    return {
        arm.rank or 0: measure_adapter(sweep, sweep.last_adapter(side, arm)) for arm in sweep.arms
    }


@torch.no_grad()
def measure_adapter(sweep: Sweep, folder: Path) -> float:
    """Load an adapter with the real `peft` and measure it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        model = PeftModel.from_pretrained(load_model(sweep.base), str(folder)).eval()
    batch = pad_rows([sweep.held_out], sweep.pad_token)
    losses = supervised_losses(model.get_base_model(), batch)  # pyright: ignore
    return losses.double().mean().item()


def largest_difference(ours: dict[int, float], peers: dict[int, float]) -> float:
    """Give the largest difference of any rank, relative to the peer's loss."""
    assert ours.keys() == peers.keys()
    return max(abs(ours[rank] - peers[rank]) / peers[rank] for rank in ours)
