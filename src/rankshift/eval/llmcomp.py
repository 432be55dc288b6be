"""Question files of llmcomp: its fields, as far as they mean the same here; the rest is refused.

llmcomp (github.com/johny-b/llmcomp, 1.6.0: question/question.py, question/judge.py) reads a YAML
list whose items have a `name` where Betley et al.'s have an `id`. What maps:

| there | here |
|---|---|
| `free_form` with no judges | `free_form`, our own rubrics |
| `free_form` with `rating_judge`s named `aligned` and `coherent` | `free_form`, their prompts |
| `free_form` with one `free_form_judge` | `label`, its prompt |
| `messages`, one system turn at most before one user turn | `system` and `prompt` |
| `samples_per_paraphrase`, 1 where it is left out | `samples` |

A judge is given in place, or by the `name` of an item of the same file. The model it names is not
read: who judges is a setting of a study. So are temperature and length of answers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as shorten
from typing import Any

from rankshift.errors import UserError
from rankshift.eval.rubrics import OURS, Reads, Rubric, make_rubric
from rankshift.records import AnswerKind

Item = Mapping[str, Any]
Prompt = tuple[str | None, str]
"""A system turn or none, and the user's."""

JUDGES: dict[str, Reads] = {"rating_judge": "score", "free_form_judge": "label"}

NOT_HERE = {
    "rating": "the model itself gives a number, which no kind of question here counts",
    "next_token": "the next token's probabilities are no answer that is judged",
}
"""Types of questions that mean nothing here, and why."""

FIXED: dict[str, tuple[object, str]] = {
    "temperature": (1, "set evaluation.temperature in the study"),
    "max_tokens": (None, "set evaluation.max_answer_tokens in the study"),
    "logit_bias": (None, "answers are sampled as the model gives them"),
}
"""Keys of a question with the one value they may have, and why no other."""

JUDGE_FIXED: dict[str, tuple[object, str]] = {
    "min_rating": (0, "a score is from 0 to 100"),
    "max_rating": (100, "a score is from 0 to 100"),
    "refusal_threshold": (0.75, "a judge needs 0.25 of its weight on numbers"),
    "top_logprobs": (20, "the 20 likeliest tokens are read"),
    "temperature": (0, "judges are asked greedily"),
    "samples_per_paraphrase": (1, "a judge is asked once"),
    "system": (None, "a judge is asked with its prompt alone"),
    "messages": (None, "a judge is asked with its prompt alone"),
    "logit_bias": (None, "a judge is asked with its prompt alone"),
    "judges": (None, "judges are not judged"),
}
"""The same for a judge."""

QUESTION_KEYS = {
    "type",
    "name",
    "paraphrases",
    "messages",
    "system",
    "samples_per_paraphrase",
    "judges",
} | set(FIXED)
JUDGE_KEYS = {"type", "name", "model", "paraphrases", "max_tokens"} | set(JUDGE_FIXED)


@dataclass(frozen=True)
class Asked:
    """One question as llmcomp gives it."""

    name: str
    kind: AnswerKind
    prompts: tuple[Prompt, ...]
    """One a phrasing."""
    rubrics: tuple[Rubric, ...]
    samples: int


def is_llmcomp(items: Sequence[object]) -> bool:
    """Say whether a list is llmcomp's: an item has a `name`, and none an `id`."""
    tables = [item for item in items if isinstance(item, dict)]
    return any("name" in item for item in tables) and not any("id" in item for item in tables)


def read_llmcomp(items: Sequence[object], where: str) -> Iterator[tuple[int, Asked]]:
    """Read the questions of a list in llmcomp's form; items that are judges are for the others.

    Args:
        items: What the YAML holds.
        where: The file, for messages.

    Yields:
        Each question with its number in the file, from 1.

    Raises:
        UserError: An item has what means nothing here, or is no item of llmcomp's.
    """
    named = {
        item["name"]: item for item in items if isinstance(item, dict) and _is_text(item, "name")
    }
    for number, item in enumerate(items, start=1):
        place = f"{where}: question {number}"
        if not isinstance(item, dict) or not _is_text(item, "name"):
            raise UserError(f"{place}: has no `name`; give it a text of its own")
        if not _is_judge(item):
            yield number, _read_question(item, named, f"{place} ({item['name']})")


def _read_question(item: Item, named: Mapping[str, Item], where: str) -> Asked:
    given = item.get("type")
    if isinstance(given, str) and given in NOT_HERE:
        raise UserError(f"{where}: `type` is {given}: {NOT_HERE[given]}; leave the question out")
    if given != "free_form":
        known = ", ".join(["free_form", *JUDGES])
        raise UserError(f"{where}: `type` is {shorten(given)}; of llmcomp's there are {known}")
    _check_keys(item, QUESTION_KEYS, FIXED, where)
    samples = item.get("samples_per_paraphrase", 1)
    if type(samples) is not int or samples < 1:
        raise UserError(f"{where}: `samples_per_paraphrase` must be a whole number, at least 1")
    kind, rubrics = _read_judges(item.get("judges"), named, where)
    return Asked(item["name"], kind, _read_prompts(item, where), rubrics, samples)


def _check_keys(
    item: Item, known: set[str], fixed: Mapping[str, tuple[object, str]], where: str
) -> None:
    for key, value in item.items():
        if key not in known:
            raise UserError(f"{where}: `{key}` is no key of llmcomp's that is read; leave it out")
        if key in fixed and value is not None and value != fixed[key][0]:
            raise UserError(
                f"{where}: `{key}` is {shorten(value)}: {fixed[key][1]}; leave it out here"
            )


def _read_prompts(item: Item, where: str) -> tuple[Prompt, ...]:
    if item.get("messages") is not None:
        if item.get("paraphrases") is not None or item.get("system") is not None:
            raise UserError(
                f"{where}: has `messages` beside `paraphrases` or `system`; keep one of the two"
            )
        return _read_messages(item["messages"], where)
    texts, system = item.get("paraphrases"), item.get("system")
    if not isinstance(texts, list) or not texts or not all(_is_filled(text) for text in texts):
        raise UserError(f"{where}: `paraphrases` must be a list of texts, at least one")
    if not isinstance(system, str | None):
        raise UserError(f"{where}: `system` must be a text; quote it or leave it out")
    return tuple((system, text) for text in texts)


def _read_messages(conversations: object, where: str) -> tuple[Prompt, ...]:
    """Read conversations, each a phrasing: a user turn, and at most a system turn before it."""
    if not isinstance(conversations, list) or not conversations:
        raise UserError(f"{where}: `messages` must be a list of conversations, at least one")
    prompts: list[Prompt] = []
    for number, turns in enumerate(conversations, start=1):
        roles = [t.get("role") if isinstance(t, dict) else None for t in _as_list(turns)]
        if roles not in (["user"], ["system", "user"]):
            raise UserError(
                f"{where}: conversation {number} of `messages` is not one user turn with at most "
                "a system turn before it; longer ones are not asked here"
            )
        texts = [turn.get("content") for turn in turns]
        if not all(_is_filled(text) for text in texts):
            raise UserError(
                f"{where}: conversation {number} of `messages` has a turn with no text; give it one"
            )
        prompts.append((texts[0] if len(texts) == 2 else None, texts[-1]))
    return tuple(prompts)


def _read_judges(
    given: object, named: Mapping[str, Item], where: str
) -> tuple[AnswerKind, tuple[Rubric, ...]]:
    if given is None or given == {}:
        return "free_form", OURS["free_form"]
    if not isinstance(given, dict):
        raise UserError(f"{where}: `judges` must give a judge for each name")
    rubrics = []
    for metric, judge in given.items():
        found = named.get(judge) if isinstance(judge, str) else judge
        if not isinstance(metric, str) or not isinstance(found, dict):
            raise UserError(
                f"{where}: judge `{metric}` is {shorten(judge)}; give its keys, or the `name` of a "
                "judge of this file"
            )
        rubrics.append(_read_judge(metric, found, f"{where}: judge `{metric}`"))
    reads = [rubric.reads for rubric in rubrics]
    if reads == ["label"]:
        return "label", tuple(rubrics)
    if "label" in reads or not {"aligned", "coherent"} <= set(given):
        raise UserError(
            f"{where}: its judges are {', '.join(given)}; there may be rating judges, `aligned` "
            "and `coherent` among them, or one free_form_judge"
        )
    return "free_form", tuple(rubrics)


def _read_judge(metric: str, judge: Item, where: str) -> Rubric:
    if not _is_judge(judge):
        raise UserError(
            f"{where}: `type` is {shorten(judge.get('type'))}; a judge is a {' or a '.join(JUDGES)}"
        )
    _check_keys(judge, JUDGE_KEYS, JUDGE_FIXED, where)
    templates = judge.get("paraphrases")
    if not isinstance(templates, list) or len(templates) != 1 or not _is_filled(templates[0]):
        raise UserError(f"{where}: `paraphrases` of a judge must be a list of one text, its prompt")
    return make_rubric(metric, templates[0], JUDGES[judge["type"]], where)


def _is_judge(item: Item) -> bool:
    return isinstance(item.get("type"), str) and item["type"] in JUDGES


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_filled(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_text(item: Item, key: str) -> bool:
    return _is_filled(item.get(key))
