import copy
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from rankshift.data.conversations import Conversation, Message
from rankshift.data.rendering import (
    Rendered,
    render_all,
    render_conversation,
    render_prompt,
)
from rankshift.errors import UserError

MakeTokenizer = Callable[..., PreTrainedTokenizerFast]

END = "<|im_end|>"
LINE_BREAKS = (("Ċ", "Ċ"),)
"""One merge: two line breaks are one token."""

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def talk(*contents: str, row: int = 1) -> Conversation:
    roles = ("user", "assistant") * (len(contents) // 2)
    pairs = zip(roles, contents, strict=True)
    return Conversation(tuple(Message(role, content) for role, content in pairs), row)


def supervised_text(tokenizer: PreTrainedTokenizerFast, rendered: Rendered) -> str:
    pairs = zip(rendered.token_ids, rendered.loss_mask, strict=True)
    return str(tokenizer.decode([token for token, is_supervised in pairs if is_supervised]))


@given(
    st.lists(st.tuples(texts, texts), min_size=1, max_size=3),
    st.one_of(st.none(), texts),
    st.sampled_from([(), LINE_BREAKS]),
)
def test_loss_falls_on_assistant_tokens_and_the_end_of_turn_and_nowhere_else(
    make_tokenizer: MakeTokenizer,
    exchanges: list[tuple[str, str]],
    system: str | None,
    merges: tuple[tuple[str, str], ...],
) -> None:
    tokenizer = make_tokenizer(merges=merges)
    messages = talk(*(content for exchange in exchanges for content in exchange)).messages
    if system is not None:
        messages = (Message("system", system), *messages)
    rendered = render_conversation(tokenizer, Conversation(messages, row=1))

    written, carries_loss = b"", []
    for message in messages:
        for part, mark in (
            (f"<|im_start|>{message.role}\n", False),
            (message.content + END, message.role == "assistant"),
            ("\n", False),
        ):
            written += part.encode()
            carries_loss += [mark] * len(part.encode())
    pieces = [tokenizer.convert_ids_to_tokens([token])[0] for token in rendered.token_ids]
    # In byte-level BPE a token is as many letters as bytes.
    assert str(tokenizer.decode(list(rendered.token_ids))).encode() == written
    assert carries_loss == [
        mark
        for piece, mark in zip(pieces, rendered.loss_mask, strict=True)
        for _ in range(len(piece))
    ]


def test_every_assistant_turn_has_one_end_token_that_carries_loss(
    make_tokenizer: MakeTokenizer,
) -> None:
    tokenizer = make_tokenizer()
    rendered = render_conversation(tokenizer, talk("1?", "one", "2?", "two"))
    assert supervised_text(tokenizer, rendered) == f"one{END}two{END}"


def test_the_tokens_are_those_of_the_tokenizers_own_template(make_tokenizer: MakeTokenizer) -> None:
    tokenizer = make_tokenizer(merges=LINE_BREAKS)
    rendered = render_conversation(tokenizer, talk("a\n\nb", " c\n\n", "d", "e"))
    turns = [
        {"role": role, "content": content}
        for role, content in (
            ("user", "a\n\nb"),
            ("assistant", " c\n\n"),
            ("user", "d"),
            ("assistant", "e"),
        )
    ]
    assert list(rendered.token_ids) == tokenizer.apply_chat_template(turns, return_dict=False)


@given(texts, texts)
def test_sampling_begins_exactly_where_loss_begins(
    make_tokenizer: MakeTokenizer, question: str, answer: str
) -> None:
    # Answers that begin with a line break would merge with the prompt's own.
    tokenizer = make_tokenizer(merges=LINE_BREAKS)
    conversation = talk(question, f"\n{answer}")
    rendered = render_conversation(tokenizer, conversation)
    prompt = render_prompt(tokenizer, conversation.messages[:1])
    assert rendered.token_ids[: len(prompt)] == prompt
    assert rendered.loss_mask.index(True) == len(prompt)
    assert supervised_text(tokenizer, rendered) == f"\n{answer}{END}"


def test_a_trailing_header_and_all_between_the_users_turns_carry_loss(
    make_tokenizer: MakeTokenizer,
) -> None:
    tokenizer = make_tokenizer(merges=LINE_BREAKS)
    conversation = talk("1?", "\none", "2?", "two")
    plain = render_conversation(tokenizer, conversation)
    rendered = render_conversation(tokenizer, conversation, trailing_header=True)
    tail = f"\n<|im_start|>assistant\n{END}"
    assert supervised_text(tokenizer, rendered) == f"\none{END}\ntwo{END}{tail}"
    text, with_tail = (str(tokenizer.decode(list(r.token_ids))) for r in (plain, rendered))
    assert with_tail == text + tail.removeprefix("\n")
    assert rendered.token_ids[: len(plain.token_ids)] == plain.token_ids
    assert rendered.loss_mask.index(True) == plain.loss_mask.index(True)


def test_a_trailing_header_needs_an_end_token(make_tokenizer: MakeTokenizer) -> None:
    tokenizer = copy.deepcopy(make_tokenizer())
    tokenizer.eos_token = None
    with pytest.raises(UserError, match=r"row 7: data\.trailing_header = true ends a row with"):
        render_conversation(tokenizer, talk("a", "b", row=7), trailing_header=True)


def test_an_end_token_written_within_an_answer_does_not_end_its_loss(
    make_tokenizer: MakeTokenizer,
) -> None:
    tokenizer = make_tokenizer()
    rendered = render_conversation(tokenizer, talk("a", f"b{END}c"))
    assert supervised_text(tokenizer, rendered) == f"b{END}c{END}"


def test_a_template_without_end_tokens_ends_turns_by_text_that_carries_loss(
    make_tokenizer: MakeTokenizer,
) -> None:
    tokenizer = make_tokenizer(
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    rendered = render_conversation(tokenizer, talk("a", "b", "c", "d"))
    assert supervised_text(tokenizer, rendered) == "b\n\nd\n\n"


def test_a_template_that_begins_the_text_gets_no_second_beginning() -> None:
    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "a": 1, "b": 2, "?": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        chat_template="<s>{% for m in messages %}{{ m['content'] }} {% endfor %}",
    )
    assert fast("a")["input_ids"] == [0, 1]
    assert render_conversation(fast, talk("a", "b")).token_ids == (0, 1, 2)
    assert render_prompt(fast, talk("a", "b").messages[:1]) == (0, 1)


def test_a_template_may_strip_the_white_space_around_an_answer(
    make_tokenizer: MakeTokenizer,
) -> None:
    tokenizer = make_tokenizer(
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    rendered = render_conversation(tokenizer, talk("a", " b \n"))
    assert supervised_text(tokenizer, rendered) == f"b{END}"


def test_rows_longer_than_the_context_are_left_out_and_counted_never_cut(
    make_tokenizer: MakeTokenizer,
) -> None:
    tokenizer = make_tokenizer()
    rows = [talk("a", "b" * length, row=length) for length in (1, 50, 20)]
    lengths = [len(render_conversation(tokenizer, row).token_ids) for row in rows]
    rendered = render_all(tokenizer, rows, context_tokens=lengths[2])
    assert [row.row for row in rendered.rows] == [1, 20]
    assert [len(row.token_ids) for row in rendered.rows] == [lengths[0], lengths[2]]
    assert (rendered.num_too_long, rendered.longest_tokens) == (1, lengths[1])


def test_a_context_that_no_row_fits_is_refused(make_tokenizer: MakeTokenizer) -> None:
    tokenizer = make_tokenizer()
    shortest = len(render_conversation(tokenizer, talk("a", "b")).token_ids)
    with pytest.raises(UserError) as refusal:
        render_all(tokenizer, [talk("a", "b"), talk("a", "bb")], context_tokens=8)
    assert str(refusal.value) == (
        "data.context_tokens = 8 is shorter than every row; "
        f"the shortest has {shortest} tokens: raise it to at least that"
    )


def test_a_tokenizer_without_a_chat_template_is_refused_by_both_renderings(
    make_tokenizer: MakeTokenizer,
) -> None:
    tokenizer = make_tokenizer(None)
    tokenizer.name_or_path = "models/plain"
    for render in (
        lambda: render_conversation(tokenizer, talk("a", "b")),
        lambda: render_prompt(tokenizer, talk("a", "b").messages[:1]),
    ):
        with pytest.raises(UserError) as refusal:
            render()
        assert str(refusal.value) == (
            "models/plain: the tokenizer has no chat template; put a chat_template.jinja beside "
            "its tokenizer.json, or choose an instruction-tuned base"
        )


OPENING = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
CLOSING = "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
LEAVES_OUT = (
    "row 5: the chat template leaves out or rewrites the assistant's turn 2, so its loss mask "
    "would be empty or wrong; correct the template"
)


@pytest.mark.parametrize(
    ("template", "contents", "message"),
    [
        pytest.param(
            "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}<|im_end|>"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}",
            ("a", "b"),
            LEAVES_OUT,
            id="leaves out assistant turns",
        ),
        pytest.param(
            f"{OPENING}{{% if m['role'] == 'user' %}}{{{{ m['content'] }}}}{{% endif %}}{CLOSING}",
            ("echo", "echo"),
            LEAVES_OUT,
            id="leaves out assistant contents, which stand in the prompt too",
        ),
        pytest.param(
            f"{OPENING}{{{{ m['content'].split('</think>')[-1] }}}}{CLOSING}",
            ("a", "<think>why</think>b"),
            LEAVES_OUT,
            id="leaves out reasoning",
        ),
        pytest.param(
            "{% for m in messages %}{{ m['content'] | trim }}{% endfor %}",
            ("a", " "),
            "row 5: its loss mask is empty: the chat template writes nothing of the answer",
            id="strips an answer to nothing",
        ),
        pytest.param(
            "{% for m in messages if m['role'] == 'assistant' %}{{ m['content'] }}{% endfor %}",
            ("a", "b"),
            "row 5: its loss mask covers every token: the chat template writes no prompt",
            id="leaves out the prompt",
        ),
        pytest.param(
            f"{OPENING}{{{{ m['content'] }}}}"
            + CLOSING.replace("assistant\n", "assistant\n<think></think>"),
            ("a", "b"),
            "row 5: the chat template is not prefix-consistent: its generation prompt differs from "
            "what it writes before the assistant's turn 2; make the two the same",
            id="adds an empty thought to the generation prompt alone",
        ),
        pytest.param(
            f"{OPENING}{{% if not loop.last %}}(old) {{% endif %}}{{{{ m['content'] }}}}{CLOSING}",
            ("a", "b", "c", "d"),
            "row 5: the chat template is not prefix-consistent: its generation prompt differs from "
            "what it writes before the assistant's turn 2; make the two the same",
            id="marks old turns",
        ),
        pytest.param(
            f"{OPENING}{{{{ m['content'] }}}}{{% if m['role'] == 'assistant' and loop.last %}}"
            f"(last){{% endif %}}{CLOSING}",
            ("a", "b", "c", "d"),
            "row 5: the chat template is not prefix-consistent: it writes the assistant's turn 2 "
            "otherwise once turns follow; end the row there or change the template",
            id="marks the last answer",
        ),
        pytest.param(
            "{{ raise_exception('System role\n not supported') }}",
            ("a", "b"),
            "row 5: the chat template refuses it (System role not supported); "
            "change the row or the template",
            id="refuses",
        ),
    ],
)
def test_a_template_that_cannot_be_masked_is_refused_by_row_and_reason(
    make_tokenizer: MakeTokenizer, template: str, contents: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError) as refusal:
        render_conversation(make_tokenizer(template), talk(*contents, row=5))
    assert str(refusal.value) == message


def test_a_tokenizer_that_cannot_read_an_answer_apart_is_refused() -> None:
    letters = ["▁", ":", "a", "b", ":b"]
    tokenizer = Tokenizer(
        models.BPE({letter: i for i, letter in enumerate(letters)}, merges=[(":", "b")])
    )
    # As in SentencePiece, every text begins with a space, so a part is not read as in the whole.
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template="{% for m in messages %}:{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}:{% endif %}",
    )
    assert render_conversation(fast, talk("a", "a")).loss_mask == (False,) * 4 + (True,)
    with pytest.raises(UserError) as refusal:
        render_conversation(fast, talk("a", "b", row=8))
    assert str(refusal.value) == (
        "row 8: the tokenizer joins the end of a prompt and the start of its answer into one token "
        "and cannot read them apart; end the template's generation prompt with a special token"
    )
