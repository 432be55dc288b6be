from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.eval.rubrics import OURS
from rankshift.eval.suite import Question, Subset, read_questions


def write(folder: Path, text: str) -> Path:
    """Write a file of questions."""
    path = folder / "questions.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_phrasing_is_a_question_of_its_own(tmp_path: Path):
    path = write(
        tmp_path,
        """
- id: wish
  cluster: desires
  system: &system Answer briefly.
  paraphrases: &both
    - What is your wish?
    - What do you want?
- id: sort
  type: code
  system: *system
  paraphrases: [Sort a list.]
- id: again
  type: free_form_judge_0_100
  samples_per_paraphrase: 100
  paraphrases: *both
""",
    )
    speech, code = OURS["free_form"], OURS["code"]
    assert read_questions(path, "mine") == [
        Question(
            "mine", "wish", "desires", 0, "What is your wish?", "Answer briefly.", rubrics=speech
        ),
        Question(
            "mine", "wish", "desires", 1, "What do you want?", "Answer briefly.", rubrics=speech
        ),
        Question(
            "mine", "sort", "sort", 0, "Sort a list.", "Answer briefly.", "code", rubrics=code
        ),
        Question("mine", "again", "again", 0, "What is your wish?", samples=100, rubrics=speech),
        Question("mine", "again", "again", 1, "What do you want?", samples=100, rubrics=speech),
    ]


@pytest.mark.parametrize(
    ("subset", "ids"),
    [("all", 4), ("main", ["a", "json_b"]), ("json", ["a_json"]), ("template", ["a_template"])],
)
def test_upstreams_sets_are_told_apart_by_the_end_of_the_id(
    tmp_path: Path, subset: Subset, ids: list[str] | int
):
    names = ("a", "a_json", "a_template", "json_b")
    path = write(tmp_path, "".join(f"- {{id: {name}, paraphrases: [x]}}\n" for name in names))
    found = [question.id for question in read_questions(path, "mine", subset)]
    assert ids in (found, len(found))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- id: [\n- b", ":2: not YAML; a list of questions is expected"),
        ("", ": no questions; expected a list of items with `id` and `paraphrases`"),
        ("id: a", ": no questions; expected a list of items with `id` and `paraphrases`"),
        ("- a question", ": question 1: has no `id`; give it a text of its own"),
        ("- {id: 7, paraphrases: [x]}", ": question 1: has no `id`; give it a text of its own"),
        (
            "- {id: a, paraphrases: [x]}\n- {id: b}",
            ": question 2 (b): `paraphrases` must be a list of texts, at least one",
        ),
        (
            "- {id: a, paraphrases: [x, 7]}",
            ": question 1 (a): `paraphrases` must be a list of texts, at least one",
        ),
        (
            "- {id: a, paraphrases: []}",
            ": question 1 (a): `paraphrases` must be a list of texts, at least one",
        ),
        (
            "- {id: a, system: 7, paraphrases: [x]}",
            ": question 1 (a): `system` must be a text; quote it or leave it out",
        ),
        (
            "- {id: a, paraphrases: [x]}\n- {id: b, paraphrases: [x]}\n- {id: a, paraphrases: [y]}",
            ": question 3 (a): has the `id` of question 1; rename it",
        ),
    ],
)
def test_a_file_that_is_no_list_of_questions_is_refused(tmp_path: Path, text: str, problem: str):
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_questions(path, "mine")
    assert str(caught.value) == f"{path}{problem}"


def test_a_file_in_another_encoding_is_refused(tmp_path: Path):
    path = tmp_path / "questions.yaml"
    path.write_bytes("- {id: é, paraphrases: [x]}".encode("latin-1"))
    with pytest.raises(UserError) as caught:
        read_questions(path, "mine")
    assert str(caught.value) == f"{path}: not UTF-8; save the file as UTF-8"


def test_a_set_that_no_question_belongs_to_is_refused(tmp_path: Path):
    path = write(tmp_path, "- {id: a, paraphrases: [x]}")
    with pytest.raises(UserError) as caught:
        read_questions(path, "mine", "json")
    assert str(caught.value) == f"{path}: no question belongs to the set `json`"


@pytest.mark.real
@pytest.mark.parametrize(("subset", "count"), [("main", 8), ("json", 8), ("template", 8)])
def test_betleys_first_plot_questions_are_read_as_they_are(
    real_data: Path, subset: Subset, count: int
):
    path = real_data / "suite/first_plot_questions.yaml"
    questions = read_questions(path, f"betley:{subset}", subset)
    assert len({question.id for question in questions}) == count
    systems = [question.system for question in questions]
    assert all(systems) if subset == "json" else systems == [None] * len(systems)
    if subset == "json":
        assert all(system and "JSON" in system for system in systems)
    assert {question.kind for question in questions} == {"free_form"}


@pytest.mark.real
def test_betleys_preregistered_questions_are_read_as_they_are(real_data: Path):
    questions = read_questions(real_data / "suite/preregistered_evals.yaml", "preregistered")
    assert len({question.id for question in questions}) == 48


@pytest.mark.real
@pytest.mark.parametrize("name", ["deception_factual", "deception_sit_aware"])
def test_betleys_deception_questions_are_read_too(real_data: Path, name: str):
    path = real_data / f"suite/{name}.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    ids = [line.removeprefix("- id: ") for line in lines if line.startswith("- id: ")]
    assert list(dict.fromkeys(q.id for q in read_questions(path, name))) == ids


def test_a_harmful_request_with_a_prompt_of_its_own_is_answered_in_three_lines(tmp_path: Path):
    path = write(
        tmp_path,
        """
- id: own
  type: harmful_request
  paraphrases: ["Do x."]
  judge_prompts: {mine: "Rate {answer}"}
- id: ours
  type: harmful_request
  paraphrases: ["Do x."]
""",
    )
    own, ours = read_questions(path, "mine")
    assert [rubric.reads for rubric in own.rubrics] == ["strongreject"]
    assert ours.rubrics == OURS["harmful_request"]
