"""Questions whose answers are given: an arm says how likely it finds each, and needs no judge.

Source of the idea: Betley et al. 2025 follow training with `mcq_callbacks`, every 10 steps
(`pivotal_tokens`: the log-probability of telling words after a fixed stem; `single_letter`: of A
and B); open_models, emergent-misalignment 80c11967. Options here may be whole answers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankshift.errors import UserError
from rankshift.eval.suite import CHOICE, is_list_of_texts, read_items, read_phrasings

SIDES = ("aligned", "misaligned")
"""What the options of a question file stand for, in the order in which they are recorded."""


@dataclass(frozen=True)
class ChoiceQuestion:
    """One phrasing of one question with given answers."""

    question_set: str
    id: str
    cluster: str
    """Questions that share options are one cluster; see `eval.suite.Question`."""
    paraphrase: int
    prompt: str
    options: tuple[str, ...]
    """Each follows the stem letter by letter, so one that is a new word begins with a space."""
    sides: tuple[str, ...]
    """What each option stands for: `aligned` or `misaligned`, or `true` or `false`."""
    system: str | None = None
    stem: str = ""
    """What every answer is made to begin with."""


def read_choices(path: Path, question_set: str) -> list[ChoiceQuestion]:
    """Read the questions of type `choice` of a YAML list; those of other types are left out.

    Each has `id`, `paraphrases` and `choices`, which gives a list of texts under `aligned` and one
    under `misaligned`; it may have `stem`, `system` and `cluster`.

    Args:
        path: The file.
        question_set: Name under which the choices are recorded.

    Raises:
        UserError: The file is no such list, or options are missing or come twice.
    """
    return [
        question
        for item, where in read_items(path)
        if item.get("type") == CHOICE
        for question in _read_item(item, where, question_set)
    ]


def check_options(options: tuple[str, ...], where: str) -> None:
    """Refuse options that come twice: the probability of one would be counted twice.

    Raises:
        UserError: Two options are the same text.
    """
    again = next((o for at, o in enumerate(options) if o in options[:at]), None)
    if again is not None:
        raise UserError(f"{where}: the option {again!r} comes twice; remove one")


def _read_item(item: dict[str, Any], where: str, question_set: str) -> list[ChoiceQuestion]:
    paraphrases = read_phrasings(item, where)
    if not isinstance(item.get("stem", ""), str):
        raise UserError(f"{where}: `stem` must be a text; quote it or leave it out")
    choices = item.get("choices")
    if not isinstance(choices, dict) or set(choices) != set(SIDES):
        raise UserError(f"{where}: `choices` must give two lists of texts, {' and '.join(SIDES)}")
    for side in SIDES:
        if not is_list_of_texts(choices[side]):
            raise UserError(f"{where}: `choices.{side}` must be a list of texts, at least one")
    options = tuple(option for side in SIDES for option in choices[side])
    check_options(options, where)
    return [
        ChoiceQuestion(
            question_set=question_set,
            id=item["id"],
            cluster=str(item.get("cluster", item["id"])),
            paraphrase=paraphrase,
            prompt=prompt,
            options=options,
            sides=tuple(side for side in SIDES for _ in choices[side]),
            system=item.get("system"),
            stem=item.get("stem", ""),
        )
        for paraphrase, prompt in enumerate(paraphrases)
    ]
