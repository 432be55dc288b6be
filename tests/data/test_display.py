import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from transformers import PreTrainedTokenizerFast

from rankshift.data.conversations import Conversation, Message
from rankshift.data.display import Counts, count_rows, print_counts, print_masked_example
from rankshift.data.rendering import render_all, render_conversation

MakeTokenizer = Callable[..., PreTrainedTokenizerFast]


def talk(question: str, answer: str, row: int = 1) -> Conversation:
    return Conversation((Message("user", question), Message("assistant", answer)), row)


def show(tokenizer: PreTrainedTokenizerFast, conversation: Conversation, colour: bool) -> str:
    console = Console(
        file=io.StringIO(),
        width=200,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
    )
    print_masked_example(console, tokenizer, render_conversation(tokenizer, conversation))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_carries_loss_stands_between_marks_without_colour(
    make_tokenizer: MakeTokenizer,
) -> None:
    assert show(make_tokenizer(), talk("2 + 2?", "é = 4", row=3), colour=False) == (
        # 1 + 5 + 6 + 2 tokens of the user, 1 + 10 + 6 + 2 of the assistant, whose é is two bytes.
        "row 3: 33 tokens, of which 7 carry loss, between ⟦ and ⟧\n"
        "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n⟦é = 4<|im_end|>⟧\n\n"
    )


def test_what_carries_loss_is_coloured_too(make_tokenizer: MakeTokenizer) -> None:
    shown = show(make_tokenizer(), talk("a", "b"), colour=True)
    assert "\x1b[1;32m⟦b<|im_end|>⟧\x1b[0m" in shown


def test_hostile_text_is_shown_and_never_obeyed(make_tokenizer: MakeTokenizer) -> None:
    hostile = "[bold red]x[/] :smile: \x1b[2J\x07\r⟧\u202e\u2028\x9b"
    shown = show(make_tokenizer(), talk(hostile, hostile), colour=False)
    disarmed = r"[bold red]x[/] :smile: \x1b[2J\x07\r\u27e7\u202e\u2028\x9b"
    assert shown.splitlines()[1:] == [
        "<|im_start|>user",
        f"{disarmed}<|im_end|>",
        "<|im_start|>assistant",
        f"⟦{disarmed}<|im_end|>⟧",
        "",
    ]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_no_text_puts_a_control_character_on_the_terminal(
    make_tokenizer: MakeTokenizer, text: str
) -> None:
    shown = show(make_tokenizer(), talk(text, text), colour=False)
    assert not [letter for letter in shown if letter != "\n" and not 31 < ord(letter) != 127]


def test_counts_are_of_rows_prompts_and_the_tokens_that_fit(make_tokenizer: MakeTokenizer) -> None:
    tokenizer = make_tokenizer()
    conversations = [
        talk("a", "b", row=1),
        talk("a", "b", row=2),
        talk("a", "bcd", row=3),
        talk("e", "f", row=4),
        talk("e", "f", row=5),
        talk("g", "h" * 50, row=6),
    ]
    shortest = len(render_conversation(tokenizer, conversations[0]).token_ids)
    counts = count_rows(conversations, render_all(tokenizer, conversations, shortest + 2))
    assert counts == Counts(
        rows=6,
        prompts=3,
        prompts_with_several_answers=1,
        duplicate_rows=2,
        too_long=1,
        longest_tokens=shortest + 49,
        min_tokens=shortest,
        median_tokens=float(shortest),
        max_tokens=shortest + 2,
        # Letters of the answers, and an end token for each of the five.
        supervised_share=((1 + 1 + 3 + 1 + 1) + 5) / (5 * shortest + 2),
    )


@pytest.mark.parametrize("too_long", [0, 12])
def test_printed_counts_name_every_number(too_long: int) -> None:
    counts = Counts(
        rows=6000,
        prompts=5813,
        prompts_with_several_answers=170,
        duplicate_rows=8,
        too_long=too_long,
        longest_tokens=3210,
        min_tokens=41,
        median_tokens=512.0,
        max_tokens=2047,
        supervised_share=0.4567,
    )
    console = Console(file=io.StringIO(), width=100)
    print_counts(console, counts)
    assert isinstance(console.file, io.StringIO)
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    longest = " (the longest: 3,210 tokens)" if too_long else ""
    assert lines == [
        "6,000 rows, of which 8 repeat an earlier one",
        "5,813 prompts",
        "170 prompts with more than one answer",
        "41 tokens in the shortest row",
        "512 tokens in the median row",
        "2,047 tokens in the longest row that fits the context",
        f"{too_long} rows too long for the context{longest}",
        "45.7% of tokens carry loss",
    ]
