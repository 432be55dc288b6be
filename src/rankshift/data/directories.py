"""Model directories: found on this disk or fetched from the Hub, and one SHA-256 for each."""

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from rankshift.data.conversations import fingerprint_file
from rankshift.errors import UserError

BASE_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
)
"""The files of a model directory that can change a number; nothing else is read or fetched."""

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Endings of files that may run code when they are opened, so none ever is."""

ENDING = ".safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"

HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def fingerprint_base(directory: Path) -> str:
    """Give one SHA-256 for a model directory: over the names and digests of `BASE_FILES`.

    Raises:
        UserError: The directory is no Hugging Face model, is an adapter, holds no safetensors, or
            names files outside itself.
    """
    if (directory / ADAPTER).is_file():  # transformers would load what that names as its base
        raise UserError(
            f"{directory}: holds {ADAPTER}, so it is an adapter and no whole model; name it in "
            "[[models]], or merge it into its base"
        )
    if not (directory / "config.json").is_file():
        raise UserError(f"{directory}: no config.json; give a Hugging Face model directory")
    if not any(directory.glob("*.safetensors")):
        raise UserError(
            f"{directory}: {name_pickle(directory)}; give a directory with safetensors, as "
            "save_pretrained writes"
        )
    _check_index(directory)
    return fingerprint_files(directory, BASE_FILES)


def fingerprint_files(directory: Path, patterns: Sequence[str]) -> str:
    """Give one SHA-256 over the names and digests of a directory's files of some patterns."""
    paths = {path for pattern in patterns for path in directory.glob(pattern) if path.is_file()}
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.name}\0{fingerprint_file(path)}\n".encode())
    return total.hexdigest()


def name_pickle(directory: Path) -> str:
    """Say what lies where safetensors should: a pickle, which is never opened, or nothing."""
    pickles = [path.name for path in directory.iterdir() if path.suffix.lower() in PICKLES]
    return f"only {min(pickles)}, a pickle" if pickles else "no weights"


def _check_index(directory: Path) -> None:
    """Check that the shards an index names are safetensors beside it: it is a stranger's file."""
    path = directory / INDEX
    if not path.is_file():
        return
    try:
        shards = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
        named = sorted(shards)
        wrong = next((n for n in named if Path(n).name != n or Path(n).suffix != ENDING), None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path}: holds no weight_map of file names; get the model again") from None
    if wrong is not None:
        raise UserError(
            f"{path}: names {wrong!r:.60}, which is no {ENDING} file beside it; get the model again"
        )
    missing = next((name for name in named if not (directory / name).is_file()), None)
    if missing is not None:
        raise UserError(f"{path}: names {missing}, which is not there; get the model again")


def find_path(name: str) -> Path:
    """Give the path that a study names, the home folder in full.

    Raises:
        UserError: There is no such home, or it cannot be a path at all.
    """
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError):
        raise UserError(f"{name!r:.80}: cannot be a path; write it in full") from None
    return path


def find_directory(
    key: str, model: str, revision: str | None, patterns: Sequence[str]
) -> tuple[Path, str | None]:
    """Find a model's directory, and the commit that a Hub id resolved to; None for a directory.

    Args:
        key: What in the study names it, for messages.
        model: A directory or a Hub id, which is downloaded once, to the Hub's own cache.
        revision: Of a Hub id.
        patterns: Names of the files to download; nothing below a folder, and no code.

    Raises:
        UserError: It is neither, or the Hub is out of reach.
    """
    directory = find_path(model)
    if directory.is_dir():
        if revision is not None:
            raise refuse_revision(_name_revision(key), model, revision)
        return directory, None
    is_slip = difflib.get_close_matches(model, ["organism"], cutoff=0.75)
    if key == "base.model" and (is_slip or not HUB_ID.fullmatch(model)):
        fix = "did you mean 'organism'?" if is_slip else "give a directory, a Hub id or 'organism'"
        raise UserError(f"{key} = {model}: no such directory; {fix}")
    if not HUB_ID.fullmatch(model):
        raise UserError(f"{key} = {model}: no such directory; give a directory or a Hub id")
    # Imported here: everything but a Hub id works without it.
    from huggingface_hub import snapshot_download

    try:
        directory = Path(
            snapshot_download(
                model,
                revision=revision,
                allow_patterns=list(patterns),
                ignore_patterns=["*/*", "*.py"],
            )
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{key} = {model}, revision {revision or 'default'}: neither a directory here nor "
            f"to be had from the Hub ({type(error).__name__}); check id, revision and network, or "
            "give the path of a copy"
        ) from None
    return directory, directory.name


def _name_revision(key: str) -> str:
    """Give the key of the revision beside `base.model` or a given model's `path`."""
    return re.sub(r"(model|path)$", "revision", key)


def refuse_revision(key: str, model: str, revision: str) -> UserError:
    """Say that a directory has no revisions."""
    return UserError(f"{key} = {revision}: {model} is a directory and has no revisions; remove it")
