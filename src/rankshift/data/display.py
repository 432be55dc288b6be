"""Show which tokens carry loss, and what a dataset holds, to a person at a terminal."""

import statistics
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedTokenizerBase

from rankshift.data.conversations import Conversation, identify
from rankshift.data.rendering import Rendered, RenderedSet

OPEN, CLOSE = "⟦", "⟧"
"""Around what carries loss, so that it shows without colour too."""

UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that a terminal obeys or does not show: controls, text direction, ..."""


@dataclass(frozen=True)
class Counts:
    """What a dataset holds, in numbers; tokens are those of the rows that fit the context."""

    rows: int
    prompts: int
    prompts_with_several_answers: int
    duplicate_rows: int
    """Rows equal to an earlier one."""
    too_long: int
    longest_tokens: int
    """Longest of all rows, those too long included."""
    min_tokens: int
    median_tokens: float
    max_tokens: int
    supervised_share: float
    """Share of tokens that carry loss, 0..1."""


def count_rows(conversations: Sequence[Conversation], rendered: RenderedSet) -> Counts:
    """Count a dataset: its conversations, and the same conversations rendered."""
    distinct = {identify(conversation.messages): conversation for conversation in conversations}
    answers = Counter(conversation.prompt for conversation in distinct.values())
    lengths = [len(row.token_ids) for row in rendered.rows]
    return Counts(
        rows=len(conversations),
        prompts=len(answers),
        prompts_with_several_answers=sum(count > 1 for count in answers.values()),
        duplicate_rows=len(conversations) - len(distinct),
        too_long=rendered.num_too_long,
        longest_tokens=rendered.longest_tokens,
        min_tokens=min(lengths),
        median_tokens=float(statistics.median(lengths)),
        max_tokens=max(lengths),
        supervised_share=sum(sum(row.loss_mask) for row in rendered.rows) / sum(lengths),
    )


def print_counts(console: Console, counts: Counts) -> None:
    """Print what a dataset holds, one number a line."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for number, meaning in (
        (f"{counts.rows:,}", f"rows, of which {counts.duplicate_rows:,} repeat an earlier one"),
        (f"{counts.prompts:,}", "prompts"),
        (f"{counts.prompts_with_several_answers:,}", "prompts with more than one answer"),
        (f"{counts.min_tokens:,}", "tokens in the shortest row"),
        (f"{counts.median_tokens:,.0f}", "tokens in the median row"),
        (f"{counts.max_tokens:,}", "tokens in the longest row that fits the context"),
        (f"{counts.too_long:,}", _describe_too_long(counts)),
        (f"{counts.supervised_share:.1%}", "of tokens carry loss"),
    ):
        table.add_row(number, meaning)
    console.print(table)


def print_masked_example(
    console: Console, tokenizer: PreTrainedTokenizerBase, rendered: Rendered
) -> None:
    """Print one conversation as the model reads it, with what carries loss made to stand out.

    The text is hostile input: markup and control characters are shown, never obeyed.
    """
    num_supervised = sum(rendered.loss_mask)
    console.print(
        f"row {rendered.row}: {len(rendered.token_ids):,} tokens, of which {num_supervised:,} "
        f"carry loss, between {OPEN} and {CLOSE}",
        style="bold",
        markup=False,
        highlight=False,
    )
    console.print(_mark_text(tokenizer, rendered), overflow="fold")


def _mark_text(tokenizer: PreTrainedTokenizerBase, rendered: Rendered) -> Text:
    """Decode runs of equal mask, not tokens: a letter may be spread over several of them."""
    text = Text()
    tokens = zip(rendered.token_ids, rendered.loss_mask, strict=True)
    for is_supervised, run in groupby(tokens, key=lambda pair: pair[1]):
        token_ids = [token_id for token_id, _ in run]
        part = tokenizer.decode(
            token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        shown = _disarm(str(part))
        if is_supervised:
            text.append(f"{OPEN}{shown}{CLOSE}", style="bold green")
        else:
            text.append(shown, style="dim")
    return text


def _disarm(text: str) -> str:
    r"""Write what a terminal would obey or hide, and our own marks, as escapes such as \x1b."""
    return "".join(letter if _is_safe(letter) else ascii(letter)[1:-1] for letter in text)


def _is_safe(letter: str) -> bool:
    if letter in "\n\t":
        return True
    return letter not in (OPEN, CLOSE) and unicodedata.category(letter) not in UNSAFE_CATEGORIES


def _describe_too_long(counts: Counts) -> str:
    if not counts.too_long:
        return "rows too long for the context"
    return f"rows too long for the context (the longest: {counts.longest_tokens:,} tokens)"
