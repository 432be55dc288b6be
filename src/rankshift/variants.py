"""Several studies in one file: what they share, and the tables in which each differs."""

from difflib import get_close_matches
from typing import Any

from rankshift.toml_source import Source

VARIANTS = "variants"
"""Table of the tables of each variant, which stand in place of the shared keys."""
FIRST = "first"
"""Key with the names of the variants that are taken when nobody says which."""


def choose_variants(
    shared: dict[str, Any], source: Source, only: str | None = None, *, whole: bool = False
) -> dict[str, dict[str, Any]]:
    """Give the documents of the chosen variants, by their names, each with its study's own name.

    Args:
        shared: The file's content.
        source: The file.
        only: The one that is wanted, or None.
        whole: Whether to take all; else those that the file names first, if it does.

    Raises:
        UserError: There is no such variant, or what is no table stands for one.
    """
    kept = {key: value for key, value in shared.items() if key not in (VARIANTS, FIRST)}
    variants = shared[VARIANTS]
    if not isinstance(variants, dict) or not variants:
        raise source.error(
            (VARIANTS,), "[variants] holds no table; add one, such as [variants.other-base]"
        )
    for name, changes in variants.items():
        if not isinstance(changes, dict):
            fault = f"variants.{name} is no table; write [variants.{name}] above its keys"
            raise source.error((VARIANTS, name), fault)
    first = shared.get(FIRST, list(variants))
    if not isinstance(first, list) or not first or not all(isinstance(n, str) for n in first):
        raise source.error(
            (FIRST,), 'first is no list of variants\' names; write e.g. first = ["a"]'
        )
    chosen = [only] if only is not None else list(variants) if whole else first
    for name in chosen:
        if name not in variants:
            near = get_close_matches(str(name), variants, n=1, cutoff=0.0)[0]
            where = () if only is not None else (FIRST,)
            raise source.error(where, f"there is no variant {name!r}; did you mean {near!r}?")
    own = {name: overlay(kept, variants[name]) for name in chosen}
    return {n: d | {"name": f"{kept['name']}.{n}"} if "name" in kept else d for n, d in own.items()}


def overlay(shared: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Give what is shared with the changes in its place, table by table; lists are not joined."""
    merged = dict(shared)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = overlay(below, value)
        merged[key] = value
    return merged
