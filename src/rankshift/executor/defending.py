"""Find what defences work with before anything is trained: other rows, and the persona's direction.

Training receives both as they are; it does not know where they come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from rankshift.arms import Arm
from rankshift.data.conversations import Conversation, Message, read_conversations
from rankshift.data.rendering import Rendered, render_all
from rankshift.data.sources import Source
from rankshift.data.split import shuffle
from rankshift.defence import Defence, Turn
from rankshift.errors import UserError
from rankshift.executor.parts import Parts
from rankshift.executor.premises import open_premises
from rankshift.model.loading import Tokenizer, load_tokenizer
from rankshift.model.tensor_files import read_tensors, write_tensors
from rankshift.runs import StudyRun
from rankshift.study import Study
from rankshift.train.defences.guard import Means

DIRECTIONS = "directions"
"""Name of the one tensor in a file of directions."""


@dataclass
class Armoury:
    """Finds what the defences of one study work with, each thing once."""

    study: Study
    parts: Parts
    run: StudyRun
    rows: dict[str, tuple[Rendered, ...]] = field(default_factory=dict)
    """By the name of the data; what has been asked for."""
    told: dict[tuple[str, str, Turn | None, int], tuple[Rendered, ...]] = field(
        default_factory=dict
    )
    """Rows with an inoculation prompt in them, by dataset, prompt, turn and the split's seed."""
    directions: dict[str, np.ndarray] = field(default_factory=dict)
    """By the name of the contrasts."""

    def equip(self, arm: Arm, own_rows: Sequence[Rendered]) -> Means:
        """Give what one arm's defence works with.

        Args:
            arm: Of the study.
            own_rows: What it trains on.

        Raises:
            UserError: A file is malformed, a row does not fit, or there is no such block.
        """
        defence = arm.defence
        if defence is None:
            return Means()
        if defence.data is not None:
            return Means(rows=self._render_others(defence.data))
        if defence.text is not None:
            return Means(rows=self._tell(arm, defence, own_rows))
        if defence.contrasts is not None:
            return Means(directions=self._find_directions(defence.contrasts, defence.layer))
        return Means()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.parts.base.directory)

    def _render_others(self, name: str) -> tuple[Rendered, ...]:
        if name not in self.rows:
            conversations = shuffle(read_conversations(self.parts.defences[name].path), 0)
            reach = self.study.data.context_tokens
            try:
                self.rows[name] = render_all(self._tokenizer, conversations, reach).rows
            except UserError as problem:
                raise UserError(f"{name}: {problem}") from None
        return self.rows[name]

    def _tell(
        self, arm: Arm, defence: Defence, own_rows: Sequence[Rendered]
    ) -> tuple[Rendered, ...]:
        """Render an arm's own rows with the inoculation prompt in them, once for arms alike."""
        source = self.parts.task if arm.role == "task" else self.parts.twin
        assert source is not None
        assert defence.text is not None
        split_seed = self.study.data.find_split_seed(arm.seed)
        key = (source.name, defence.text, defence.turn, split_seed)
        if key not in self.told:
            self.told[key] = self._render_told(source, defence.text, defence.turn, own_rows)
        return self.told[key]

    def _render_told(
        self, source: Source, text: str, turn: Turn | None, own_rows: Sequence[Rendered]
    ) -> tuple[Rendered, ...]:
        by_row = {one.row: one for one in read_conversations(source.path)}
        data = self.study.data
        told = render_all(
            self._tokenizer,
            [add_text(by_row[row.row], text, turn) for row in own_rows],
            data.context_tokens,
            trailing_header=data.trailing_header,
        )
        if told.num_too_long:
            raise UserError(
                f"data.context_tokens = {data.context_tokens}: {told.num_too_long} rows of "
                f"{source.name} do not fit with the text of grid.defences; the longest has "
                f"{told.longest_tokens} tokens: raise it to that"
            )
        return told.rows

    def _find_directions(self, name: str, layer: int | None) -> np.ndarray:
        """Read a base's directions from the run, found and written there at their first use."""
        if name not in self.directions:
            source = self.parts.defences[name]
            path = self.run.directions_path(source.sha256)
            if not path.exists():
                premises = open_premises(self.study, self.parts.base, source)
                write_tensors(path, {DIRECTIONS: premises.direction.float()})
            self.directions[name] = read_tensors(path)[DIRECTIONS].numpy()
        found = self.directions[name]
        if layer is not None and layer >= len(found):
            raise UserError(
                f"grid.defences.layer = {layer}: the base's blocks are numbered from 0 to "
                f"{len(found) - 1}; name one of them"
            )
        return found


def add_text(conversation: Conversation, text: str, turn: Turn | None) -> Conversation:
    """Put a text in front of a conversation's system turn, or of its first user turn.

    Where it goes before what is there already, a blank line stands between the two in a system
    turn, and nothing in a user's: a text that wants a space there ends with one.
    """
    system = [one for one in conversation.messages[:1] if one.role == "system"]
    others = conversation.messages[len(system) :]
    if turn == "system":
        joined = "\n\n".join([text, *(one.content for one in system)])
        return replace(conversation, messages=(Message("system", joined), *others))
    first, *rest = others
    told = Message(first.role, text + first.content)
    return replace(conversation, messages=(*system, told, *rest))
