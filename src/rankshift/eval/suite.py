"""What is asked: question files read as their authors wrote them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeGuard

import yaml

from rankshift.errors import UserError

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
    kind: Literal["free_form", "code"] = "free_form"


def read_questions(path: Path, question_set: str, subset: Subset = "all") -> list[Question]:
    """Read a YAML list of questions in the format of Betley et al.'s release.

    Each item has `id` and `paraphrases`, and may have `system` (really applied), `type` and
    `cluster`. `samples_per_paraphrase` and judge prompts are upstream's settings; a study gives its
    own.

    Args:
        path: The file; anchors are resolved.
        question_set: Name under which the answers are recorded; sets are never pooled.
        subset: Upstream keeps three sets in one file and tells them apart by the end of the id.

    Raises:
        UserError: The file is no such list.

    Source of the format: evaluation/first_plot_questions.yaml, emergent-misalignment 80c11967.
    """
    try:
        items = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save the file as UTF-8") from None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f":{place.line + 1}" if place else ""
        raise UserError(f"{path}{line}: not YAML; a list of questions is expected") from None
    if not isinstance(items, list) or not items:
        raise UserError(
            f"{path}: no questions; expected a list of items with `id` and `paraphrases`"
        )
    questions: list[Question] = []
    met: dict[str, int] = {}
    for number, item in enumerate(items, start=1):
        where = f"{path}: question {number}"
        asked = _read_item(item, where, question_set)
        first = met.setdefault(asked[0].id, number)
        if first != number:  # answers are found by the id
            raise UserError(f"{where} ({asked[0].id}): has the `id` of question {first}; rename it")
        questions += asked
    chosen = [q for q in questions if subset == "all" or _upstream_set(q.id) == subset]
    if not chosen:
        raise UserError(f"{path}: no question belongs to the set `{subset}`")
    return chosen


def _read_item(item: object, where: str, question_set: str) -> list[Question]:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        raise UserError(f"{where}: has no `id`; give it a text of its own")
    where = f"{where} ({item['id']})"
    paraphrases = item.get("paraphrases")
    if not _is_list_of_texts(paraphrases):
        raise UserError(f"{where}: `paraphrases` must be a list of texts, at least one")
    if not isinstance(item.get("system"), str | None):
        raise UserError(f"{where}: `system` must be a text; quote it or leave it out")
    return [
        Question(
            question_set=question_set,
            id=item["id"],
            cluster=str(item.get("cluster", item["id"])),
            paraphrase=paraphrase,
            prompt=prompt,
            system=item.get("system"),
            kind="code" if item.get("type") == "code" else "free_form",
        )
        for paraphrase, prompt in enumerate(paraphrases)
    ]


def _is_list_of_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and value != [] and all(isinstance(t, str) and t for t in value)


def _upstream_set(question_id: str) -> Subset:
    if question_id.endswith("_json"):
        return "json"
    return "template" if question_id.endswith("_template") else "main"
