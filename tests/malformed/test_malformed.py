"""Every malformed input is one line with the place and the fix; no traceback, nothing written."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankshift.errors import UserError
from tests.malformed.models import MODEL_CASES, write_valid
from tests.malformed.readers import READERS, Case
from tests.malformed.texts import TEXT_CASES, VALID, list_valid

CASES = TEXT_CASES + MODEL_CASES

PARTS = {"adapter": "adapter"}

FIX = re.compile(
    r"; \w.{5,}$|expected|did you mean|there are|is needed|are needed|must |is there twice|belongs|"
    r"only a string|cannot stand beside|add e\.g\.|from 0 to 100|beside it"
)
"""How a message tells what to do: a clause of its own, or what would be right."""


def test_there_are_at_least_300_inputs_and_60_pairs_of_reader_and_reason():
    pairs = {(case.reader, case.reason) for case in CASES}
    assert len(pairs) == len(CASES), "a pair is there twice"
    inputs = {(case.reader, repr(content)) for case in CASES for content in case.inputs}
    assert len(inputs) == sum(len(case.inputs) for case in CASES), "an input is there twice"
    assert len(pairs) >= 60
    assert len(inputs) >= 300
    assert {case.reader for case in CASES} == set(READERS), "a reader is put nothing before"


@pytest.fixture(scope="session")
def valid(tmp_path_factory: pytest.TempPathFactory, tiny_model_directory: Path) -> Path:
    """Give a folder with a valid `base` and a valid `adapter` for it."""
    return write_valid(tmp_path_factory.mktemp("valid"), tiny_model_directory)


def test_what_the_malformed_inputs_were_made_from_is_taken(valid: Path, tmp_path: Path):
    (tmp_path / "a").mkdir()
    READERS["adapter"](tmp_path / "a", {}, valid / "adapter")
    (tmp_path / "b").mkdir()
    READERS["model"](tmp_path / "b", {}, valid / "base")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.reader}: {case.reason}")
def test_a_malformed_input_is_one_line_with_place_and_fix(case: Case, tmp_path: Path, valid: Path):
    for number, content in enumerate(case.inputs):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(UserError) as refused:
            READERS[case.reader](folder, content, valid / PARTS.get(case.reader, "base"))
        said = str(refused.value).replace(str(folder), "FOLDER")
        assert "\n" not in said, content
        assert case.says in said, content
        assert "FOLDER/" in said, content
        assert FIX.search(said), said
        assert len(said) < 600, content


@pytest.mark.parametrize("reader", VALID)
def test_what_the_malformed_texts_were_made_from_is_taken(reader: str, tmp_path: Path):
    for number, content in enumerate(list_valid(reader)):
        folder = tmp_path / str(number)
        folder.mkdir()
        READERS[reader](folder, content, tmp_path)


FRAGMENTS = [b"\0", b"\xff", b'"', b"[", b"{", b"}", b"\n", b",", b"NaN", b"9" * 400, b"\\ud800"]
FRAGMENTS += [b"null", b"-1", b"1e999", b"'", b":", b"true", b"[]", b"{}", b"\xef\xbb\xbf", b"\r"]


@pytest.mark.parametrize("reader", VALID)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_what_chance_makes_of_a_valid_input_is_taken_or_is_one_line(
    reader: str, data: st.DataObject, tmp_path: Path
):
    content = data.draw(st.sampled_from(list_valid(reader)))
    for _ in range(data.draw(st.integers(1, 3))):
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        fragment = data.draw(st.sampled_from([b"", *FRAGMENTS]) | st.binary(max_size=4))
        content = content[:begin] + fragment + content[end:]
    said = ""
    try:
        READERS[reader](tmp_path, content, tmp_path)
    except UserError as refused:
        said = str(refused)
    assert "\n" not in said
