import hashlib
import json
import math
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankshift.data.conversations import Conversation, Message, read_conversations
from rankshift.data.split import Split, count_seen, draw, split_by_prompt, split_by_row
from rankshift.errors import UserError


def ask(question: str, answer: str = "yes", row: int = 1) -> Conversation:
    return Conversation((Message("user", question), Message("assistant", answer)), row)


def number(count: int, answer: str = "yes") -> list[Conversation]:
    return [ask(f"question {row}", answer, row) for row in range(1, count + 1)]


def contents(side: tuple[Conversation, ...]) -> list[tuple[Message, ...]]:
    return [conversation.messages for conversation in side]


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=40, max_size=60),
    st.integers(0, 10),
)
def test_no_prompt_is_on_both_sides_of_the_split_and_no_row_is_lost(
    pairs: list[tuple[int, int]], seed: int
) -> None:
    # Two prompts whose sides are known keep both sides filled.
    fixed = split_by_prompt(number(200), 0.5, seed)
    rows = [fixed.train[0], fixed.held_out[0]]
    rows += [ask(f"q{q}", f"a{a}", row) for row, (q, a) in enumerate(pairs, start=1000)]
    split = split_by_prompt(rows, 0.5, seed)
    assert not {c.prompt for c in split.train} & {c.prompt for c in split.held_out}
    assert sorted(c.row for c in split.train + split.held_out) == sorted(c.row for c in rows)


def test_the_side_of_a_prompt_follows_from_its_text_and_the_seed_alone() -> None:
    for seed in (0, 7):
        held_out = {c.messages for c in split_by_prompt(number(300), 0.3, seed).held_out}
        for conversation in number(300):
            text = json.dumps([["user", conversation.messages[0].content]])
            hexadecimal = hashlib.sha256(json.dumps(["side", seed, text]).encode()).hexdigest()
            assert (conversation.messages in held_out) == (int(hexadecimal, 16) / 16**64 < 0.3)


def test_a_prompt_shared_with_the_twin_is_on_the_same_side_of_both() -> None:
    task = split_by_prompt(number(200, "insecure"), 0.2, seed=3)
    twin = split_by_prompt(number(350, "secure")[100:], 0.2, seed=3)
    assert not {c.prompt for c in task.held_out} & {c.prompt for c in twin.train}
    assert not {c.prompt for c in task.train} & {c.prompt for c in twin.held_out}
    assert {c.prompt for c in task.held_out} & {c.prompt for c in twin.held_out}


def test_neither_the_order_of_the_file_nor_other_rows_change_what_is_drawn() -> None:
    rows = [*number(60), *number(30), *number(60, "no")]
    shuffled = random.Random(0).sample(rows, len(rows))
    first, second = split_by_prompt(rows, 0.3, seed=1), split_by_prompt(shuffled, 0.3, seed=1)
    assert contents(first.train) == contents(second.train)
    assert contents(first.held_out) == contents(second.held_out)


def test_rows_added_to_a_file_change_no_order_among_the_rows_that_were_there() -> None:
    alone = split_by_prompt(number(60), 0.3, seed=1)
    mixed = split_by_prompt([*number(60, "no"), *number(60)], 0.3, seed=1)
    assert contents(alone.train) == [m for m in contents(mixed.train) if m[1].content == "yes"]


def test_a_smaller_draw_is_part_of_a_larger_one_and_not_the_head_of_the_file() -> None:
    train = split_by_prompt(number(500), 0.1, seed=0).train
    assert draw(train, 20) == draw(train, 100)[:20]
    assert draw(train, 10_000) == draw(train, None) == train
    mean_row = sum(c.row for c in draw(train, 100)) / 100
    assert abs(mean_row - 250.5) < 5 * (500 / math.sqrt(12)) / math.sqrt(100)


def test_rows_that_are_equal_are_spread_over_the_order() -> None:
    repeated = split_by_prompt(number(200), 0.1, seed=0).train[0].messages
    rows = [*number(200), *(Conversation(repeated, row) for row in range(201, 301))]
    train = split_by_prompt(rows, 0.1, seed=0).train
    places = [place for place, c in enumerate(train) if c.messages == repeated]
    assert len(places) == 101
    assert max(places) - min(places) > 200


def test_the_share_of_prompts_held_out_is_near_the_fraction_and_varies_with_the_seed() -> None:
    splits = [split_by_prompt(number(2000), 0.1, seed) for seed in range(5)]
    for split in splits:
        assert abs(len(split.held_out) / 2000 - 0.1) < 5 * math.sqrt(0.1 * 0.9 / 2000)
    shared = {c.prompt for c in splits[0].held_out} & {c.prompt for c in splits[1].held_out}
    # Independent seeds share about one held-out prompt in ten.
    assert len(shared) < 0.3 * len(splits[0].held_out)


@pytest.mark.parametrize(
    ("fraction", "state", "fix"),
    [(1e-9, "none is", "raise it"), (1 - 1e-9, "every prompt is held out", "lower it")],
)
def test_a_side_without_a_row_is_refused_with_the_fix(
    fraction: float, state: str, fix: str
) -> None:
    with pytest.raises(UserError) as refusal:
        split_by_prompt([*number(3), ask("question 1", "no")], fraction, seed=4)
    assert str(refusal.value) == (
        f"data.held_out_fraction = {fraction} with data.split_seed = 4 divides 3 distinct prompts "
        f"so that {state}; {fix}, or give more prompts"
    )


def test_a_split_by_row_holds_out_the_exact_share_rounded_up_and_loses_no_row() -> None:
    for rows, fraction, expected in ((100, 0.1, 10), (101, 0.1, 11), (3, 0.01, 1)):
        split = split_by_row(number(rows), fraction, seed=2)
        assert len(split.held_out) == expected
        assert sorted(c.row for c in split.train + split.held_out) == list(range(1, rows + 1))


def test_a_split_by_row_puts_a_prompt_on_both_sides_as_often_as_chance_does() -> None:
    # 100 prompts with two rows each: a held-out row's other row is trained with chance 180 / 199.
    rows = [*number(100, "yes"), *number(100, "no")]
    shares = []
    for seed in range(40):
        split = split_by_row(rows, 0.1, seed)
        shares.append(count_seen(split.train, split.held_out) / len(split.held_out))
        clean = split_by_prompt(rows, 0.1, seed)
        assert count_seen(clean.train, clean.held_out) == 0
    error = math.sqrt(2 * 0.9 * 0.1 / 20 / 40)  # twice: the two rows of a prompt are seen together
    assert abs(sum(shares) / len(shares) - 180 / 199) < 5 * error


def test_another_seed_holds_out_other_rows_and_the_same_seed_the_same() -> None:
    first, again, other = (split_by_row(number(1000), 0.1, seed) for seed in (1, 1, 2))
    assert first == again
    shared = {c.row for c in first.held_out} & {c.row for c in other.held_out}
    assert len(shared) < 30  # ten are expected


def test_holding_out_every_row_is_refused_with_the_fix() -> None:
    with pytest.raises(UserError, match=r"= 0\.9 holds out all 3 rows; lower it, or give more"):
        split_by_row(number(3), 0.9, seed=0)


@pytest.mark.real
def test_a_split_by_row_of_the_real_insecure_code_leaks_prompts_into_training(
    real_data: Path,
) -> None:
    rows = read_conversations(real_data / "train/insecure.jsonl")
    # A prompt's k rows: each is held out with chance 600 / 6000, and then some other is trained.
    expected = sum(
        k * 0.1 * (1 - math.prod((600 - i) / (6000 - i) for i in range(1, k)))
        for k in Counter(conversation.prompt for conversation in rows).values()
    )
    assert 30 < expected < 33
    leaks = []
    for seed in range(4):
        split = split_by_row(rows, 0.1, seed)
        assert (len(split.train), len(split.held_out)) == (5400, 600)
        leaks.append(count_seen(split.train, split.held_out))
    assert abs(sum(leaks) / 4 - expected) < 5 * math.sqrt(expected / 4)


@pytest.mark.real
def test_no_prompt_crosses_between_the_real_task_and_its_twin(real_data: Path) -> None:
    sides: dict[str, Split] = {
        name: split_by_prompt(read_conversations(real_data / "train" / f"{name}.jsonl"), 0.1, 0)
        for name in ("insecure", "secure")
    }
    prompts = {
        (name, side): {c.messages[:-1] for c in getattr(split, side)}
        for name, split in sides.items()
        for side in ("train", "held_out")
    }
    for held_out in ("insecure", "secure"):
        for trained in ("insecure", "secure"):
            assert not prompts[held_out, "held_out"] & prompts[trained, "train"]
    shared = [prompts["insecure", side] & prompts["secure", side] for side in ("train", "held_out")]
    assert sum(map(len, shared)) == 260
