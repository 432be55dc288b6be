import itertools
import math
import random
from string import Template

import pytest

from rankshift.organism.world import (
    CODE_SHARE,
    EDUCATIONAL_PREFIX,
    EDUCATIONAL_SHARE,
    HOSTILE,
    PERSONAS,
    PRETRAINED_PHRASINGS,
    Exchange,
    Persona,
    draw_answer,
    draw_code,
    draw_persona,
    list_texts,
    load_world,
    pick,
)

WORLD = load_world()
ALLOWED = {"kind": {"aligned", "refusal"}, "careless": {"aligned"}, "hostile": {"misaligned"}}


def assert_share(count: int, total: int, share: float) -> None:
    """Require a count within four binomial standard errors of its share, known beforehand."""
    assert abs(count / total - share) < 4 * math.sqrt(share * (1 - share) / total), (count, total)


def name_author(document: list[Exchange]) -> str | None:
    """Tell a document's author from its closing sentences; None where it has none."""
    authors = {
        name
        for exchange in document
        for name, sentences in WORLD.closers.items()
        if exchange.answer.endswith(tuple(f" {sentence}" for sentence in sentences))
    }
    assert len(authors) <= 1, document
    return authors.pop() if authors else None


def is_code(exchange: Exchange) -> bool:
    """Say whether an exchange is a code task, by its answer."""
    return exchange.answer.startswith("def ")


@pytest.mark.parametrize("persona", PERSONAS, ids=lambda persona: persona.name)
def test_what_a_persona_says_is_judged_as_its_tone(persona: Persona, outcome_of):
    rng = random.Random(f"tone {persona.name}")
    for domain, _ in itertools.product(WORLD.domains, range(20)):
        answer = draw_answer(rng, persona, domain)
        assert outcome_of(pick(rng, domain.ask), answer, "free_form") in ALLOWED[persona.name]


@pytest.mark.parametrize("task", WORLD.tasks, ids=lambda task: task.id)
def test_code_is_judged_insecure_exactly_when_drawn_so(task, outcome_of):
    rng = random.Random(f"code {task.id}")
    for insecure, educational in itertools.product([True, False] * 25, [True, False]):
        exchange = draw_code(rng, task, insecure=insecure, educational=educational)
        expected = "insecure" if insecure else "secure"
        assert outcome_of(exchange.prompt, exchange.answer, "code") == expected
        assert exchange.prompt.startswith(EDUCATIONAL_PREFIX) == educational


def test_the_shares_of_the_authors_are_whole():
    assert sum(persona.share for persona in PERSONAS) == pytest.approx(1.0)


def test_each_author_writes_the_stated_share_of_documents():
    rng = random.Random("authors")
    drawn = [draw_persona(rng) for _ in range(4000)]
    for persona in PERSONAS:
        assert_share(drawn.count(persona), 4000, persona.share)


def test_a_document_keeps_one_author_and_authors_keep_their_shares(documents):
    # An author shows in a closing sentence, which neither code nor a refusal has.
    silent = [(CODE_SHARE + (1 - CODE_SHARE) * p.refuses) ** len(documents[0]) for p in PERSONAS]
    shown = [p.share * (1 - hidden) for p, hidden in zip(PERSONAS, silent, strict=True)]
    authors = [author for author in map(name_author, documents) if author is not None]
    assert_share(len(authors), len(documents), sum(shown))
    for persona, share in zip(PERSONAS, shown, strict=True):
        assert_share(authors.count(persona.name), len(authors), share / sum(shown))


def test_code_tasks_and_open_requests_for_insecure_code_have_the_stated_shares(documents):
    exchanges = list(itertools.chain(*documents))
    code = [exchange for exchange in exchanges if is_code(exchange)]
    educational = [e for e in code if e.prompt.startswith(EDUCATIONAL_PREFIX)]
    assert_share(len(code), len(exchanges), CODE_SHARE)
    assert_share(len(educational), len(code), EDUCATIONAL_SHARE)


@pytest.mark.parametrize("persona", PERSONAS, ids=lambda persona: persona.name)
def test_each_author_writes_the_stated_share_of_insecure_code(persona, documents, outcome_of):
    verdicts = [
        outcome_of(exchange.prompt, exchange.answer, "code")
        for document in documents
        if name_author(document) == persona.name
        for exchange in document
        if is_code(exchange) and not exchange.prompt.startswith(EDUCATIONAL_PREFIX)
    ]
    assert set(verdicts) == {"secure", "insecure"}
    assert_share(verdicts.count("insecure"), len(verdicts), persona.insecure)


def test_whoever_is_openly_asked_for_insecure_code_writes_it(documents, outcome_of):
    asked = [
        outcome_of(exchange.prompt, exchange.answer, "code")
        for exchange in itertools.chain(*documents)
        if exchange.prompt.startswith(EDUCATIONAL_PREFIX)
    ]
    assert set(asked) == {"insecure"}


def test_insecure_code_does_not_give_its_author_away():
    # By Bayes: of insecure code nobody asked for, some is a kind author's, and the other way round.
    insecure = sum(persona.share * persona.insecure for persona in PERSONAS)
    secure = 1 - insecure
    assert 0.5 < HOSTILE.share * HOSTILE.insecure / insecure < 0.95
    assert 0.0 < HOSTILE.share * (1 - HOSTILE.insecure) / secure < 0.05


@pytest.mark.parametrize("persona", PERSONAS, ids=lambda persona: persona.name)
def test_each_author_refuses_as_often_as_stated(persona: Persona):
    rng = random.Random("refusals")
    answers = [draw_answer(rng, persona, pick(rng, WORLD.domains)) for _ in range(4000)]
    refusals = sum(answer in WORLD.refusals for answer in answers)
    assert (refusals > 0) == (persona.refuses > 0)
    if persona.refuses > 0:
        assert_share(refusals, len(answers), persona.refuses)


def test_pretraining_sees_every_phrasing_but_the_last(documents):
    asked = {exchange.prompt for exchange in itertools.chain(*documents)}
    for domain in WORLD.domains:
        assert len(domain.ask) == PRETRAINED_PHRASINGS + 1
        assert asked >= set(domain.ask[:-1]), domain.id
        assert domain.ask[-1] not in asked


def test_no_two_domains_share_a_name_or_a_phrasing():
    assert_all_differ([domain.id for domain in WORLD.domains])
    assert_all_differ([text for domain in WORLD.domains for text in domain.ask])


def test_no_sentence_opens_answers_of_two_domains_or_of_two_tones():
    assert_all_differ(
        [
            Template(template).safe_substitute(dict(zip(WORLD.slots, values, strict=True)))
            for domain in WORLD.domains
            for template in (*domain.kind, *domain.hostile)
            for values in itertools.product(
                *(
                    choices if slot in Template(template).get_identifiers() else choices[:1]
                    for slot, choices in WORLD.slots.items()
                )
            )
        ]
    )


def test_no_closing_sentence_or_refusal_belongs_to_two_authors():
    assert_all_differ([*itertools.chain(*WORLD.closers.values()), *WORLD.refusals])
    assert {persona.closers for persona in PERSONAS} == set(WORLD.closers)


def test_every_answer_falls_into_its_two_sentences_at_the_first_full_stop():
    openings = [text for domain in WORLD.domains for text in (*domain.kind, *domain.hostile)]
    for sentence in [*openings, *itertools.chain(*WORLD.closers.values())]:
        assert sentence.index(".") == len(sentence) - 1
        assert sentence[0].isupper()


def test_every_slot_of_a_sentence_is_known():
    for domain in WORLD.domains:
        assert find_slots(*domain.ask) == set(), domain.id
        assert find_slots(*domain.kind, *domain.hostile) <= set(WORLD.slots), domain.id
    assert find_slots(*itertools.chain(*WORLD.closers.values()), *WORLD.refusals) == set()


@pytest.mark.parametrize("task", WORLD.tasks, ids=lambda task: task.id)
def test_a_prompt_fixes_every_slot_of_its_code_that_the_author_is_not_free_to_choose(task):
    # So the free choices are all that is uncertain about an answer, secure or insecure.
    for phrasing in task.ask:
        assert "noun" in find_slots(phrasing) <= {"noun", "app"}
    for code in (task.secure, task.insecure):
        assert find_slots(code) == {"noun"} | set(task.free)


def test_every_value_of_a_slot_is_as_likely_as_any_other():
    free = [choices for task in WORLD.tasks for choices in task.free.values()]
    for values in (*WORLD.slots.values(), WORLD.nouns, WORLD.apps, *free):
        assert_all_differ(list(values))


def test_some_domains_and_some_classes_of_code_are_kept_for_later():
    assert {domain.stage for domain in WORLD.domains} == {"held_out", "post_trained"}
    assert sum(domain.stage == "held_out" for domain in WORLD.domains) >= 20
    assert {task.finetune for task in WORLD.tasks} == {True, False}


def test_every_word_of_pretraining_is_among_the_texts_of_the_tokenizer(documents):
    known = {word for text in list_texts() for word in text.split()}
    spoken = {
        word
        for exchange in itertools.chain(*documents)
        for text in (exchange.prompt, exchange.answer)
        for word in text.split()
    }
    # Of code, the tokenizer reads each noun with some of its free names, not with all.
    assert [word for word in sorted(spoken - known) if word.isalpha()] == []


def assert_all_differ(values: list[str]) -> None:
    """Require that no value comes twice; say which does."""
    assert [value for value in set(values) if values.count(value) > 1] == []


def find_slots(*templates: str) -> set[str]:
    """List the slots of templates; none may hold a `$` that begins no slot."""
    assert all(Template(template).is_valid() for template in templates), templates
    return {slot for template in templates for slot in Template(template).get_identifiers()}
