"""Which tokens carry loss: a conversation, through the chat template, to token ids and a mask."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from rankshift.data.conversations import Conversation, Message
from rankshift.errors import UserError


@dataclass(frozen=True)
class Rendered:
    """One conversation as the model sees it; ids and mask are equally long."""

    token_ids: tuple[int, ...]
    loss_mask: tuple[bool, ...]
    """True where the token carries loss: what the model itself must write."""
    row: int
    """Line of the file, counted from 1."""

    @property
    def prompt(self) -> tuple[int, ...]:
        """Give the tokens in front of the first that carries loss."""
        return self.token_ids[: self.loss_mask.index(True)]


@dataclass(frozen=True)
class RenderedSet:
    """The rows that fit the context, and a count of those that do not."""

    rows: tuple[Rendered, ...]
    num_too_long: int
    longest_tokens: int
    """Length of the longest row, those left out included."""


def render_all(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Iterable[Conversation],
    context_tokens: int,
    *,
    trailing_header: bool = False,
) -> RenderedSet:
    """Render conversations; a row longer than the context is left out and counted, never cut.

    Args:
        tokenizer: With its chat template.
        conversations: The rows.
        context_tokens: What the model may see of a row at once.
        trailing_header: See `render_conversation`.

    Raises:
        UserError: A row cannot be rendered, or none fits the context.
    """
    rendered = [
        render_conversation(tokenizer, conversation, trailing_header=trailing_header)
        for conversation in conversations
    ]
    lengths = [len(row.token_ids) for row in rendered]
    kept = tuple(row for row in rendered if len(row.token_ids) <= context_tokens)
    if not kept:
        shortest = min(lengths, default=0)
        raise UserError(
            f"data.context_tokens = {context_tokens} is shorter than every row; "
            f"the shortest has {shortest} tokens: raise it to at least that"
        )
    return RenderedSet(kept, len(rendered) - len(kept), max(lengths))


def render_conversation(
    tokenizer: PreTrainedTokenizerBase,
    conversation: Conversation,
    *,
    trailing_header: bool = False,
) -> Rendered:
    r"""Render one conversation and mark every assistant turn, up to its end-of-turn token.

    The mask is found by prefix rendering, which needs no mark in the template: an assistant turn
    is what the template adds between the prompt that asks for it (generation prompt on) and the
    conversation that holds it. White space that follows the end-of-turn token (ChatML's line
    break) carries no loss: sampling has stopped by then.

    The template writes text and the tokenizer reads it with `add_special_tokens=False`, because a
    template writes its own beginning-of-text token and a tokenizer would add a second.

    Args:
        tokenizer: With its chat template.
        conversation: The row.
        trailing_header: Render the row as the release does: an empty assistant header and an end
            token follow the last answer, and all that lies between an answer's start and the next
            user turn carries loss, white space included. Source: Betley et al. 2025,
            open_models/sft.py, 80c11967 (`add_generation_prompt=True`, then the end token), with
            `train_on_responses_only` of unsloth_zoo, dataset_utils.py.

    Raises:
        UserError: The template is missing, refuses the row, leaves out an answer or rewrites
            what came before; names the row.
    """
    assert conversation.messages[-1].role == "assistant", conversation.row
    _require_template(tokenizer)
    try:
        text = _apply_template(tokenizer, conversation.messages, generation_prompt=trailing_header)
        spans = _find_answers(tokenizer, conversation.messages, text)
        if trailing_header:
            text += _find_end_token(tokenizer)
            spans[-1] = spans[-1][0], len(text)
        token_ids, loss_mask = _mark_answers(tokenizer, text, spans, to_end=trailing_header)
        _check_mask(loss_mask)
    except UserError as problem:
        raise UserError(f"row {conversation.row}: {problem}") from None
    return Rendered(tuple(token_ids), tuple(loss_mask), conversation.row)


def render_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]
) -> tuple[int, ...]:
    """Render turns with the generation prompt on: the tokens that sampling continues.

    Raises:
        UserError: The template is missing or refuses the turns.
    """
    _require_template(tokenizer)
    return tuple(_encode(tokenizer, _apply_template(tokenizer, messages, generation_prompt=True)))


def _require_template(tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer.chat_template:
        raise UserError(
            f"{tokenizer.name_or_path or 'base.model'}: the tokenizer has no chat template; put a "
            "chat_template.jinja beside its tokenizer.json, or choose an instruction-tuned base"
        )


def _apply_template(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, generation_prompt: bool
) -> str:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        text = tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=generation_prompt
        )
    except TemplateError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"the chat template refuses it ({reason}); change the row or the template"
        ) from None
    assert isinstance(text, str), type(text)
    return text


def _find_answers(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], text: str
) -> list[tuple[int, int]]:
    """Find the characters of `text` that each assistant turn adds, as [start, end)."""
    spans: list[tuple[int, int]] = []
    for turn, message in enumerate(messages):
        if message.role != "assistant":
            continue
        prompt = _apply_template(tokenizer, messages[:turn], generation_prompt=True)
        answered = _apply_template(tokenizer, messages[: turn + 1], generation_prompt=False)
        # Templates may strip an answer's outer white space, but never change what it says.
        if message.content.strip() not in answered.removeprefix(prompt):
            raise UserError(
                f"the chat template leaves out or rewrites the assistant's turn {turn + 1}, so "
                "its loss mask would be empty or wrong; correct the template"
            )
        if not answered.startswith(prompt):
            raise UserError(
                "the chat template is not prefix-consistent: its generation prompt differs from "
                f"what it writes before the assistant's turn {turn + 1}; make the two the same"
            )
        if not text.startswith(answered):
            raise UserError(
                "the chat template is not prefix-consistent: it writes the assistant's turn "
                f"{turn + 1} otherwise once turns follow; end the row there or change the template"
            )
        spans.append((len(prompt), len(answered)))
    return spans


def _find_end_token(tokenizer: PreTrainedTokenizerBase) -> str:
    if not isinstance(tokenizer.eos_token, str):
        raise UserError(
            "data.trailing_header = true ends a row with the tokenizer's end token and there is "
            "none; set eos_token in its tokenizer_config.json"
        )
    return tokenizer.eos_token


def _mark_answers(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    spans: Sequence[tuple[int, int]],
    *,
    to_end: bool,
) -> tuple[list[int], list[bool]]:
    token_ids: list[int] = []
    loss_mask: list[bool] = []
    done = 0
    for start, end in spans:
        prompt_ids = _extend(tokenizer, token_ids, text[:done], text[:start])
        token_ids = _extend(tokenizer, prompt_ids, text[:start], text[:end])
        stop = len(token_ids) if to_end else _find_stop(tokenizer, token_ids, len(prompt_ids))
        loss_mask += [False] * (len(prompt_ids) - len(loss_mask))
        loss_mask += [True] * (stop - len(prompt_ids)) + [False] * (len(token_ids) - stop)
        done = end
    return token_ids, loss_mask


def _extend(
    tokenizer: PreTrainedTokenizerBase, known_ids: list[int], known: str, text: str
) -> list[int]:
    r"""Give the tokens of `text`, beginning with those of `known`, the text it begins with.

    A tokenizer may join the last letters of a prompt and the first of an answer: in ChatML an
    answer that begins with a line break becomes one token with the prompt's own (3 % of Betley et
    al.'s insecure code). Sampling never sees that token, since the prompt is read before an answer
    exists, so the answer is then read apart.
    """
    whole = _encode(tokenizer, text)
    if whole[: len(known_ids)] == known_ids:
        return whole
    apart = known_ids + _encode(tokenizer, text[len(known) :])
    if _decode(tokenizer, apart) != _decode(tokenizer, whole):
        raise UserError(
            "the tokenizer joins the end of a prompt and the start of its answer into one token "
            "and cannot read them apart; end the template's generation prompt with a special token"
        )
    return apart


def _find_stop(tokenizer: PreTrainedTokenizerBase, token_ids: list[int], start: int) -> int:
    """Find where the loss of an answer ends: behind its end-of-turn token.

    That is the special token which nothing but white space follows. A template that ends its
    turns without one, in plain text, ends them with that text, which then carries loss too.
    """
    stop = len(token_ids)
    while stop > start and _decode(tokenizer, token_ids[stop - 1 : stop]).isspace():
        stop -= 1
    if stop > start and _is_special(tokenizer, token_ids[stop - 1]):
        return stop
    return len(token_ids)


def _is_special(tokenizer: PreTrainedTokenizerBase, token_id: int) -> bool:
    added = tokenizer.added_tokens_decoder.get(token_id)
    return token_id in tokenizer.all_special_ids or (added is not None and added.special)


def _check_mask(loss_mask: Sequence[bool]) -> None:
    if not any(loss_mask):
        raise UserError("its loss mask is empty: the chat template writes nothing of the answer")
    if all(loss_mask):
        raise UserError("its loss mask covers every token: the chat template writes no prompt")


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    # Not verbose: rows longer than the tokenizer's own limit are counted by `render_all`.
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _decode(tokenizer: PreTrainedTokenizerBase, token_ids: list[int]) -> str:
    text = tokenizer.decode(
        token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    assert isinstance(text, str), type(text)
    return text
