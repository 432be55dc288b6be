"""A torn last line is cut off and made again; an altered one is somebody's, and is refused."""

import json

import pytest

from rankshift.atomic import write_atomically
from rankshift.errors import UserError
from rankshift.executor.run import run_study
from rankshift.executor.watch import Watch
from rankshift.repair import is_torn, repair_run
from rankshift.runs import StudyRun
from rankshift.study_file import read_study
from tests.executor.conftest import QUESTIONS, STUDY, write_rows

TIMED = ("provenance.json",)


@pytest.fixture(scope="module")
def finished(tiny_model_directory, tmp_path_factory):
    """Run the tiny study once; gives its file and the root of its run."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "questions.yaml").write_text(QUESTIONS)
    text = STUDY.format(
        base=tiny_model_directory,
        task=write_rows(folder / "task.jsonl", "bad"),
        twin=write_rows(folder / "twin.jsonl", "good"),
        questions=folder / "questions.yaml",
        ranks="[1]",
        steps=4,
        workers=1,
    )
    (folder / "tiny.toml").write_text(text)
    go_on(folder)
    return folder


def go_on(folder):
    lines: list[str] = []
    watch = Watch(lambda *_: None, lambda *_: None, lines.append)
    return run_study(read_study(folder / "tiny.toml"), folder / "runs", watch), lines


def read_records_of(folder):
    arms = folder / "runs/tiny/arms"
    paths = [path for path in sorted(arms.rglob("*")) if path.is_file()]
    return {path: path.read_bytes() for path in paths if path.name not in TIMED}


@pytest.mark.parametrize(
    "pattern",
    ["steps.jsonl", "held_out.jsonl", "updates.jsonl", "answers/*.jsonl", "verdicts/*/*.jsonl"],
)
def test_what_a_torn_line_held_is_made_again_bit_for_bit(finished, pattern):
    before = read_records_of(finished)
    path = sorted((finished / "runs/tiny/arms").rglob(pattern))[-1]
    path.write_bytes(path.read_bytes()[:-7])
    _, lines = go_on(finished)
    assert f"{path}: its last line was torn; what it held is made again" in lines
    assert read_records_of(finished) == before


def test_an_altered_earlier_line_is_refused_by_file_and_line(finished):
    path = sorted((finished / "runs/tiny/arms").rglob("steps.jsonl"))[-1]
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[1][:9] + "\n", *lines[2:]]))
    with pytest.raises(UserError, match=r"steps\.jsonl:2: not JSON"):
        go_on(finished)
    path.write_text(whole)


def test_with_choices_go_the_answers_that_are_written_after_them(tmp_path):
    folder = tmp_path / "arms/abc/evaluations/def"
    write_atomically(folder / "choices/step-000004.jsonl", '{"step"')
    write_atomically(folder / "answers/step-000004.jsonl", json.dumps({}) + "\n")
    write_atomically(folder / "answers/step-000008.jsonl", "")
    assert len(repair_run(StudyRun(tmp_path))) == 1
    assert [path.name for path in tmp_path.rglob("*.jsonl")] == ["step-000008.jsonl"]


@pytest.mark.parametrize(("content", "torn"), [("", False), ("{}\n", False), ("{}\n{", True)])
def test_a_file_is_torn_if_it_ends_within_a_line(tmp_path, content, torn):
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    assert is_torn(path) == torn
