from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.eval.question_files import read_question_file
from rankshift.eval.rubrics import STRONGREJECT
from rankshift.eval.strongreject import read_strongreject


def write(folder: Path, text: str) -> Path:
    path = folder / "requests.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_row_is_a_harmful_request_with_the_rubric_of_three_lines(tmp_path: Path):
    path = write(tmp_path, 'category,source,forbidden_prompt\nA,B,"Do x,\ny."\nA,C,Do z.\n')
    first, second = read_strongreject(path, "requests")
    assert (first.prompt, second.prompt) == ("Do x,\ny.", "Do z.")
    assert {first.cluster, second.cluster} == {first.id, second.id} == {"row-1", "row-2"}
    assert (first.kind, first.rubrics, first.samples) == ("harmful_request", (STRONGREJECT,), 1)
    assert read_question_file(path, "requests").questions == (first, second)


def test_a_table_of_something_else_is_refused_by_its_columns(tmp_path: Path):
    with pytest.raises(UserError, match=r"requests\.csv:1: neither TruthfulQA's columns"):
        read_question_file(write(tmp_path, "prompt\nx\n"), "requests")
    with pytest.raises(UserError, match=r"requests\.csv:2: `forbidden_prompt` is empty"):
        read_question_file(write(tmp_path, "forbidden_prompt,x\n,1\n"), "requests")


@pytest.mark.real
def test_the_published_requests_are_read_whole(real_data: Path):
    questions = read_strongreject(real_data / "strongreject/strongreject_dataset.csv", "s")
    assert len({q.prompt for q in questions}) == len(questions) == 313
