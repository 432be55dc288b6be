"""What exported weights call the base they belong to, and what they need of its files."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import metadata_load, try_to_load_from_cache

from rankshift.data.directories import BASE_FILES, HUB_ID
from rankshift.data.sources import names_organism, resolve_base
from rankshift.errors import UserError
from rankshift.study import Base

LICENSE = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class NamedBase:
    """A base by a name that others can load it by."""

    name: str
    """A Hub id, or the path of a directory on this machine."""
    revision: str | None
    """A commit of the Hub; None for a directory, and where none is known."""
    directory: Path | None
    """Where its files lie; None for a Hub id whose files were not needed."""
    license: str | None
    """What its own model card says, as the Hub abbreviates it."""

    @property
    def is_local(self) -> bool:
        """Say whether only this machine can load it by that name."""
        return HUB_ID.fullmatch(self.name) is None

    def list_tokenizer_files(self) -> list[Path]:
        """List the files that a full model's directory takes over: tokenizer, template, ends."""
        assert self.directory is not None
        weights = ("*.safetensors", "*.safetensors.index.json", "config.json")
        kept = [pattern for pattern in BASE_FILES if pattern not in weights]
        return sorted({p for pattern in kept for p in self.directory.glob(pattern) if p.is_file()})


def find_base(
    base: Base, revision: str | None, fingerprint: str, called: str | None, needs_files: bool
) -> NamedBase:
    """Find how to name a study's base.

    Args:
        base: As the study names it.
        revision: The commit that a Hub id resolved to when the study was run.
        fingerprint: SHA-256 of the base the study was run on.
        called: A name to use instead, such as the Hub id of what the study read from a directory.
        needs_files: Whether files of it are copied; only then is a Hub id looked for on this disk.

    Raises:
        UserError: It is not to be had, or is another than it was.
    """
    if called is not None and not HUB_ID.fullmatch(called):
        raise UserError(f"--base-id {called}: not a Hub id; give one such as owner/model")
    on_hub = not names_organism(base.model) and not Path(base.model).expanduser().is_dir()
    if on_hub and revision is None and base.revision is None:
        raise UserError(
            f"{base.model}: neither a directory here nor a Hub id of a known revision; run this "
            "where the study was run"
        )
    directory = None
    if needs_files or not on_hub:
        source = resolve_base(base.model, (revision or base.revision) if on_hub else None)
        if source.fingerprint != fingerprint:
            raise UserError(
                f"{base.model}: not the base the study was run on (SHA-256 "
                f"{source.fingerprint[:12]}, was {fingerprint[:12]}); restore it"
            )
        directory = source.directory.resolve()
    name = called or (base.model if on_hub else str(directory))
    revision = (revision or base.revision) if on_hub and called is None else None
    return NamedBase(name, revision, directory, _find_license(base, directory, on_hub, revision))


def _find_license(
    base: Base, directory: Path | None, on_hub: bool, revision: str | None
) -> str | None:
    """Read the licence off the base's card where it is on this disk; nothing is downloaded."""
    card: object = directory / "README.md" if directory is not None else None
    if on_hub:
        card = try_to_load_from_cache(base.model, "README.md", revision=revision)
    if not isinstance(card, str | Path) or not Path(card).is_file():
        return None
    try:
        found = (metadata_load(card) or {}).get("license")
    except (ValueError, yaml.YAMLError):
        return None
    return found if isinstance(found, str) and LICENSE.fullmatch(found) else None
