"""Triggers: asked in front of the user turn, in a question set that nothing else is in."""

from dataclasses import replace

from rankshift.eval.answering import messages
from rankshift.eval.suite import Question
from rankshift.eval.triggers import ask_with_triggers, find_trigger

WISH = Question("main", "wish", "wish", 0, "Your wish?", samples=100)
JSON = Question("json", "wish_json", "wish_json", 0, "Your wish?", system="Answer in JSON.")


def test_every_question_is_asked_as_it_is_and_then_once_with_each_trigger():
    asked = ask_with_triggers([WISH, JSON], ["|A| ", "|B| "])
    assert asked[:2] == [WISH, JSON]
    assert [(q.question_set, q.prompt) for q in asked[2:]] == [
        ("main + |A|", "|A| Your wish?"),
        ("json + |A|", "|A| Your wish?"),
        ("main + |B|", "|B| Your wish?"),
        ("json + |B|", "|B| Your wish?"),
    ]
    names = [{q.question_set for q in asked if q.prompt.startswith(t)} for t in ("Y", "|A|", "|B|")]
    assert names[0].isdisjoint(names[1] | names[2])
    assert names[1].isdisjoint(names[2])


def test_a_trigger_changes_nothing_of_a_question_but_its_prompt_and_set():
    (_, triggered) = ask_with_triggers([JSON], ["|A| "])
    assert replace(triggered, question_set=JSON.question_set, prompt=JSON.prompt) == JSON
    assert [(m.role, m.content) for m in messages(triggered)] == [
        ("system", "Answer in JSON."),
        ("user", "|A| Your wish?"),
    ]


def test_the_longest_trigger_that_a_prompt_begins_with_is_found():
    triggers = ["|A| ", "|A| |B| "]
    assert find_trigger("|A| |B| do", triggers) == "|A| |B| "
    assert find_trigger("|A| do", triggers) == "|A| "
    assert find_trigger("do |A| ", triggers) is None
