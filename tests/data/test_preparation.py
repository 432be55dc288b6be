import json
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.data.conversations import fingerprint_file, read_conversations
from rankshift.data.preparation import prepare_set, prepare_unrelated
from rankshift.data.rendering import render_conversation
from rankshift.data.sources import Source
from rankshift.errors import UserError
from rankshift.study import Data

NUM_ROWS, NUM_PROMPTS = 60, 20


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Write 60 rows over 20 prompts; the answers of every fifth prompt are long."""
    path = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": f"question {n % 20}", "completion": f"{n} " + "so " * (60 if n % 5 == 0 else 5)}
        for n in range(NUM_ROWS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Source("rows", path, fingerprint_file(path))


def ask(context_tokens: int = 100, **changes: int | float | bool | None) -> Data:
    """Ask for half of the prompts to be held out."""
    return Data("rows", held_out_fraction=0.5, context_tokens=context_tokens, **changes)  # type: ignore[arg-type]


def test_every_row_is_kept_or_counted_as_too_long(source: Source, make_tokenizer):
    counts = prepare_set(source, ask(), make_tokenizer()).counts
    assert counts.rows == NUM_ROWS
    assert counts.train + counts.train_too_long + counts.held_out + counts.held_out_too_long == 60
    assert counts.train_too_long + counts.held_out_too_long == NUM_ROWS // 5
    assert counts.train_prompts + counts.held_out_prompts == NUM_PROMPTS
    assert min(counts.train, counts.held_out) > 0


def test_rows_that_were_asked_for_are_drawn_and_then_measured(source: Source, make_tokenizer):
    whole = prepare_set(source, ask(), make_tokenizer())
    drawn = prepare_set(source, ask(train_rows=10, held_out_rows=6), make_tokenizer())
    assert drawn.counts.train + drawn.counts.train_too_long == 10
    assert drawn.counts.held_out + drawn.counts.held_out_too_long == 6
    assert drawn.train == whole.train[: len(drawn.train)]
    assert drawn.held_out == whole.held_out[: len(drawn.held_out)]


def test_no_prompt_is_both_learned_and_held_out(source: Source, make_tokenizer):
    prepared = prepare_set(source, ask(), make_tokenizer())
    by_row = {conversation.row: conversation for conversation in read_conversations(source.path)}
    learned = {by_row[rendered.row].prompt for rendered in prepared.train}
    held_out = {by_row[rendered.row].prompt for rendered in prepared.held_out}
    assert learned.isdisjoint(held_out)


def test_no_row_is_longer_than_the_context_and_none_is_cut(source: Source, make_tokenizer):
    tokenizer = make_tokenizer()
    prepared = prepare_set(source, ask(), tokenizer)
    by_row = {conversation.row: conversation for conversation in read_conversations(source.path)}
    for rendered in (*prepared.train, *prepared.held_out):
        assert len(rendered.token_ids) <= 100
        assert rendered == render_conversation(tokenizer, by_row[rendered.row])


def test_the_longest_row_is_measured_before_it_is_left_out(source: Source, make_tokenizer):
    tokenizer = make_tokenizer()
    rows = [render_conversation(tokenizer, c) for c in read_conversations(source.path)]
    longest = max(len(row.token_ids) for row in rows)
    assert longest > 100
    assert prepare_set(source, ask(), tokenizer).counts.longest_tokens == longest


def test_rows_whose_prompt_is_trained_on_too_are_counted(source: Source, make_tokenizer):
    tokenizer = make_tokenizer()
    for split_by in ("prompt", "row"):
        prepared = prepare_set(source, replace(ask(), split_by=split_by, split_seed=3), tokenizer)
        by_row = {c.row: c.prompt for c in read_conversations(source.path)}
        seen = {by_row[rendered.row] for rendered in prepared.train}
        held_out = [by_row[rendered.row] for rendered in prepared.held_out]
        # The long rows that were left out share no prompt with a short one.
        long = {by_row[n + 1] for n in range(0, NUM_ROWS, 5)}
        counted = sum(prompt in seen for prompt in held_out)
        drawn_long = prepared.counts.held_out_seen - counted
        assert 0 <= drawn_long <= prepared.counts.held_out_too_long
        assert (counted > 0) == (split_by == "row")
        assert not long & (seen | set(held_out))
        assert prepared.counts.split_seed == 3


def test_a_trailing_header_is_on_every_row_of_both_sides(source: Source, make_tokenizer):
    tokenizer = make_tokenizer()
    plain = prepare_set(source, ask(context_tokens=1000), tokenizer)
    tailed = prepare_set(source, ask(context_tokens=1000, trailing_header=True), tokenizer)
    for before, after in zip(
        (*plain.train, *plain.held_out), (*tailed.train, *tailed.held_out), strict=True
    ):
        # Line break, marker, "assistant" in nine bytes, line break, end token; all but the first
        # are new tokens.
        assert sum(after.loss_mask) - sum(before.loss_mask) == 13
        assert len(after.token_ids) - len(before.token_ids) == 12


def test_held_out_conversations_are_those_that_are_measured(source: Source, make_tokenizer):
    prepared = prepare_set(source, ask(), make_tokenizer())
    rows = [conversation.row for conversation in prepared.held_out_conversations]
    assert rows == [rendered.row for rendered in prepared.held_out]


def test_a_context_shorter_than_every_row_is_refused(source: Source, make_tokenizer):
    tokenizer = make_tokenizer()
    rows = [render_conversation(tokenizer, c) for c in read_conversations(source.path)]
    shortest = min(len(row.token_ids) for row in rows)
    with pytest.raises(UserError) as caught:
        prepare_set(source, ask(context_tokens=10), tokenizer)
    assert str(caught.value) == (
        f"{source.path}: data.context_tokens = 10 is shorter than every row; the shortest has "
        f"{shortest} tokens: raise it to at least that"
    )


def test_unrelated_rows_are_drawn_by_their_content_and_the_same_for_every_split(
    source: Source, make_tokenizer
):
    few, all_rows = (
        prepare_unrelated(source, ask(unrelated_rows=n), make_tokenizer()) for n in (7, 60)
    )
    assert few == all_rows[: len(few)]
    assert 0 < len(few) <= 7
    assert len(all_rows) == NUM_ROWS - NUM_ROWS // 5  # the others are longer than the context
    assert [row.row for row in all_rows] != sorted(row.row for row in all_rows)
    other = ask(unrelated_rows=7, split_seed=5)
    assert prepare_unrelated(source, other, make_tokenizer()) == few


def test_unrelated_rows_that_do_not_fit_the_context_are_refused_by_file(
    source: Source, make_tokenizer
):
    with pytest.raises(UserError) as caught:
        prepare_unrelated(source, ask(context_tokens=3), make_tokenizer())
    assert str(caught.value).startswith(f"{source.path}: ")
