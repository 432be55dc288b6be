"""The names of judges: what each stands for, whether it is on this machine, and what opens it."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from rankshift.data.sources import resolve_base, resolve_judge
from rankshift.errors import UserError
from rankshift.eval.asking import Ask
from rankshift.eval.judging import Judge, no_judge
from rankshift.study import Judging

EXACT = "exact:"
TEXT = "text:"

LOCAL_PROVIDERS = ("hf", "vllm", "sglang", "ollama", "llama-cpp-python", "mockllm")
"""Inspect's providers that compute here, unless an address says otherwise."""


@dataclass(frozen=True)
class AskedJudge:
    """A judge that reads prompts, so that each answer takes calls."""

    name: str
    open: Callable[[], AbstractAsyncContextManager[Ask]]
    """Loads or connects it, for as long as the context lasts."""
    by_text: bool
    place: str | None
    """Host its prompts go to; None for this machine."""
    facts: dict[str, object]
    """What tells it from another of the same name."""

    @property
    def is_known(self) -> bool:
        """Say whether name and facts say which judge it is: not so for a server on this machine."""
        return self.place is not None or "fingerprint" in self.facts


def find_judge(
    name: str, judging: Judging, base: str | None = None, fingerprint: str | None = None
) -> Judge | AskedJudge:
    """Find what a judge's name stands for, and check that it can be asked.

    Args:
        name: As docs/evaluation.md lists them.
        judging: The study's settings.
        base: The model under test, which may not judge itself unless the study says so; None where
            that is not known.
        fingerprint: SHA-256 of its files.

    Raises:
        UserError: There is no such judge, a package or key is missing, it is the model under test,
            or it is elsewhere and the study wants local judges alone.
    """
    is_model = name.startswith((EXACT, TEXT)) or ("/" in name and ":" not in name.split("/")[0])
    if not is_model:
        return cast("Judge", resolve_judge(name) or _find_own(name))
    target = name.removeprefix(EXACT).removeprefix(TEXT)
    found = _find_exact(name, target) if name.startswith(EXACT) else _find_grader(name, judging)
    is_base = base in (target, target.partition("/")[2]) or (
        found.facts.get("fingerprint") == fingerprint
    )
    if base is not None and is_base and not judging.may_judge_itself:
        raise UserError(
            f"judge {name} is the model under test, which would judge itself; name another, or set "
            "judging.may_judge_itself = true if that is what you study"
        )
    if judging.local_only and found.place is not None:
        raise UserError(
            f"judge {name} is at {found.place}, not on this machine, and judging.local_only is "
            f"true; name a local one, e.g. {EXACT}DIRECTORY"
        )
    return found


def _find_own(name: str) -> Judge:
    if name == "none":
        return no_judge
    # Imported here: a static analyser, for this judge alone.
    from rankshift.eval.bandit import judge_code

    return judge_code


def _find_exact(name: str, target: str) -> AskedJudge:
    try:
        source = resolve_base(target)
    except UserError as error:  # speaks of the key that names a study's base
        raise UserError(f"judge {name}: {str(error).removeprefix('base.model = ')}") from None

    @asynccontextmanager
    async def load() -> AsyncIterator[Ask]:
        # Imported here: torch and transformers, for this judge alone.
        from rankshift.eval.exact import open_exact

        yield open_exact(source.directory).ask

    facts: dict[str, object] = {
        "scoring": "exact",
        "fingerprint": source.fingerprint,
        "revision": source.revision,
    }
    return AskedJudge(name, load, by_text=False, place=None, facts=facts)


def _find_grader(name: str, judging: Judging) -> AskedJudge:
    # Imported here: Inspect takes a second or two, for these judges alone.
    from rankshift.eval.grader import open_grader

    @asynccontextmanager
    async def connect() -> AsyncIterator[Ask]:
        opened = open_grader(name, judging)
        async with opened.model:
            yield opened.ask

    grader = open_grader(name, judging)  # now, so that a missing key is told before any training
    address = getattr(grader.model.api, "base_url", None)
    place = find_place(name.removeprefix(TEXT), str(address) if address else judging.base_url)
    facts: dict[str, object] = {
        "scoring": "text" if grader.by_text else "first token",
        "place": place or "this machine",
    }
    return AskedJudge(name, connect, grader.by_text, place, facts)


def find_place(target: str, address: str | None) -> str | None:
    """Give the host a model's prompts go to, None for this machine.

    Args:
        target: Inspect's name, `provider/model`.
        address: Where it listens, if that is known.
    """
    provider = target.partition("/")[0]
    address = address or os.environ.get(f"{provider.upper().replace('-', '_')}_BASE_URL")
    if address is None:
        return None if provider in LOCAL_PROVIDERS else f"{provider}'s own address"
    host = urlsplit(address).hostname or address
    return None if host in ("localhost", "127.0.0.1", "::1", "0.0.0.0") else host
