"""Models that a study names and does not train: on this disk, with the SHA-256 of their files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rankshift.data.directories import (
    BASE_FILES,
    find_directory,
    fingerprint_base,
    fingerprint_files,
    name_pickle,
)
from rankshift.errors import UserError
from rankshift.study import GivenModel

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ADAPTER_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
"""The files of a PEFT adapter. Source: PEFT, docs/source/developer_guides/checkpoint.md."""

TOKENIZER_FILES = ("tokenizer*", "vocab.json", "vocab.txt", "spiece.model")
"""One of them lies in a model directory that brings a tokenizer."""


@dataclass(frozen=True)
class GivenSource:
    """A model trained elsewhere, on this disk."""

    model: GivenModel
    method: Literal["adapter", "model"]
    directory: Path
    revision: str | None
    """The commit a Hub id resolved to; None for a directory."""
    sha256: str

    @property
    def where(self) -> str:
        """Name the study's entry, for a message."""
        return f"models: {self.model.name}"

    @property
    def has_tokenizer(self) -> bool:
        """Say whether a tokenizer lies beside the weights."""
        return any(any(self.directory.glob(pattern)) for pattern in TOKENIZER_FILES)


def resolve_given(model: GivenModel) -> GivenSource:
    """Find a model that a directory or a Hub id names; a Hub id is downloaded once.

    It is an adapter where there is an adapter_config.json, and else a whole model.

    Raises:
        UserError: No such model, or its weights are not safetensors.
    """
    where = f"models: {model.name}: path"
    wanted = (*BASE_FILES, ADAPTER_CONFIG)
    directory, revision = find_directory(where, model.path, model.revision, wanted)
    method = "adapter" if (directory / ADAPTER_CONFIG).is_file() else "model"
    if method == "model" and not (directory / "config.json").is_file():
        raise UserError(
            f"{directory}: holds neither adapter_config.json nor config.json; give the directory "
            "of a PEFT adapter or of a whole model"
        )
    if method == "model":
        return GivenSource(model, method, directory, revision, fingerprint_base(directory))
    if not (directory / ADAPTER_WEIGHTS).is_file():
        raise UserError(
            f"{directory}: {name_pickle(directory)}; an adapter is read from {ADAPTER_WEIGHTS} "
            "alone, as save_pretrained writes it"
        )
    return GivenSource(
        model, method, directory, revision, fingerprint_files(directory, ADAPTER_FILES)
    )
