"""From a dataset to what arms train on and are measured on, every row accounted for."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from rankshift.data.conversations import Conversation, read_conversations
from rankshift.data.rendering import Rendered, render_all
from rankshift.data.sources import Source
from rankshift.data.split import count_seen, draw, shuffle, split_by_prompt, split_by_row
from rankshift.errors import UserError
from rankshift.study import Data


@dataclass(frozen=True)
class RowCounts:
    """Where the rows of one dataset went; `train` + `held_out` + both `too_long` were drawn."""

    rows: int
    """In the file."""
    train: int
    held_out: int
    train_too_long: int
    """Drawn for training, but longer than the context: left out."""
    held_out_too_long: int
    longest_tokens: int
    """Of the rows drawn."""
    train_prompts: int
    """Distinct prompts."""
    held_out_prompts: int
    held_out_seen: int
    """Held-out rows whose prompt is trained on too; 0 where prompts are what is divided."""
    split_seed: int


@dataclass(frozen=True)
class PreparedSet:
    """One dataset, divided and rendered."""

    name: str
    train: tuple[Rendered, ...]
    held_out: tuple[Rendered, ...]
    held_out_conversations: tuple[Conversation, ...]
    """Those behind `held_out`, in the same order."""
    counts: RowCounts


def prepare_set(source: Source, data: Data, tokenizer: PreTrainedTokenizerBase) -> PreparedSet:
    """Read, split, draw and render one dataset, with the seed `data.split_seed`.

    Raises:
        UserError: A row is malformed, a side is empty, or a row cannot be rendered.
    """
    conversations = read_conversations(source.path)
    divide = split_by_row if data.split_by == "row" else split_by_prompt
    split = divide(conversations, data.held_out_fraction, data.split_seed)
    drawn_train = draw(split.train, data.train_rows)
    drawn_held_out = draw(split.held_out, data.held_out_rows)
    try:
        reach, tail = data.context_tokens, data.trailing_header
        train = render_all(tokenizer, drawn_train, reach, trailing_header=tail)
        held_out = render_all(tokenizer, drawn_held_out, reach, trailing_header=tail)
    except UserError as problem:
        raise UserError(f"{source.path}: {problem}") from None
    by_row = {conversation.row: conversation for conversation in drawn_held_out}
    return PreparedSet(
        name=source.name,
        train=train.rows,
        held_out=held_out.rows,
        held_out_conversations=tuple(by_row[rendered.row] for rendered in held_out.rows),
        counts=RowCounts(
            rows=len(conversations),
            train=len(train.rows),
            held_out=len(held_out.rows),
            train_too_long=train.num_too_long,
            held_out_too_long=held_out.num_too_long,
            longest_tokens=max(train.longest_tokens, held_out.longest_tokens),
            train_prompts=len({c.prompt for c in drawn_train}),
            held_out_prompts=len({c.prompt for c in drawn_held_out}),
            held_out_seen=count_seen(drawn_train, drawn_held_out),
            split_seed=data.split_seed,
        ),
    )


def prepare_unrelated(
    source: Source, data: Data, tokenizer: PreTrainedTokenizerBase
) -> tuple[Rendered, ...]:
    """Read, draw and render conversations that have nothing to do with the task.

    They are the same for every seed and split: at most `data.unrelated_rows`, in an order that
    follows from their content. Those longer than the context are left out.

    Raises:
        UserError: A row is malformed or cannot be rendered, or none fits the context.
    """
    drawn = draw(shuffle(read_conversations(source.path), 0), data.unrelated_rows)
    try:
        return render_all(tokenizer, drawn, data.context_tokens).rows
    except UserError as problem:
        raise UserError(f"{source.path}: {problem}") from None
