"""Hashes of content, and JSON files that carry the hash of theirs: a change by hand is seen."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints
from urllib.parse import quote

from rankshift.atomic import write_atomically
from rankshift.errors import UserError
from rankshift.redaction import redact


def hash_of(content: object, length: int = 12) -> str:
    """Hash dataclasses and JSON values: so many hexadecimal digits of the SHA-256 of one JSON text.

    Keys are sorted and 64.0 is written as 64, so neither order nor a number's spelling counts.
    """
    text = json.dumps(_canonical(content), sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _canonical(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _canonical(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        assert all(isinstance(key, str) for key in value), "1 and '1' would be one key"
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def quote_name(name: str) -> str:
    """Write a name as that of one file in one folder, whatever it holds; `:` stays as it is."""
    quoted = quote(name, safe=":")
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def write_sealed(path: Path, **parts: Any) -> None:
    """Write dataclasses as one JSON file that carries the hash of its content."""
    told = {name: asdict(part) for name, part in parts.items()}
    # Before the hash: what is taken out afterwards would look like an edit.
    content: dict[str, Any] = json.loads(redact(json.dumps(told, allow_nan=False)))
    content["sha256"] = hash_of(content, length=64)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text + "\n")


def read_sealed(path: Path, fix: str, **kinds: type[Any]) -> Any:
    """Read a tuple of dataclasses that `write_sealed` wrote.

    Raises:
        UserError: There is no such file, or it was cut or edited; ends with the fix.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        is_unchanged = content.pop("sha256") == hash_of(content, length=64)
        parts = tuple(_restore(kind, content[name]) for name, kind in kinds.items())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {fix}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON, it was cut or edited; {fix}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path}: holds no {' and '.join(kinds)}; {fix}") from None
    if not is_unchanged:
        raise UserError(f"{path}: was edited after it was written; {fix}")
    return parts


def _restore(kind: Any, content: dict[str, Any]) -> Any:
    """Rebuild a dataclass from its JSON: objects to dataclasses, lists in lists to tuples."""
    values = dict(content)
    for key, hint in get_type_hints(kind).items():
        tables = [option for option in (hint, *get_args(hint)) if is_dataclass(option)]
        if tables and isinstance(content.get(key), list):
            values[key] = tuple(_restore(tables[0], item) for item in content[key])
        elif tables and content.get(key) is not None:
            values[key] = _restore(tables[0], content[key])
        elif isinstance(content.get(key), list):
            values[key] = tuple(tuple(v) if isinstance(v, list) else v for v in content[key])
    return kind(**values)
