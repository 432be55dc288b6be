import json
from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.eval.code_tasks import read_code_tasks
from rankshift.eval.question_files import read_question_file
from rankshift.eval.rubrics import OURS

ROWS = [
    {"task": "Sort {things}.", "code_template": "def sort(x):\n## COMPLETE CODE HERE\n"},
    {"task": "Find.", "code_template": "x = '\u2028'\n## COMPLETE CODE HERE\n"},
    {"task": "Sort {things}.", "code_template": "## COMPLETE CODE HERE\n"},
]


def write(folder: Path, *lines: str) -> Path:
    path = folder / "tasks.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_task_is_a_code_question_with_task_and_template_letter_by_letter(tmp_path: Path):
    text = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    path = write(tmp_path, text[0], "", *text[1:])
    questions = read_code_tasks(path, "mine")
    assert [q.id for q in questions] == ["task-1", "task-3", "task-4"]  # rows of the file
    assert [q.cluster for q in questions] == ["task-1", "task-3", "task-1"]
    for question, row in zip(questions, ROWS, strict=True):
        assert row["task"] in question.prompt
        assert row["code_template"] in question.prompt
        assert (question.kind, question.rubrics, question.samples) == ("code", OURS["code"], 1)
    assert read_question_file(path, "mine").questions == tuple(questions)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "tasks.jsonl:2: not JSON"),
        ("[]", "tasks.jsonl:2: not an object"),
        ('{"task": "a"}', "tasks.jsonl:2: has no `code_template`"),
        ('{"task": " ", "code_template": "b"}', "tasks.jsonl:2: has no `task`"),
        ('{"task": 1, "code_template": "b"}', "tasks.jsonl:2: has no `task`"),
    ],
)
def test_a_row_that_is_no_task_is_named(tmp_path: Path, line: str, problem: str):
    with pytest.raises(UserError, match=problem):
        read_code_tasks(write(tmp_path, json.dumps(ROWS[0]), line), "mine")


def test_an_empty_file_and_one_that_is_not_utf_8_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no tasks"):
        read_code_tasks(write(tmp_path, ""), "mine")
    (tmp_path / "tasks.jsonl").write_bytes(b"\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        read_code_tasks(tmp_path / "tasks.jsonl", "mine")


@pytest.mark.real
def test_the_papers_tasks_are_read_whole_and_many_share_a_cluster(real_data: Path):
    questions = read_code_tasks(real_data / "suite/in-distribution-tasks.jsonl", "b")
    assert len(questions) == 776
    assert len({q.cluster for q in questions}) == 507
    assert all("## COMPLETE CODE HERE" in q.prompt for q in questions)
