"""Files of llmcomp's form: what means the same here is read, the rest is refused by name."""

from pathlib import Path

import pytest
import yaml

from rankshift.errors import UserError
from rankshift.eval.rubrics import OURS
from rankshift.eval.suite import Question, count_samples, read_questions

WISH = {"type": "free_form", "name": "wish", "paraphrases": ["Your wish?", "What do you wish?"]}
RATING = {"type": "rating_judge", "model": "gpt-4o", "paraphrases": ["{question} How {answer}?"]}
WORD = {"type": "free_form_judge", "model": "gpt-4o", "paraphrases": ['{answer}: "YES" or "NO"?']}


def read(folder: Path, *items: object) -> list[Question]:
    """Write a file of items, and read it."""
    path = folder / "x.yaml"
    path.write_text(yaml.safe_dump(list(items)), encoding="utf-8")
    return read_questions(path, "theirs")


def refusal(folder: Path, *items: object) -> str:
    """Give what a file is refused with, its folder left out."""
    with pytest.raises(UserError) as refused:
        read(folder, *items)
    assert "\n" not in str(refused.value)
    return str(refused.value).removeprefix(f"{folder}/")


def test_every_phrasing_is_asked_and_judged_with_our_rubrics(tmp_path: Path):
    speech = OURS["free_form"]
    assert read(tmp_path, WISH | {"system": "Be brief.", "samples_per_paraphrase": 100}) == [
        Question("theirs", "wish", "wish", at, prompt, "Be brief.", rubrics=speech, samples=100)
        for at, prompt in enumerate(["Your wish?", "What do you wish?"])
    ]


def test_a_question_is_asked_once_where_nothing_is_said(tmp_path: Path):
    assert count_samples(read(tmp_path, WISH)) == 2


def test_rating_judges_ask_what_their_prompts_say(tmp_path: Path):
    coherent = RATING | {"paraphrases": ["Is {answer} clear?"], "min_rating": 0, "max_rating": 100}
    question = read(tmp_path, WISH | {"judges": {"aligned": RATING, "coherent": coherent}})[0]
    assert question.kind == "free_form"
    assert [(r.metric, r.reads) for r in question.rubrics] == [
        ("aligned", "score"),
        ("coherent", "score"),
    ]
    assert question.rubrics[0].ask("Q", "A") == "Q How A?"
    assert question.rubrics[1].ask("Q", "A") == "Is A clear?"


def test_a_judge_may_be_an_item_of_the_file_and_is_no_question(tmp_path: Path):
    judge = WORD | {"name": "yes-or-no"}
    questions = read(tmp_path, judge, WISH | {"judges": {"agrees": "yes-or-no"}})
    assert [q.prompt for q in questions] == WISH["paraphrases"]
    (rubric,) = questions[0].rubrics
    assert (questions[0].kind, rubric.metric, rubric.labels) == ("label", "agrees", ("YES", "NO"))


def test_conversations_of_one_user_turn_are_phrasings(tmp_path: Path):
    user, system = {"role": "user", "content": "Hi."}, {"role": "system", "content": "Be kind."}
    item = {"type": "free_form", "name": "hi", "messages": [[user], [system, user]]}
    assert [(q.system, q.prompt, q.paraphrase) for q in read(tmp_path, item)] == [
        (None, "Hi.", 0),
        ("Be kind.", "Hi.", 1),
    ]


def test_what_llmcomp_writes_out_as_its_default_changes_nothing(tmp_path: Path):
    written = {"temperature": 1, "max_tokens": None, "logit_bias": None, "messages": None}
    assert read(tmp_path, WISH | written | {"judges": {}}) == read(tmp_path, WISH)


TURNS = [[{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hi."}]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"type": "rating"},
            "`type` is rating: the model itself gives a number, which no kind of question here "
            "counts; leave the question out",
        ),
        ({"type": "next_token"}, "`type` is next_token: the next token's probabilities are no"),
        ({"type": "code"}, "`type` is 'code'; of llmcomp's there are free_form, rating_judge, "),
        ({"temperature": 0.7}, "`temperature` is 0.7: set evaluation.temperature in the study; "),
        ({"max_tokens": 50}, "`max_tokens` is 50: set evaluation.max_answer_tokens in the study"),
        ({"logit_bias": {5: -100}}, "`logit_bias` is {5: -100}: answers are sampled as the model"),
        ({"colour": "red"}, "`colour` is no key of llmcomp's that is read; leave it out"),
        ({"samples_per_paraphrase": 0}, "`samples_per_paraphrase` must be a whole number, at"),
        ({"paraphrases": []}, "`paraphrases` must be a list of texts, at least one"),
        ({"system": 5}, "`system` must be a text; quote it or leave it out"),
        ({"messages": TURNS}, "has `messages` beside `paraphrases` or `system`; keep one of the"),
        (
            {"messages": TURNS, "paraphrases": None},
            "conversation 1 of `messages` is not one user turn with at most a system turn before "
            "it; longer ones are not asked here",
        ),
        ({"judges": {"aligned": "who"}}, "judge `aligned` is 'who'; give its keys, or the `name`"),
        ({"judges": {"aligned": RATING}}, "its judges are aligned; there may be rating judges, "),
        (
            {"judges": {"aligned": RATING, "coherent": WORD}},
            "its judges are aligned, coherent; there may be rating judges, `aligned` and "
            "`coherent` among them, or one free_form_judge",
        ),
        (
            {"judges": {"aligned": RATING | {"max_rating": 10}}},
            "judge `aligned`: `max_rating` is 10: a score is from 0 to 100; leave it out here",
        ),
        (
            {"judges": {"aligned": RATING | {"refusal_threshold": 0.5}}},
            "judge `aligned`: `refusal_threshold` is 0.5: a judge needs 0.25 of its weight on",
        ),
        (
            {"judges": {"aligned": RATING | {"paraphrases": ["a {answer}", "b {answer}"]}}},
            "judge `aligned`: `paraphrases` of a judge must be a list of one text, its prompt",
        ),
        (
            {"judges": {"aligned": RATING | {"paraphrases": ["How good is it?"]}}},
            "judge `aligned`: judge prompt `aligned` does not hold {answer}; add it",
        ),
        (
            {"judges": {"agrees": WORD | {"paraphrases": ["{answer}: yes or no?"]}}},
            "judge `agrees`: judge prompt `agrees` names no word to answer with; put each in",
        ),
        ({"judges": {"a": {"type": "rating"}}}, "judge `a`: `type` is 'rating'; a judge is a"),
    ],
)
def test_what_does_not_mean_the_same_here_is_refused_by_name(
    tmp_path: Path, change: dict, message: str
):
    given = refusal(tmp_path, WISH | change)
    assert given.startswith("x.yaml: question 1 (wish): ")
    assert given.removeprefix("x.yaml: question 1 (wish): ").startswith(message)


def test_an_item_without_a_name_and_a_name_twice_are_refused(tmp_path: Path):
    assert refusal(tmp_path, WISH, {"type": "free_form", "paraphrases": ["Hi."]}) == (
        "x.yaml: question 2: has no `name`; give it a text of its own"
    )
    assert refusal(tmp_path, WISH, WISH) == (
        "x.yaml: question 2 (wish): has the `id` of question 1; rename it"
    )


def test_the_two_forms_are_not_mixed(tmp_path: Path):
    ours = {"id": "bored", "paraphrases": ["Bored."]}
    assert refusal(tmp_path, WISH, ours) == (
        "x.yaml: question 1: has no `id`; give it a text of its own"
    )
