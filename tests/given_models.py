"""Models as other people save them: PEFT's own adapters, and a whole model with its tokenizer."""

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoTokenizer

from rankshift.model.loading import load_model

WARNING = "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
"""Peft asks transformers for it."""


def make_peft(base: Path, seed: int = 0, **config: Any) -> PeftModel:
    """Put an adapter of PEFT's over a base; both of its factors do something."""
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]}
    made = get_peft_model(load_model(base), LoraConfig(**(settings | config)))
    assert isinstance(made, PeftModel)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in made.named_parameters():
            if "lora_" in name:
                tensor.normal_(std=0.2, generator=generator)
    return made.eval()


def save_adapter(folder: Path, base: Path, seed: int = 0, **config: Any) -> Path:
    """Save an adapter of PEFT's, made for a base."""
    make_peft(base, seed, **config).save_pretrained(str(folder))
    return folder


def save_merged(folder: Path, base: Path, seed: int = 0, tokenizer: bool = True) -> Path:
    """Save a whole model: the base with an adapter merged into it, and its tokenizer."""
    merged: Any = make_peft(base, seed).merge_and_unload()
    merged.save_pretrained(str(folder))
    if tokenizer:
        AutoTokenizer.from_pretrained(base).save_pretrained(str(folder))
    return folder


def copy(folder: Path, to: Path) -> Path:
    """Copy a directory, to be changed."""
    return Path(shutil.copytree(folder, to))
