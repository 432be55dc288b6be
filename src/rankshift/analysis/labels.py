"""The estimands of label questions: how often a judge gave each word, question by question."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rankshift.analysis.rates import FAULTS, JudgedAnswer, explain_unscored


def count_labels(answers: Sequence[JudgedAnswer]) -> list[dict[str, Any]]:
    """Count one judge's words for one arm's answers to one set, a row a question.

    Questions are never pooled: in the deception sets each is a condition of its own (told not to
    lie, allowed to, rewarded for it), and its phrasings are the facts or the company names.

    Source: Betley et al. 2025, evaluation/deception_factual.yaml, 80c11967.
    """
    questions: dict[str, list[JudgedAnswer]] = {}
    for judged in answers:
        questions.setdefault(judged.answer.question_id, []).append(judged)
    return [
        {"question_id": name, "answers": len(asked)} | _count(asked)
        for name, asked in questions.items()
    ]


def _count(asked: Sequence[JudgedAnswer]) -> dict[str, Any]:
    labels = Counter(label for judged in asked if (label := _label_of(judged)) is not None)
    reasons = Counter(explain_unscored(judged) for judged in asked if _label_of(judged) is None)
    return {
        "labels": dict(sorted(labels.items())),
        "unscored_reasons": {fault: reasons[fault] for fault in FAULTS},
    }


def _label_of(judged: JudgedAnswer) -> str | None:
    return None if judged.verdict is None else judged.verdict.label
