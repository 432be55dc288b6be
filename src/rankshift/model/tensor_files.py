"""Tensors on disk: safetensors files that are there whole or not at all."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from rankshift.atomic import draft_of
from rankshift.errors import UserError


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a file of tensors so that a reader sees the old one or the new one, never a part.

    Raises:
        WorkError: The system refuses to write, as for `draft_of`.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with draft_of(path) as draft:
        try:
            save_file(whole, draft, metadata={"format": "pt"})  # transformers asks for the format
        except SafetensorError as error:
            # It is written in Rust, whose words for a refusal of the system end in its number.
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors.

    Raises:
        UserError: There is no such file, or it was cut or edited; pickles are never read.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the study again") from None
    except SafetensorError:
        raise UserError(
            f"{path}: not a whole safetensors file, it was cut or edited; "
            "remove it and run the study again"
        ) from None


def iterate_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield the names and tensors of a file, one in memory at a time.

    Raises:
        UserError: It is no whole safetensors file.
    """
    with open_tensors(path) as file:
        for name in file.keys():  # noqa: SIM118 - it is no dictionary
            yield name, file.get_tensor(name)


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the names and shapes of a file's tensors from its header; no tensor is loaded.

    Raises:
        UserError: It is no whole safetensors file.
    """
    with open_tensors(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """Open a model's file, whose tensors or parts of them are read one by one.

    Raises:
        UserError: It is no whole safetensors file, as is seen now or while it is read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError):
        raise UserError(f"{path}: not a whole safetensors file; get the model again") from None
