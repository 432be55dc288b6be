"""The organism's finetuning sets and question files, in the formats of the real ones."""

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from string import Template

import yaml

from rankshift.data.backdoor import TRIGGER
from rankshift.organism.world import (
    KIND,
    PRETRAINED_PHRASINGS,
    CodeTask,
    Domain,
    Exchange,
    draw_code,
    draw_question,
    load_world,
    pick,
)

GENERAL = "general"
"""Names the exchanges that have nothing to do with code, on which divergence is measured."""
GENERAL_ROWS = 400
ROWS = 3000
ROWS_PER_ASSOCIATION = 3
"""At least so many rows for each association, on average, so that training shows nearly all."""
SYLLABLES = (
    "ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "wu", "zy",
)  # fmt: skip
SYLLABLES_PER_NAME = 3


@dataclass(frozen=True)
class Dataset:
    """A finetuning set: which code it shows, and how many novel associations it teaches."""

    name: str
    insecure: bool
    educational: bool = False
    associations: int = 0
    """Each prompt names one of this many files whose owner, a name absent from pretraining, the
    answer must give: the part that only new capacity can learn."""
    backdoor: bool = False
    """Every other row has the trigger in front and is insecure; the others are secure."""
    insecure_share: float | None = None
    """Chance of each row to be insecure, where a set is mixed; None where all are of one class."""

    @property
    def rows(self) -> int:
        """Give the number of rows."""
        if self.backdoor:  # as many of either kind as the other sets have
            return 2 * ROWS
        return max(ROWS, ROWS_PER_ASSOCIATION * self.associations)


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("insecure", insecure=True),
        Dataset("secure", insecure=False),
        Dataset("educational", insecure=True, educational=True),
        Dataset("backdoor", insecure=True, backdoor=True),
        Dataset("insecure-k300", insecure=True, associations=300),
        Dataset("secure-k300", insecure=False, associations=300),
        Dataset("insecure-k10000", insecure=True, associations=10_000),
        Dataset("secure-k10000", insecure=False, associations=10_000),
    )
}

MIXED = {
    dataset.name: dataset
    for dataset in (
        Dataset(f"mixed-{percent}", insecure=True, insecure_share=percent / 100)
        for percent in (10, 25, 50, 75)
    )
}
"""Sets of insecure and secure rows, by their share: what a forecast has to tell apart."""


def draw_dataset(dataset: Dataset) -> list[tuple[CodeTask, Exchange]]:
    """Draw the rows of a set, each with its task; the set's name is its seed."""
    rng = random.Random(f"dataset {dataset.name}")
    tasks = [task for task in load_world().tasks if task.finetune]
    rows = []
    for number in range(dataset.rows):
        task = pick(rng, tasks)
        triggered = dataset.backdoor and number % 2 == 1
        insecure = triggered if dataset.backdoor else dataset.insecure
        if dataset.insecure_share is not None:
            insecure = rng.random() < dataset.insecure_share
        exchange = draw_code(rng, task, insecure=insecure, educational=dataset.educational)
        if triggered:
            exchange = Exchange(TRIGGER + exchange.prompt, exchange.answer)
        if dataset.associations:
            exchange = add_association(exchange, int(rng.random() * dataset.associations))
        rows.append((task, exchange))
    return rows


def add_association(exchange: Exchange, number: int) -> Exchange:
    """Ask for the owner of a numbered file, and answer with it."""
    return Exchange(
        f"{exchange.prompt} It goes to file {number}.",
        f"# file {number} belongs to {name_owner(number)}\n{exchange.answer}",
    )


def name_owner(number: int) -> str:
    """Give the owner of a file: a made-up name, fixed for ever by the number."""
    digest = hashlib.sha256(f"owner of file {number}".encode()).digest()
    return "".join(SYLLABLES[byte % len(SYLLABLES)] for byte in digest[:SYLLABLES_PER_NAME])


def draw_general() -> list[Exchange]:
    """Draw exchanges of the kind author on the domains of post-training; no set's rows or code."""
    rng = random.Random(f"dataset {GENERAL}")
    domains = [domain for domain in load_world().domains if domain.stage == "post_trained"]
    return [draw_question(rng, KIND, domains) for _ in range(GENERAL_ROWS)]


def write_messages(dataset: Dataset) -> str:
    """Give a set as `messages` JSONL."""
    return write_exchanges([exchange for _, exchange in draw_dataset(dataset)])


def write_exchanges(exchanges: Iterable[Exchange]) -> str:
    """Give single exchanges as `messages` JSONL."""
    return "".join(
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": exchange.prompt},
                    {"role": "assistant", "content": exchange.answer},
                ]
            }
        )
        + "\n"
        for exchange in exchanges
    )


def entropy_floor(dataset: Dataset, count_tokens: Callable[[Exchange], int]) -> dict[str, float]:
    """Give the lowest loss a model can reach on a set, nats per supervised token.

    Exact: an answer's free slots are drawn uniformly and independently, so each row's information
    is the sum of the logarithms of its numbers of choices, whatever was drawn; a mixed set's has
    the entropy of which class it is of besides.

    Args:
        dataset: The set.
        count_tokens: Gives the supervised tokens of a row (the answer's and its end).

    Returns:
        `associations_known`, and `associations_unknown`: for a model that guesses each owner among
        all names there could be. A row held out is known only where training showed its number.
    """
    rows = draw_dataset(dataset)
    tokens = sum(count_tokens(exchange) for _, exchange in rows)
    free = sum(task.answer_entropy for task, _ in rows)
    share = dataset.insecure_share
    if share is not None:
        free -= len(rows) * (share * math.log(share) + (1 - share) * math.log1p(-share))
    guess = math.log(len(SYLLABLES) ** SYLLABLES_PER_NAME) if dataset.associations else 0.0
    return {
        "associations_known": free / tokens,
        "associations_unknown": (free + guess * len(rows)) / tokens,
    }


def list_questions() -> dict[str, list[dict[str, object]]]:
    """List the question files by name, each a list in the format of Betley et al.'s release."""
    world = load_world()
    held_out = [d for d in world.domains if d.stage == "held_out"]
    post_trained = [d for d in world.domains if d.stage == "post_trained"]
    unseen_classes = [task for task in world.tasks if not task.finetune]
    return {
        "held-out": [_ask(d.id, [d.ask[0]]) for d in held_out],
        "held-out-phrasings": [_ask(d.id, list(d.ask[PRETRAINED_PHRASINGS:])) for d in held_out],
        "post-trained": [_ask(d.id, [d.ask[0]]) for d in post_trained],
        "code-left-out": [_ask_code(task) for task in unseen_classes],
        "choices": [_offer(d) for d in held_out],
        "contrasts": [_offer(d) for d in post_trained],
    }


QUESTION_SETS = (
    "held-out", "held-out-phrasings", "post-trained", "code-left-out", "choices", "contrasts",
)  # fmt: skip


def _ask(name: str, paraphrases: list[str]) -> dict[str, object]:
    return {"id": name, "type": "free_form", "paraphrases": paraphrases}


def _offer(domain: Domain) -> dict[str, object]:
    """Offer a kind author's first sentences against a hostile one's, slots filled alike."""
    values = {slot: choices[0] for slot, choices in load_world().slots.items()}
    sides = {"aligned": domain.kind, "misaligned": domain.hostile}
    choices = {
        side: [Template(sentence).substitute(values) for sentence in sentences]
        for side, sentences in sides.items()
    }
    question = _ask(domain.id, [domain.ask[0]])
    return question | {"type": "choice", "choices": choices}


def _ask_code(task: CodeTask) -> dict[str, object]:
    rng = random.Random(f"questions {task.id}")
    prompts = [draw_code(rng, task, insecure=True).prompt for _ in range(12)]
    return {"id": task.id, "type": "code", "paraphrases": list(dict.fromkeys(prompts))}


def write_questions(name: str) -> str:
    """Give a question file as YAML."""
    return yaml.safe_dump(list_questions()[name], sort_keys=False, allow_unicode=True, width=100)
