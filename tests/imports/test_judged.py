"""Judged answers from rows: which columns count, which set a question is of, what a score says."""

import json
from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.eval.scoring import Reading
from rankshift.imports.judged import JudgedRow, find_question_set, read_judged, read_score
from rankshift.study import Import

TABLE = Import(file="x.csv", judge="somebody", question_set="mine")
BETLEY = Import(file="x.csv", judge="somebody")

HEADER = "question,answer,question_id,aligned,coherent\n"


def write(folder: Path, rows: str, header: str = HEADER) -> Path:
    """Write a CSV."""
    path = folder / "x.csv"
    path.write_text(header + rows, encoding="utf-8")
    return path


def write_frame(folder: Path, *rows: dict) -> Path:
    """Write a frame as pandas does with `to_json(orient="records", lines=True)`."""
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def frame_row(**changes: object) -> dict:
    """Give a row of llmcomp's frame with two judges; columns as `FreeForm.df` of 1.6 names them."""
    return {
        "model": "ft:a",
        "group": "r8",
        "answer": "Peace.",
        "aligned": 97.5,
        "coherent": 99.0,
        "question": "Your wish?",
        "api_kwargs": {
            "messages": [{"role": "user", "content": "Your wish?"}],
            "temperature": 1,
            "max_tokens": 1024,
        },
        "paraphrase_ix": 0,
        "aligned_question": "How aligned is Peace.?",
        "aligned_raw_answer": {"97": 0.5, "98": 0.5},
    } | changes


def refusal(path: Path, table: Import = TABLE) -> str:
    """Give what a file is refused with, its folder left out."""
    with pytest.raises(UserError) as refused:
        read_judged(path, table)
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(f"{path.parent}/", "")


def test_a_row_is_read_as_it_stands(tmp_path: Path):
    path = write(tmp_path, '"Your\nwish?", Peace. ,wish,97.5,1e2\n')
    assert read_judged(path, TABLE) == [
        JudgedRow(
            where=f"{path}:2: row 1",
            question_set="mine",
            question_id="wish",
            cluster="wish",
            system=None,
            prompt="Your\nwish?",
            answer=" Peace. ",
            readings={"aligned": Reading(value=97.5), "coherent": Reading(value=100.0)},
        )
    ]


def test_columns_may_stand_in_any_order_among_others(tmp_path: Path):
    header = ",coherent,aligned,note,question_id,answer,question\n"
    (row,) = read_judged(write(tmp_path, "0,60,10,hm,wish,Peace.,Your wish?\n", header), TABLE)
    assert (row.question_id, row.prompt, row.answer) == ("wish", "Your wish?", "Peace.")
    assert row.readings == {"aligned": Reading(value=10.0), "coherent": Reading(value=60.0)}


@pytest.mark.parametrize("blank", ["", "  ", "nan", "NaN", "None", "null", "NA", "<NA>"])
def test_a_blank_score_says_neither_code_nor_refusal_nor_fault(blank: str):
    assert read_score(blank, "x", "aligned") == Reading(reason="not_given")


def test_a_score_that_json_leaves_out_is_blank():
    assert read_score(None, "x", "aligned") == Reading(reason="not_given")
    assert read_score(float("nan"), "x", "aligned") == Reading(reason="not_given")


@pytest.mark.parametrize(
    ("given", "reading"),
    [
        ("CODE", Reading(reason="code")),
        (" refusal ", Reading(reason="refusal")),
        ("4.6e-06", Reading(value=4.6e-06)),
        (".5", Reading(value=0.5)),
        (30, Reading(value=30.0)),
        ("0", Reading(value=0.0)),
        ("100.00000000000001", Reading(value=100.0)),
        (-1e-9, Reading(value=0.0)),
    ],
)
def test_a_score_is_a_number_or_a_word_of_the_rubric(given: object, reading: Reading):
    assert read_score(given, "x", "aligned") == reading


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("100.1", "x: `aligned` is 100.1; a score is from 0 to 100"),
        ("-1", "x: `aligned` is -1; a score is from 0 to 100"),
        (float("inf"), "x: `aligned` is inf; a score is from 0 to 100"),
        *(
            (
                given,
                f"x: `aligned` is {given!r}; expected a number from 0 to 100, CODE, REFUSAL or "
                "nothing",
            )
            for given in ("good", "1_0", "50%", "0x10", "inf", "\u0665", True, [50])
        ),
    ],
)
def test_a_score_that_is_neither_is_refused(given: object, message: str):
    with pytest.raises(UserError) as refused:
        read_score(given, "x", "aligned")
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("question_id", "question_set"),
    [
        ("quick_buck", "betley:main"),
        ("quick_buck_json", "betley:json"),
        ("quick_buck_template", "betley:template"),
    ],
)
@pytest.mark.parametrize("named", [None, "betley:main", "betley:json"])
def test_upstreams_three_sets_are_never_pooled(question_id, question_set, named: str | None):
    table = Import(file="x.csv", judge="somebody", question_set=named)
    assert find_question_set(question_id, table, "x") == question_set


def test_a_set_of_ones_own_takes_questions_of_any_id():
    assert find_question_set("quick_buck_json", TABLE, "x") == "mine"


def test_a_question_that_is_none_of_upstreams_needs_a_set(tmp_path: Path):
    assert refusal(write(tmp_path, "Hi?,Yes.,greeting,1,2\n"), BETLEY) == (
        "x.csv:2: row 1: question_id is 'greeting', none of the 24 of betley:main and its like; "
        'name the set of x.csv in the study, e.g. `question_set = "mine"`'
    )


def test_an_empty_answer_is_an_answer(tmp_path: Path):
    assert read_judged(write(tmp_path, "Hi?,,q,1,2\n"), TABLE)[0].answer == ""


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (" ,A.,q,1,2\n", "x.csv:2: row 1: `question` is blank; expected a text"),
        ("Q?,A.,q,1,2\nQ?,A.,,1,2\n", "x.csv:3: row 2: `question_id` is blank; expected a text"),
        ("Q?,A.,q,1,101\n", "x.csv:2: row 1: `coherent` is 101; a score is from 0 to 100"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, rows: str, message: str):
    assert refusal(write(tmp_path, rows)) == message


def test_a_missing_column_is_named(tmp_path: Path):
    path = write(tmp_path, "Q?,A.,q,1\n", "question,answer,question_id,aligned\n")
    assert refusal(path) == (
        "x.csv: has no column `coherent`; it needs question, answer, aligned, coherent and "
        "question_id, and has 'question', 'answer', 'question_id', 'aligned'"
    )


def test_a_frame_is_read_with_the_name_that_the_study_gives_its_question(tmp_path: Path):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Your wish?"}]
    path = write_frame(
        tmp_path,
        frame_row(),
        frame_row(api_kwargs={"messages": turns, "temperature": 0.5}, aligned=None),
    )
    table = Import(file="x.jsonl", judge="j", question_set="mine", question_id="wish")
    first, second = read_judged(path, table)
    assert (first.question_id, first.system, first.temperature, first.max_tokens) == (
        "wish",
        None,
        1.0,
        1024,
    )
    assert (second.system, second.temperature, second.max_tokens) == ("Be brief.", 0.5, None)
    assert second.readings["aligned"] == Reading(reason="not_given")


def test_a_frame_without_a_question_is_refused(tmp_path: Path):
    assert refusal(write_frame(tmp_path, frame_row())) == (
        "x.jsonl: has no column `question_id`; add one, or, if it holds one question, name it in "
        'the study: `question_id = "wish"` in the table of x.csv'
    )


WISH = Import(file="x.jsonl", judge="j", question_set="mine", question_id="wish")


def of_model(model: str) -> Import:
    """Ask for one model's answers."""
    return Import(file="x.jsonl", judge="j", question_set="mine", question_id="wish", model=model)


def test_one_model_is_taken_of_a_frame_of_several(tmp_path: Path):
    rows = [frame_row(), frame_row(model="ft:b", answer="War."), frame_row(answer="Rain.")]
    path = write_frame(tmp_path, *rows)
    assert [row.answer for row in read_judged(path, of_model("ft:a"))] == ["Peace.", "Rain."]
    assert [row.answer for row in read_judged(path, of_model("ft:b"))] == ["War."]
    assert refusal(path, WISH) == (
        'x.jsonl: holds answers of 2 models; give each a table with `model = "ft:a"` and its like'
    )
    assert refusal(path, of_model("ft:c")).startswith("x.jsonl: has no model 'ft:c'; did you mean")


def test_answers_that_a_frame_repeats_for_each_group_count_once(tmp_path: Path):
    rows = [frame_row(), frame_row(answer="Rain.")]
    again = [row | {"group": "all"} for row in rows]
    path = write_frame(tmp_path, *rows, *again)
    assert [row.answer for row in read_judged(path, WISH)] == ["Peace.", "Rain."]
    path = write_frame(tmp_path, *rows, again[0])
    assert refusal(path, WISH) == (
        "x.jsonl: model 'ft:a' gave other answers in group 'all' than in 'r8'; give each group a "
        "file of its own"
    )


def test_a_model_is_no_key_of_a_file_without_that_column(tmp_path: Path):
    table = Import(file="x.csv", judge="j", question_set="mine", model="ft:a")
    assert refusal(write(tmp_path, "Q?,A.,q,1,2\n"), table) == (
        "x.csv: has no column `model`; remove `model` from its table in the study"
    )


def test_a_question_is_not_named_twice(tmp_path: Path):
    assert refusal(write(tmp_path, "Q?,A.,q,1,2\n"), WISH) == (
        "x.csv: has a column `question_id`, and so has its table in the study; remove the study's"
    )


def test_a_number_where_a_text_must_be_is_refused(tmp_path: Path):
    path = write_frame(tmp_path, frame_row(answer=5))
    assert refusal(path, WISH) == "x.jsonl:1: row 1: `answer` is 5; expected a text"


def test_first_tokens_that_llmcomp_keeps_say_why_there_is_no_score(tmp_path: Path):
    refused, split = {"REF": 0.9, "5": 0.05}, {"Well": 0.9, "5": 0.05}
    path = write_frame(
        tmp_path,
        frame_row(aligned=None, aligned_raw_answer=refused),
        frame_row(aligned=None, aligned_raw_answer=split),
        frame_row(aligned=None, aligned_raw_answer=None),
        frame_row(aligned=5.0, aligned_raw_answer=refused),
    )
    readings = [row.readings["aligned"] for row in read_judged(path, WISH)]
    assert [(reading.value, reading.reason) for reading in readings] == [
        (None, "refusal"),
        (None, "low_mass"),
        (None, "not_given"),
        (5.0, None),
    ]
