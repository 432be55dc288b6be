"""A TOML file, and the line on which each of its keys is set."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rankshift.errors import UserError
from rankshift.redaction import find_secret

Key = tuple[str, ...]


def join_key(key: Key) -> str:
    """Write a key with dots; the place of a table in its list is left out, as the line tells it."""
    return ".".join(part for part in key if not part.isdigit())


def find_line(text: str, key: Key) -> int:
    """Give the line, from 1, on which the statement begins that sets a key, or else its table.

    A TOML statement ends with its line, so the first lines of a document parse by themselves
    exactly when no statement is open at their end. Thus the parser itself tells where each
    statement begins, whatever its strings, comments and lists hold.
    """
    for length in range(len(key), 0, -1):
        for line, document in _list_statements(text):
            if _is_set(document, key[:length]):
                return line
    return 1


def _list_statements(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each statement's first line and all that is set at its end; at last what is open."""
    lines = text.split("\n")
    begin = 1
    for end in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:end]) + "\n")
        except (ValueError, RecursionError):
            continue
        yield begin, document
        begin = end + 1
    yield min(begin, len(lines)), {}


def _is_set(document: object, key: Key) -> bool:
    for part in key:
        if isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
            continue
        if not isinstance(document, dict) or part not in document:
            return False
        document = document[part]
    return True


@dataclass(frozen=True)
class Source:
    """One file that a user wrote."""

    path: Path
    text: str
    within: Key = ()
    """Where keys are looked for first: the table of a variant."""

    def error(self, key: Key, message: str) -> UserError:
        """Give the error that something is wrong with a key, as `path:line: ...`."""
        line = find_line(self.text, (*self.within, *key))
        inside = not self.within or line != find_line(self.text, self.within)
        return UserError(f"{self.path}:{line if inside else find_line(self.text, key)}: {message}")

    def parse(self) -> dict[str, Any]:
        """Read it.

        Raises:
            UserError: It is not TOML.
        """
        try:
            return tomllib.loads(self.text)
        except (ValueError, RecursionError) as error:
            message, _, place = str(error).partition(" (at ")
            *_, (line, _) = _list_statements(self.text)
            if numbered := re.match(r"line (\d+)", place):
                line = int(numbered[1])
            raise UserError(f"{self.path}:{line}: not TOML: {message}; correct it there") from None


def read_text(path: Path) -> str:
    """Read a file that a user named.

    Raises:
        UserError: There is none, it is no text, or it holds a key; names files like it.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {_suggest_file(path)}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a TOML file") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None
    if held := find_secret(text):  # it would be asked for in every file of the run
        name, line = held
        raise UserError(
            f"{path}:{line}: holds the value of the environment variable {name}; keys are read "
            "from there, so take it out of the file"
        )
    return text


def _suggest_file(path: Path) -> str:
    there = sorted(file.stem for file in path.parent.glob("*.toml"))
    near = get_close_matches(path.stem, there, n=1) or there[:3]
    if not near:
        return f"{path.parent} holds no .toml file"
    return "did you mean " + " or ".join(f"{path.parent / name}.toml" for name in near) + "?"
