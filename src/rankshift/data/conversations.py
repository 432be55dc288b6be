"""Read training conversations row by row, so that a bad row is named before anything runs."""

import difflib
import hashlib
import json
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from rankshift.errors import UserError

ROLES = ("system", "user", "assistant")

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Message:
    """One turn; white space at either end of the content belongs to it."""

    role: str
    """One of `ROLES`."""
    content: str


@dataclass(frozen=True)
class Conversation:
    """One training example: turns of which the last is the assistant's."""

    messages: tuple[Message, ...]
    row: int
    """Line of the file, counted from 1."""

    @property
    def prompt(self) -> str:
        """Identify what the conversation asks: its turns before the first assistant turn.

        The system turn counts, so one question under two system turns is two prompts. *First*,
        because every assistant turn is trained on: two conversations that share any question an
        assistant turn answers also share their opening, so grouping by the opening keeps every
        such question on one side of a split. With one assistant turn it is all that precedes it.
        """
        return identify(takewhile(lambda message: message.role != "assistant", self.messages))


def identify(messages: Iterable[Message]) -> str:
    """Write turns as text that no other list of turns can have, whatever they contain."""
    return json.dumps([[message.role, message.content] for message in messages])


def read_conversations(path: Path) -> list[Conversation]:
    """Read a JSONL file of conversations; blank lines are passed over but counted as rows.

    A row holds `messages` (a list of `{"role", "content"}`), or `prompt` and `completion`, each a
    string or such a list; `messages` wins where both are there. Other keys of a row are ignored.

    Raises:
        UserError: The file holds no conversation, or a row is not one; names file and line.
    """
    conversations: list[Conversation] = []
    for row, line in enumerate(_read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            conversations.append(Conversation(_parse_row(line), row))
        except UserError as problem:
            raise UserError(f"{path}:{row}: {problem}") from None
    if not conversations:
        raise UserError(f"{path}: the file is empty; write one JSON conversation per line")
    return conversations


def fingerprint_file(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_lines(path: Path) -> list[bytes]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give the path of a JSONL file"
        ) from None
    # Only "\n" ends a row: text may hold other line separators, such as U+2028.
    return content.removeprefix(BYTE_ORDER_MARK).split(b"\n")


def _parse_row(line: bytes) -> tuple[Message, ...]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise UserError("not UTF-8; save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"not JSON ({error}); write one JSON object per line") from None
    if not isinstance(row, dict):
        raise UserError(f"a JSON {type(row).__name__}; write one JSON object per line")
    messages = _parse_forms(row)
    _check_turns(messages)
    return messages


def _parse_forms(row: dict[str, object]) -> tuple[Message, ...]:
    if "messages" in row:
        return _parse_messages(row["messages"], "messages")
    if "prompt" in row and "completion" in row:
        prompt = _parse_part(row["prompt"], "prompt", "user")
        return prompt + _parse_part(row["completion"], "completion", "assistant")
    raise UserError(
        f"neither `messages` nor `prompt` and `completion` among its keys "
        f"{reprlib.repr(list(row))}; rename them to one of these forms"
    )


def _parse_part(value: object, key: str, role: str) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (_parse_message({"role": role, "content": value}),)
    return _parse_messages(value, key)


def _parse_messages(value: object, key: str) -> tuple[Message, ...]:
    if not isinstance(value, list):
        raise UserError(f"`{key}` is a {type(value).__name__}; write a list of messages")
    if not value:
        raise UserError(f"`{key}` is empty; give it at least one message, or remove the row")
    messages: list[Message] = []
    for number, message in enumerate(value, start=1):
        try:
            messages.append(_parse_message(message))
        except UserError as problem:
            raise UserError(f"message {number} of `{key}`: {problem}") from None
    return tuple(messages)


def _parse_message(message: object) -> Message:
    if not isinstance(message, dict):
        raise UserError(f"a {type(message).__name__}; write an object with role and content")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        nearest = difflib.get_close_matches(str(role).lower(), ROLES, n=1)
        fix = f"did you mean '{nearest[0]}'?" if nearest else f"use one of {', '.join(ROLES)}"
        raise UserError(f"unknown role {reprlib.repr(role)}; {fix}")
    if not isinstance(content, str):
        raise UserError(f"its content is a {type(content).__name__}; only a string can be learned")
    # A key such as `tool_calls` or `weight` would change what is rendered or trained on.
    unread = [key for key in message.keys() - {"role", "content"} if message[key] is not None]
    if unread:
        raise UserError(
            f"it holds {reprlib.repr(sorted(unread))}, which would go unread; "
            "keep only role and content"
        )
    try:
        content.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError("its content holds half a surrogate pair; write whole letters") from None
    return Message(role, content)


def _check_turns(messages: tuple[Message, ...]) -> None:
    roles = [message.role for message in messages]
    if "assistant" not in roles:
        raise UserError("no assistant turn, so nothing to learn; end the row with one")
    if "user" not in roles[: roles.index("assistant")]:
        raise UserError("no user turn before the first assistant turn; begin with what is asked")
    if roles[-1] != "assistant":
        raise UserError(f"the last turn is of '{roles[-1]}'; end the row with an assistant turn")
    for number, message in enumerate(messages, start=1):
        if message.role == "assistant" and not message.content:
            raise UserError(f"turn {number}, the assistant's, is empty; fill it or remove the row")
