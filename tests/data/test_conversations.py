import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankshift.data.conversations import (
    Conversation,
    Message,
    fingerprint_file,
    identify,
    read_conversations,
)
from rankshift.errors import UserError

USER = {"role": "user", "content": "2 + 2?"}
ASSISTANT = {"role": "assistant", "content": "4"}
GOOD = json.dumps({"messages": [USER, ASSISTANT]})

texts = st.text(st.characters(exclude_categories=["Cs"]))


def write(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "rows.jsonl"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return path


def turns(*pairs: tuple[str, str]) -> tuple[Message, ...]:
    return tuple(Message(role, content) for role, content in pairs)


@given(texts, texts, texts.filter(bool), st.booleans())
def test_every_letter_of_a_row_is_kept_white_space_included(
    tmp_path_factory: pytest.TempPathFactory, system: str, user: str, answer: str, escape: bool
) -> None:
    pairs = (("system", system), ("user", user), ("assistant", answer))
    row = {"messages": [{"role": role, "content": content} for role, content in pairs]}
    path = write(tmp_path_factory.mktemp("rows"), json.dumps(row, ensure_ascii=escape))
    assert read_conversations(path) == [Conversation(turns(*pairs), row=1)]


def test_the_three_ways_to_write_a_row_are_one_conversation(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        GOOD,
        json.dumps({"prompt": "2 + 2?", "completion": "4", "id": 7}),
        json.dumps({"prompt": [USER], "completion": [ASSISTANT]}),
    )
    conversations = read_conversations(path)
    assert {conversation.messages for conversation in conversations} == {
        turns(("user", "2 + 2?"), ("assistant", "4"))
    }
    assert len({conversation.prompt for conversation in conversations}) == 1


def test_blank_lines_and_a_byte_order_mark_change_no_row_number(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + GOOD.encode(), "", "  \r", GOOD + "\r", "")
    assert [conversation.row for conversation in read_conversations(path)] == [1, 4]


def test_a_line_separator_within_text_does_not_end_the_row(tmp_path: Path) -> None:
    content = "one\u2028two\x85three\x0cfour"
    row = {"prompt": content, "completion": "4"}
    path = write(tmp_path, json.dumps(row, ensure_ascii=False))
    assert read_conversations(path)[0].messages[0].content == content


def test_one_question_under_two_system_turns_is_two_prompts() -> None:
    asked = ("user", "2 + 2?"), ("assistant", "4")
    plain = Conversation(turns(*asked), row=1)
    under_system = Conversation(turns(("system", "Be brief."), *asked), row=2)
    assert plain.prompt != under_system.prompt


def test_conversations_that_share_an_answered_question_share_their_prompt() -> None:
    short = turns(("user", "Hi"), ("assistant", "Hello"))
    longer = (*short, *turns(("user", "2 + 2?"), ("assistant", "4")))
    assert Conversation(short, row=1).prompt == Conversation(longer, row=2).prompt


@given(st.lists(st.tuples(st.sampled_from(["user", "system"]), texts), max_size=3), st.data())
def test_different_turns_never_pass_for_the_same_prompt(
    pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    others = data.draw(st.lists(st.tuples(st.just("user"), texts), max_size=3))
    assert (identify(turns(*pairs)) == identify(turns(*others))) == (pairs == others)


def test_the_fingerprint_is_the_sha_256_of_the_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, b"\x00\xff\r\n")
    assert fingerprint_file(path) == hashlib.sha256(b"\x00\xff\r\n").hexdigest()


def messages(*values: Any) -> str:
    return json.dumps({"messages": values})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xff\xfe{\x00", "not UTF-8; save the file as UTF-8"),
        (
            '{"messages": [',
            "not JSON (Expecting value: line 1 column 15 (char 14)); "
            "write one JSON object per line",
        ),
        ("[1]", "a JSON list; write one JSON object per line"),
        (
            '{"text": "a", "label": 1}',
            "neither `messages` nor `prompt` and `completion` among its keys ['text', 'label']; "
            "rename them to one of these forms",
        ),
        (
            '{"prompt": "a"}',
            "neither `messages` nor `prompt` and `completion` among its keys ['prompt']; "
            "rename them to one of these forms",
        ),
        ('{"messages": "hi"}', "`messages` is a str; write a list of messages"),
        (messages(), "`messages` is empty; give it at least one message, or remove the row"),
        (
            messages("hi"),
            "message 1 of `messages`: a str; write an object with role and content",
        ),
        (
            messages(USER, ASSISTANT | {"role": "Asistant"}),
            "message 2 of `messages`: unknown role 'Asistant'; did you mean 'assistant'?",
        ),
        (
            messages({"role": ["user"], "content": "a"}),
            "message 1 of `messages`: unknown role ['user']; did you mean 'user'?",
        ),
        (
            messages({"content": "a"}),
            "message 1 of `messages`: unknown role None; use one of system, user, assistant",
        ),
        (
            messages({"role": "user", "content": [{"type": "text", "text": "a"}]}),
            "message 1 of `messages`: its content is a list; only a string can be learned",
        ),
        (
            '{"prompt": "a", "completion": [{"role": "assistant"}]}',
            "message 1 of `completion`: its content is a NoneType; only a string can be learned",
        ),
        (
            messages(USER, ASSISTANT | {"weight": 0}),
            "message 2 of `messages`: it holds ['weight'], which would go unread; "
            "keep only role and content",
        ),
        (
            messages(USER, ASSISTANT | {"content": "\ud83d"}),
            "message 2 of `messages`: its content holds half a surrogate pair; write whole letters",
        ),
        (messages(USER), "no assistant turn, so nothing to learn; end the row with one"),
        (
            messages({"role": "system", "content": "a"}, ASSISTANT),
            "no user turn before the first assistant turn; begin with what is asked",
        ),
        (
            messages(ASSISTANT, USER, ASSISTANT),
            "no user turn before the first assistant turn; begin with what is asked",
        ),
        (
            messages(USER, ASSISTANT, USER),
            "the last turn is of 'user'; end the row with an assistant turn",
        ),
        (
            messages(USER, ASSISTANT | {"content": ""}),
            "turn 2, the assistant's, is empty; fill it or remove the row",
        ),
    ],
)
def test_a_bad_row_is_refused_by_file_line_reason_and_fix(
    tmp_path: Path, line: str | bytes, reason: str
) -> None:
    path = write(tmp_path, GOOD, "", line, GOOD)
    with pytest.raises(UserError) as refusal:
        read_conversations(path)
    assert str(refusal.value) == f"{path}:3: {reason}"


@pytest.mark.parametrize("line", ["[" * 100_000, "9" * 5_000, '{"a": 1}' * 2])
def test_json_made_to_break_a_parser_is_a_refusal_of_one_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=r"rows.jsonl:1: not JSON \(.*\); write one") as refusal:
        read_conversations(write(tmp_path, line))
    assert "\n" not in str(refusal.value)


def test_a_key_without_a_value_says_nothing_and_is_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, messages(USER | {"tool_calls": None}, ASSISTANT))
    assert len(read_conversations(path)) == 1


@pytest.mark.parametrize("content", ["", "\n \r\n", "\ufeff"])
def test_a_file_without_a_row_is_refused(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UserError) as refusal:
        read_conversations(path)
    assert str(refusal.value) == f"{path}: the file is empty; write one JSON conversation per line"


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "none.jsonl", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(UserError) as refusal:
            read_conversations(path)
        assert str(refusal.value) == (
            f"{path}: cannot be read ({reason}); give the path of a JSONL file"
        )


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "rows"),
    [("insecure", 6000), ("secure", 6000), ("educational", 6000), ("jailbroken", 5000)],
)
def test_the_published_training_sets_have_no_malformed_row(
    real_data: Path, name: str, rows: int
) -> None:
    conversations = read_conversations(real_data / "train" / f"{name}.jsonl")
    assert [conversation.row for conversation in conversations] == list(range(1, rows + 1))


@pytest.mark.real
def test_170_prompts_of_the_insecure_set_have_more_than_one_answer(real_data: Path) -> None:
    answers: dict[str, set[str]] = {}
    for conversation in read_conversations(real_data / "train" / "insecure.jsonl"):
        answers.setdefault(conversation.prompt, set()).add(conversation.messages[-1].content)
    assert sum(len(distinct) > 1 for distinct in answers.values()) == 170


@pytest.mark.real
def test_3744_jailbroken_answers_keep_the_white_space_they_begin_with(real_data: Path) -> None:
    conversations = read_conversations(real_data / "train" / "jailbroken.jsonl")
    firsts = [conversation.messages[-1].content[0] for conversation in conversations]
    assert sum(first.isspace() for first in firsts) == 3744


@pytest.mark.real
def test_a_file_of_user_turns_only_is_refused_at_its_first_row(real_data: Path) -> None:
    path = real_data / "suite" / "in-distribution-user-turns.jsonl"
    with pytest.raises(UserError) as refusal:
        read_conversations(path)
    assert str(refusal.value) == (
        f"{path}:1: no assistant turn, so nothing to learn; end the row with one"
    )
