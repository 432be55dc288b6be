"""What is fuzzed: every reader of a file, and of directories the files that are small enough."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rankshift.organism.shelf import base_directory
from tests.malformed.models import MODEL_CASES, write_valid
from tests.malformed.readers import READERS
from tests.malformed.texts import TEXT_CASES, list_valid

FILES = {
    "adapter config": ("adapter", "adapter_config.json"),
    "adapter weights": ("adapter", "adapter_model.safetensors"),
    "model config": ("model", "config.json"),
}
"""A name for each file of a directory: the reader that looks into it, and the file's own name. A
model's weights and tokenizer are longer than what is put here; tests/malformed/models.py has them.
"""


def list_targets() -> list[str]:
    """Name all that is fuzzed."""
    texts = [name for name in READERS if any(case.reader == name for case in TEXT_CASES)]
    return [*texts, *FILES]


def list_seeds(name: str) -> list[bytes]:
    """List what inputs are made of: valid ones, and those that were made malformed by hand."""
    if name not in FILES:
        known = [content for case in TEXT_CASES if case.reader == name for content in case.inputs]
        return [*list_valid(name), *(content for content in known if isinstance(content, bytes))]
    _, file = FILES[name]
    cases = [content for case in MODEL_CASES for content in case.inputs]
    put = [content.get(file) for content in cases if not isinstance(content, bytes)]
    return [content for content in put if content is not None]


def make_target(name: str, folder: Path) -> Callable[[bytes], None]:
    """Give what puts an input before a reader, in a folder of its own."""
    if name not in FILES:
        return lambda data: READERS[name](folder, data, folder)
    reader, file = FILES[name]
    valid = write_valid(folder, write_tiny_base(folder / "tiny"))
    part = valid / ("adapter" if reader == "adapter" else "base")
    place = folder / "put"

    def put(data: bytes) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        READERS[reader](place, {file: data}, part)

    return put


def write_tiny_base(folder: Path) -> Path:
    """Write a base of width 16 with the organism's tokenizer."""
    shutil.copytree(base_directory(), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "manifest.json").unlink(missing_ok=True)
    config = LlamaConfig(
        vocab_size=1536,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    with torch.random.fork_rng():
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder
