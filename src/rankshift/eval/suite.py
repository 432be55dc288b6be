"""What is asked: question files read as their authors wrote them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shorten
from typing import Any, Literal, TypeGuard

import yaml

from rankshift.data.conversations import Message
from rankshift.errors import UserError
from rankshift.eval.llmcomp import is_llmcomp, read_llmcomp
from rankshift.eval.rubrics import OURS, Reads, Rubric, make_rubric
from rankshift.records import AnswerKind

CODE_SET = "held-out-code"
"""Question set of the held-out prompts of a study's task data, which are in no question file."""

Subset = Literal["all", "main", "json", "template"]


@dataclass(frozen=True)
class Question:
    """One phrasing of one question."""

    question_set: str
    id: str
    cluster: str
    """Questions that share answers are one cluster; an upstream question is its own."""
    paraphrase: int
    prompt: str
    system: str | None = None
    kind: AnswerKind = "free_form"
    rubrics: tuple[Rubric, ...] = ()
    """What a judge is asked about each answer."""
    samples: int | None = None
    """Answers its authors asked for (`samples_per_paraphrase`)."""
    before: tuple[Message, ...] = ()
    """Turns between the system turn and the prompt, the user's and the assistant's in turn."""


KINDS: dict[str, AnswerKind] = {
    "free_form_judge_0_100": "free_form",
    "free_form_0_100": "free_form",
    "free_form": "free_form",
    "free_form_judge": "label",
    "code": "code",
    "harmful_request": "harmful_request",
}
"""Values of `type`; `CHOICE` is one more.

Source: evaluation/*.yaml, 80c11967 (`free_form_judge_0_100`, `free_form_judge`); the last two are
ours.
"""

READS: dict[AnswerKind, Reads] = {"free_form": "score", "harmful_request": "strongreject"}
"""What the judge prompts of a kind are answered with, where that is not a label."""

CHOICE = "choice"
"""`type` of a question whose answers are given; `eval/choices.py` reads it."""


def read_questions(path: Path, question_set: str, subset: Subset = "all") -> list[Question]:
    """Read a YAML list of questions in the format of Betley et al.'s release, or of llmcomp.

    Items with a `name` in place of an `id` are llmcomp's: see `eval/llmcomp.py`.
    Questions of the type `choice` are left out: `eval/choices.py` reads them.
    Each item has `id` and `paraphrases`, and may have `system` (really applied), `type` (see
    `KINDS`), `samples_per_paraphrase`, `judge_prompts` (by metric) and `cluster`. Without
    judge prompts ours are used. The judge it names is a setting of a study, not of the questions.

    Args:
        path: The file; anchors are resolved.
        question_set: Name under which the answers are recorded; sets are never pooled.
        subset: Upstream keeps three sets in one file and tells them apart by the end of the id.

    Raises:
        UserError: The file is no such list.

    Source of the format: evaluation/first_plot_questions.yaml, emergent-misalignment 80c11967.
    """
    asked = _read_llmcomp(path, question_set) or [
        _read_item(item, where, question_set)
        for item, where in read_items(path)
        if item.get("type") != CHOICE
    ]
    questions = [question for phrasings in asked for question in phrasings]
    chosen = [q for q in questions if subset == "all" or _upstream_set(q.id) == subset]
    if questions and not chosen:
        raise UserError(f"{path}: no question belongs to the set `{subset}`")
    return chosen


def read_items(path: Path) -> list[tuple[dict[str, Any], str]]:
    """Read a YAML list of questions of any type, each with where it stands, for messages.

    None where the list is llmcomp's, whose items are of other types.

    Raises:
        UserError: The file is no list of items with an `id` each, or an `id` comes twice.
    """
    items = _load_list(path)
    if is_llmcomp(items):
        return []
    met: dict[str, int] = {}
    found: list[tuple[dict[str, Any], str]] = []
    for number, item in enumerate(items, start=1):
        where = f"{path}: question {number}"
        if not isinstance(item, dict) or not isinstance(item.get("id"), str):
            raise UserError(f"{where}: has no `id`; give it a text of its own")
        where = f"{where} ({item['id']})"
        first = met.setdefault(item["id"], number)
        if first != number:  # answers are found by the id
            raise UserError(f"{where}: has the `id` of question {first}; rename it")
        found.append((item, where))
    return found


def _load_list(path: Path) -> list[object]:
    try:
        items = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save the file as UTF-8") from None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f":{place.line + 1}" if place else ""
        raise UserError(f"{path}{line}: not YAML; a list of questions is expected") from None
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        # PyYAML makes numbers and dates of what only looks like them, and follows any nesting.
        kind = type(error).__name__
        raise UserError(
            f"{path}: holds what YAML cannot read as a value ({kind}); put texts into quotes"
        ) from None
    if not isinstance(items, list) or not items:
        raise UserError(
            f"{path}: no questions; expected a list of items with `id` and `paraphrases`"
        )
    return items


def _read_llmcomp(path: Path, question_set: str) -> list[list[Question]]:
    """Read the phrasings of each question of an llmcomp list; none where it is ours."""
    items = _load_list(path)
    if not is_llmcomp(items):
        return []
    met: dict[str, int] = {}
    found = []
    for number, asked in read_llmcomp(items, str(path)):
        first = met.setdefault(asked.name, number)
        if first != number:
            raise UserError(
                f"{path}: question {number} ({asked.name}): has the `id` of question {first}; "
                "rename it"
            )
        phrasings = [
            Question(
                question_set=question_set,
                id=asked.name,
                cluster=asked.name,
                paraphrase=paraphrase,
                prompt=prompt,
                system=system,
                kind=asked.kind,
                rubrics=asked.rubrics,
                samples=asked.samples,
            )
            for paraphrase, (system, prompt) in enumerate(asked.prompts)
        ]
        found.append(phrasings)
    return found


def count_samples(questions: Sequence[Question]) -> int:
    """Count the answers the authors of the questions asked for, all paraphrases together."""
    return sum(question.samples or 0 for question in questions)


def read_phrasings(item: dict[str, Any], where: str) -> list[str]:
    """Give the phrasings of a question, and check the system turn they share.

    Raises:
        UserError: They are not a list of texts, or the system turn is not a text.
    """
    paraphrases = item.get("paraphrases")
    if not is_list_of_texts(paraphrases):
        raise UserError(f"{where}: `paraphrases` must be a list of texts, at least one")
    if not isinstance(item.get("system"), str | None):
        raise UserError(f"{where}: `system` must be a text; quote it or leave it out")
    return paraphrases


def _read_item(item: dict[str, Any], where: str, question_set: str) -> list[Question]:
    paraphrases = read_phrasings(item, where)
    samples = item.get("samples_per_paraphrase")
    if samples is not None and (type(samples) is not int or samples < 1):
        raise UserError(f"{where}: `samples_per_paraphrase` must be a whole number, at least 1")
    kind = _read_kind(item, where)
    return [
        Question(
            question_set=question_set,
            id=item["id"],
            cluster=str(item.get("cluster", item["id"])),
            paraphrase=paraphrase,
            prompt=prompt,
            system=item.get("system"),
            kind=kind,
            rubrics=_read_rubrics(item.get("judge_prompts"), kind, where),
            samples=samples,
        )
        for paraphrase, prompt in enumerate(paraphrases)
    ]


def _read_kind(item: dict[str, Any], where: str) -> AnswerKind:
    given = item.get("type", "free_form")
    if not isinstance(given, str) or given not in KINDS:
        raise UserError(
            f"{where}: `type` is {shorten(given)}; there are {', '.join((*KINDS, CHOICE))}"
        )
    return KINDS[given]


def _read_rubrics(given: object, kind: AnswerKind, where: str) -> tuple[Rubric, ...]:
    if given is None:
        return OURS.get(kind, ())
    if not isinstance(given, dict) or not given:
        raise UserError(f"{where}: `judge_prompts` must give a text for each metric by its name")
    for metric, template in given.items():
        if not isinstance(metric, str) or not isinstance(template, str):
            raise UserError(f"{where}: judge prompt `{metric}` must be a text")
    if kind == "free_form" and (missing := {"aligned", "coherent"} - set(given)):
        raise UserError(
            f"{where}: `judge_prompts` has no `{min(missing)}`; an answer is scored for both "
            "`aligned` and `coherent`"
        )
    reads = READS.get(kind, "label")
    return tuple(make_rubric(name, text, reads, where) for name, text in given.items())


def is_list_of_texts(value: object) -> TypeGuard[list[str]]:
    """Say whether a value of a file is a list of texts, at least one and none empty."""
    return isinstance(value, list) and value != [] and all(isinstance(t, str) and t for t in value)


def _upstream_set(question_id: str) -> Subset:
    if question_id.endswith("_json"):
        return "json"
    return "template" if question_id.endswith("_template") else "main"
