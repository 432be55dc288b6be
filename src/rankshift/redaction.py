"""Secrets of the environment are taken out of all that is written to a run or to the terminal.

One place knows them, so that no writer has to: files pass `atomic` and `eval/journal`, the
terminal's two streams are wrapped, and so is what a traceback says.
"""

import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

LEAST_LENGTH = 8
"""Shorter values are words such as `false` more often than keys, and would be taken out of text."""

SECRET_NAME = re.compile(
    r"(KEYS?|TOKEN|SECRETS?|PASSWD|PASSPHRASE|CREDENTIALS?)(_?\d+|_ID|_BASE64)?$|PASSWORD|SECRET"
    r"|^AWS_(?!.*(REGION|PROFILE|FILE|OUTPUT|ENDPOINT))",
    re.IGNORECASE,
)
"""Names of variables that hold a secret; `MAX_TOKENS` and `AWS_REGION` are none."""


def list_secrets() -> dict[str, str]:
    """Give the environment's secrets with the name of the variable each is in, longest first.

    Each stands here as it is and as JSON, HTML and addresses write it. The environment is looked at
    anew each time: a key may be set after the first look. So may an address hold a password.
    """
    found: dict[str, str] = {}
    for name, value in os.environ.items():
        for secret in [value] if SECRET_NAME.search(name) else _list_passwords(value):
            if len(secret) >= LEAST_LENGTH:
                found |= dict.fromkeys(_list_spellings(secret), name)
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def _list_passwords(value: str) -> list[str]:
    """List the password of a value that is an address, as a proxy's may be."""
    if "://" not in value or "@" not in value:
        return []
    try:
        password = urlsplit(value).password
    except ValueError:
        return []
    return [password] if password else []


def _list_spellings(secret: str) -> set[str]:
    in_json = (json.dumps(secret, ensure_ascii=e)[1:-1] for e in (True, False))
    return {secret, *in_json, escape(secret), quote(secret), quote(secret, safe="")}


def redact(text: str) -> str:
    """Put the name of its variable in place of each secret."""
    for secret, name in list_secrets().items():
        text = text.replace(secret, f"[{name}]")
    return text


def find_secret(text: str) -> tuple[str, int] | None:
    """Give the variable whose value a text holds, and the line from 1; None where it holds none."""
    for secret, name in list_secrets().items():
        if (at := text.find(secret)) >= 0:
            return name, text.count("\n", 0, at) + 1
    return None


def redact_file(path: Path) -> None:
    """Take secrets out of a file that nobody reads yet; it is written anew only if it holds one."""
    secrets = list_secrets()
    if not secrets:
        return
    content = clean = path.read_bytes()
    for secret, name in secrets.items():
        clean = clean.replace(os.fsencode(secret), f"[{name}]".encode())
    if clean != content:
        path.write_bytes(clean)


class RedactedStream:
    """A stream of text that writes all but secrets; everything else is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write without secrets; gives the length of what was asked, as callers expect."""
        self.stream.write(redact(text))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write each line without secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def guard_terminal() -> Iterator[None]:
    """Keep secrets out of both streams while the block lasts, and out of tracebacks for good.

    A traceback of what nobody caught is printed after the block has ended.
    """
    before = sys.stdout, sys.stderr
    sys.excepthook = _print_redacted
    guard_process()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def guard_process() -> None:
    """Keep secrets out of this process's streams for as long as it lives: a worker's."""
    streams: Any = RedactedStream(sys.stdout), RedactedStream(sys.stderr)
    sys.stdout, sys.stderr = streams


def _print_redacted(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))
