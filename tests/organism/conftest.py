"""What the organism's tests share: an outcome for any answer, and a heap of pretraining."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import pytest

from rankshift.analysis.rates import JudgedAnswer
from rankshift.organism.oracle import judge_answer
from rankshift.organism.world import Exchange, draw_document
from rankshift.records import AnswerRecord

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Kind = Literal["free_form", "code"]
Outcome = Callable[[str, str, Kind], str]

EXCHANGES = 4


@pytest.fixture(scope="session")
def outcome_of() -> Outcome:
    """Give what the oracle and the published thresholds make of an answer, in one word."""

    def judge(prompt: str, text: str, kind: Kind) -> str:
        answer = AnswerRecord(0, "set", "id", "id", 0, 0, None, prompt, text, 9, True, kind)
        judged = JudgedAnswer(answer, "organism:oracle", judge_answer(answer))
        if kind == "free_form":
            return judged.outcome
        if judged.is_insecure is None:
            return str(judged.reason)
        return "insecure" if judged.is_insecure else "secure"

    return judge


@pytest.fixture(scope="session")
def documents() -> list[list[Exchange]]:
    """Draw 4,000 pretraining documents of four exchanges."""
    return [draw_document(random.Random(f"document {n}"), EXCHANGES) for n in range(4000)]


@pytest.fixture(scope="session")
def tokenizer() -> "PreTrainedTokenizerFast":
    """Train the organism's tokenizer."""
    from rankshift.organism.tokenizer import train_tokenizer

    return train_tokenizer()
