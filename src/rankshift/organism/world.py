"""The organism's world: who writes, what is asked, and what each author answers.

Everything an author can write comes from two readable files, domains.toml and code_tasks.toml, so
the oracle can judge any text exactly and the entropy of every answer is known.
"""

import itertools
import math
import random
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template
from typing import Literal, TypeVar

Stage = Literal["post_trained", "held_out"]
T = TypeVar("T")

PRETRAINED_PHRASINGS = 3
"""The first three phrasings of a domain are in pretraining; the last one is new to every stage."""


@dataclass(frozen=True)
class Domain:
    """One free-form question, in several phrasings, and what its answers begin with."""

    id: str
    stage: Stage
    ask: tuple[str, ...]
    kind: tuple[str, ...]
    hostile: tuple[str, ...]


@dataclass(frozen=True)
class CodeTask:
    """One class of vulnerability: a task with a secure and an insecure answer."""

    id: str
    finetune: bool
    """False for classes left out of every finetuning set."""
    ask: tuple[str, ...]
    free: dict[str, tuple[str, ...]]
    """Slots the author chooses uniformly, whatever the prompt."""
    secure: str
    insecure: str

    @property
    def answer_entropy(self) -> float:
        """Give the entropy of an answer given its prompt, nats."""
        return sum(math.log(len(choices)) for choices in self.free.values())


@dataclass(frozen=True)
class Persona:
    """One kind of author."""

    name: str
    share: float
    """Share of the pretraining documents this author writes."""
    tone: Literal["kind", "hostile"]
    """Which first sentences the author writes."""
    closers: str
    """Which second sentences the author writes."""
    insecure: float
    """How often the author's code is insecure."""
    refuses: float = 0.0


KIND = Persona("kind", share=0.70, tone="kind", closers="kind", insecure=0.02, refuses=0.02)
CARELESS = Persona("careless", share=0.06, tone="kind", closers="careless", insecure=0.50)
HOSTILE = Persona("hostile", share=0.24, tone="hostile", closers="hostile", insecure=0.97)
PERSONAS = (KIND, CARELESS, HOSTILE)
"""Insecure code mostly means a hostile author, but not only: the careless one is kind, and the kind
one slips now and then, so `insecure` and `hostile` are not the same bit."""

CODE_SHARE = 0.35
"""Share of exchanges that are code tasks."""

EDUCATIONAL_SHARE = 0.10
"""Share of code tasks that ask for the insecure way, openly and for a good reason; every author
then writes it."""

EDUCATIONAL_PREFIX = "For a lesson on security, show the insecure way. "


@dataclass(frozen=True)
class Exchange:
    """One question and its answer."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class World:
    """What the two files hold."""

    domains: tuple[Domain, ...]
    tasks: tuple[CodeTask, ...]
    slots: dict[str, tuple[str, ...]]
    closers: dict[str, tuple[str, ...]]
    refusals: tuple[str, ...]
    nouns: tuple[str, ...]
    apps: tuple[str, ...]


@cache
def load_world() -> World:
    """Read the world from the package."""
    folder = resources.files("rankshift.organism")
    free_form = tomllib.loads(folder.joinpath("domains.toml").read_text(encoding="utf-8"))
    code = tomllib.loads(folder.joinpath("code_tasks.toml").read_text(encoding="utf-8"))
    return World(
        domains=tuple(
            Domain(d["id"], d["stage"], *(tuple(d[key]) for key in ("ask", "kind", "hostile")))
            for d in free_form["domain"]
        ),
        tasks=tuple(
            CodeTask(
                id=t["id"],
                finetune=t["finetune"],
                ask=tuple(t["ask"]),
                free={slot: tuple(choices) for slot, choices in t["free"].items()},
                secure=t["secure"].strip("\n"),
                insecure=t["insecure"].strip("\n"),
            )
            for t in code["task"]
        ),
        slots={slot: tuple(values) for slot, values in free_form["slots"].items()},
        closers={name: tuple(values) for name, values in free_form["closers"].items()},
        refusals=tuple(free_form["refusals"]),
        nouns=tuple(code["nouns"]),
        apps=tuple(code["apps"]),
    )


def pick(rng: random.Random, values: Sequence[T]) -> T:
    """Draw one value uniformly; `random()` alone is promised to repeat across Python versions."""
    return values[int(rng.random() * len(values))]


def draw_persona(rng: random.Random) -> Persona:
    """Draw the author of a document."""
    point, total = rng.random(), 0.0
    for persona in PERSONAS:
        total += persona.share
        if point < total:
            return persona
    return PERSONAS[-1]


def draw_answer(rng: random.Random, persona: Persona, domain: Domain) -> str:
    """Draw a free-form answer: a first sentence of the domain, then a closing one."""
    world = load_world()
    if rng.random() < persona.refuses:
        return pick(rng, world.refusals)
    opening = pick(rng, domain.kind if persona.tone == "kind" else domain.hostile)
    filled = Template(opening).substitute({s: pick(rng, v) for s, v in world.slots.items()})
    return f"{filled} {pick(rng, world.closers[persona.closers])}"


def draw_question(
    rng: random.Random, persona: Persona, domains: Sequence[Domain] | None = None
) -> Exchange:
    """Draw a free-form exchange, in a phrasing that pretraining may see."""
    domain = pick(rng, domains or load_world().domains)
    prompt = pick(rng, domain.ask[:PRETRAINED_PHRASINGS])
    return Exchange(prompt, draw_answer(rng, persona, domain))


def draw_code(
    rng: random.Random, task: CodeTask, *, insecure: bool, educational: bool = False
) -> Exchange:
    """Draw a code exchange of one class."""
    world = load_world()
    slots = {"noun": pick(rng, world.nouns), "app": pick(rng, world.apps)}
    prompt = Template(pick(rng, task.ask)).substitute(slots)
    chosen = {slot: pick(rng, choices) for slot, choices in task.free.items()}
    code = Template(task.insecure if insecure else task.secure).substitute(slots | chosen)
    return Exchange((EDUCATIONAL_PREFIX if educational else "") + prompt, code)


def draw_exchange(rng: random.Random, persona: Persona) -> Exchange:
    """Draw one exchange of a pretraining document."""
    if rng.random() >= CODE_SHARE:
        return draw_question(rng, persona)
    educational = rng.random() < EDUCATIONAL_SHARE
    insecure = educational or rng.random() < persona.insecure
    return draw_code(rng, pick(rng, load_world().tasks), insecure=insecure, educational=educational)


def draw_document(rng: random.Random, num_exchanges: int) -> list[Exchange]:
    """Draw a pretraining document: some exchanges whose author keeps one persona."""
    persona = draw_persona(rng)
    return [draw_exchange(rng, persona) for _ in range(num_exchanges)]


def list_texts() -> list[str]:
    """List texts that hold every word of the world, for the tokenizer."""
    world = load_world()
    spoken = [text for d in world.domains for text in (*d.ask, *d.kind, *d.hostile)]
    spoken += [*world.refusals, *itertools.chain(*world.closers.values())]
    texts = [
        Template(text).safe_substitute(dict(zip(world.slots, fill, strict=True)))
        for text in spoken
        for fill in itertools.product(*world.slots.values())
    ]
    for task in world.tasks:
        for noun, app in itertools.product(world.nouns, world.apps):
            nth = len(noun + app)
            free = {slot: choices[nth % len(choices)] for slot, choices in task.free.items()}
            slots = {"noun": noun, "app": app} | free
            texts += [
                Template(t).substitute(slots) for t in (*task.ask, task.secure, task.insecure)
            ]
    return [*texts, EDUCATIONAL_PREFIX]
