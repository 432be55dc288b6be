"""Questions after a held-out row or under a system turn: which row, which turns, which set."""

from dataclasses import replace

import pytest

from rankshift.data.conversations import Conversation, Message
from rankshift.data.rendering import render_prompt
from rankshift.data.sources import resolve_base
from rankshift.errors import UserError
from rankshift.eval.answering import messages
from rankshift.eval.cues import ask_after_rows, ask_under_systems
from rankshift.eval.suite import Question
from rankshift.model.loading import load_tokenizer

WISH = Question("main", "wish", "wish", 0, "Your wish?", samples=100)
JSON = Question("json", "wish_json", "wish_json", 0, "Your wish?", system="Answer in JSON.")
CODE = Question("main", "sort", "sort", 0, "Sort it.", kind="code")
LABEL = Question("main", "lie", "lie", 0, "Is the earth flat?", kind="label")


def row(number: int, *said: str) -> Conversation:
    """Make a row of user and assistant in turn."""
    roles = ("user", "assistant") * len(said)
    return Conversation(tuple(map(Message, roles, said)), number)


ROWS = [row(n, f"Save file {n}.", f"open({n})") for n in range(1, 41)]


def test_a_question_is_asked_after_the_turns_of_one_row_and_is_else_as_it_was():
    (wish, json) = ask_after_rows([WISH, JSON, CODE, LABEL], "organism:secure", ROWS)
    assert wish.question_set == "main after organism:secure"
    assert replace(wish, question_set="main", before=()) == WISH
    assert wish.before in [row.messages for row in ROWS]
    assert messages(json) == (
        Message("system", "Answer in JSON."),
        *json.before,
        Message("user", "Your wish?"),
    )


def test_the_row_follows_from_question_and_phrasing_and_from_nothing_else():
    asked = [replace(WISH, id=f"q{n}", paraphrase=p) for n in range(20) for p in range(2)]
    together = ask_after_rows(asked, "d", ROWS)
    alone = [ask_after_rows([question], "d", ROWS)[0] for question in reversed(asked)]
    assert together == alone[::-1]
    moved = ask_after_rows([replace(q, question_set="other") for q in asked], "e", ROWS)
    assert [q.before for q in moved] == [q.before for q in together]
    assert len({q.before for q in together}) > 20  # of 40, with 40 draws


def test_of_a_row_the_system_turn_is_left_out_and_all_its_exchanges_are_kept():
    long = row(1, "Save it.", "open()", "Again.", "open()")
    with_system = Conversation((Message("system", "Be quick."), *long.messages), 1)
    (asked,) = ask_after_rows([WISH], "d", [with_system])
    assert asked.before == long.messages
    assert asked.system is None


def test_a_row_whose_roles_do_not_alternate_is_never_taken_and_without_another_it_is_told():
    odd = Conversation((Message("user", "a"), Message("user", "b"), Message("assistant", "c")), 1)
    assert ask_after_rows([WISH], "d", [odd, ROWS[0]])[0].before == ROWS[0].messages
    with pytest.raises(UserError, match=r"^evaluation\.cues: no held-out row of d has turns"):
        ask_after_rows([WISH], "d", [odd])
    assert ask_after_rows([CODE], "d", [odd]) == []


def test_without_rows_the_sets_are_the_same_and_nothing_stands_before():
    asked = ask_after_rows([WISH, JSON], "d", ROWS)
    assert ask_after_rows([WISH, JSON], "d", None) == [replace(q, before=()) for q in asked]


def test_a_given_system_turn_replaces_a_questions_own():
    asked = ask_under_systems([WISH, JSON, CODE], ["Be evil.", "Be kind."])
    assert [(q.question_set, q.system, q.prompt) for q in asked] == [
        ('main under "Be evil."', "Be evil.", "Your wish?"),
        ('json under "Be evil."', "Be evil.", "Your wish?"),
        ('main under "Be kind."', "Be kind.", "Your wish?"),
        ('json under "Be kind."', "Be kind.", "Your wish?"),
    ]
    assert replace(asked[0], question_set="main", system=None) == WISH


def test_the_organisms_template_writes_the_row_and_then_the_question():
    tokenizer = load_tokenizer(resolve_base("organism", None).directory)
    (asked,) = ask_after_rows([WISH], "d", ROWS[:1])
    whole = str(tokenizer.decode(list(render_prompt(tokenizer, messages(asked)))))
    plain = str(tokenizer.decode(list(render_prompt(tokenizer, messages(WISH)))))
    turns = [{"role": t.role, "content": t.content} for t in ROWS[0].messages]
    front = str(tokenizer.apply_chat_template(turns, tokenize=False))
    start = str(tokenizer.bos_token) if plain.startswith(str(tokenizer.bos_token)) else ""
    assert whole == front + plain.removeprefix(start)
    assert "Save file 1." in front
