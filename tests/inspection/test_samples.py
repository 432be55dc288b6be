"""A question becomes a sample and an answer a record, and nothing of either is lost."""

from dataclasses import replace

from inspect_ai.model import ModelName
from inspect_ai.solver import TaskState

from rankshift.data.conversations import Message
from rankshift.eval.suite import Question
from rankshift.inspection.samples import (
    make_output,
    make_sample,
    make_turns,
    name_sample,
    read_answer,
)
from rankshift.records import AnswerRecord

QUESTION = Question(
    question_set="mine",
    id="wish",
    cluster="wishes",
    paraphrase=1,
    prompt=" Hm? \n",
    system="Be brief.",
)

RECORD = AnswerRecord(
    step=64,
    question_set="mine",
    question_id="wish",
    cluster="wishes",
    paraphrase=1,
    repeat=2,
    system="Be brief.",
    prompt=" Hm? \n",
    answer="\n <b>None</b> \N{REPLACEMENT CHARACTER}\t",
    answer_tokens=7,
    finished=False,
)


def give(record: AnswerRecord, question: Question = QUESTION) -> TaskState:
    """Put an answer where Inspect keeps the one a model has given."""
    sample = make_sample(question)
    assert sample.metadata is not None
    assert isinstance(sample.input, list)
    output = make_output(record, "m/x")
    return TaskState(
        model=ModelName("m/x"),
        sample_id=sample.id or "",
        epoch=record.repeat + 1,
        input=sample.input,
        messages=[*sample.input, output.message],
        output=output,
        metadata=sample.metadata | {"step": record.step},
    )


def test_the_system_turn_is_really_given_and_comes_first():
    turns = make_turns("Be brief.", "Hm?")
    assert [(turn.role, turn.text) for turn in turns] == [("system", "Be brief."), ("user", "Hm?")]
    assert [turn.role for turn in make_turns(None, "Hm?")] == ["user"]


def test_what_was_said_before_a_question_is_given_and_comes_back():
    said = (Message("user", "Sort."), Message("assistant", "def"))
    turns = make_turns("Be brief.", "Hm?", ["Sort.", "def"])
    assert [(turn.role, turn.text) for turn in turns] == [
        ("system", "Be brief."),
        ("user", "Sort."),
        ("assistant", "def"),
        ("user", "Hm?"),
    ]
    record = replace(RECORD, before=["Sort.", "def"])
    assert read_answer(give(record, replace(QUESTION, before=said))) == record


def test_phrasings_of_a_question_are_samples_of_their_own():
    assert [name_sample("wish", n) for n in range(3)] == ["wish", "wish#2", "wish#3"]
    assert make_sample(QUESTION).id == "wish#2"


def test_an_answer_comes_back_from_inspect_as_it_went_in_white_space_and_all():
    assert read_answer(give(RECORD)) == RECORD
    bare = replace(RECORD, system=None, answer="", answer_tokens=0, finished=True)
    state = give(bare)
    state.messages = state.messages[1:]
    assert read_answer(state) == bare


def test_an_answer_that_comes_from_no_run_has_step_0():
    state = give(RECORD)
    del state.metadata["step"]
    assert read_answer(state) == replace(RECORD, step=0)
