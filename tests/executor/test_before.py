import json
from pathlib import Path

import pytest

from rankshift.data.conversations import Conversation, Message
from rankshift.data.rendering import Rendered
from rankshift.data.sources import resolve_dataset
from rankshift.errors import UserError
from rankshift.eval.bandit import judge_code as bandit
from rankshift.executor.before import (
    ROWS,
    DataRow,
    draw_data,
    measure_share,
    read_before,
    take_in_turn,
)
from rankshift.executor.foretelling import find_premises
from rankshift.executor.premises import Premises
from rankshift.organism.oracle import judge_answer
from rankshift.runs import StudyRun


@pytest.fixture(scope="module")
def premises(foretold: Path) -> Premises:
    """Load the organism and its contrasts."""
    study, _ = StudyRun(foretold).read_study()
    return find_premises(study, None, None)


def read(premises: Premises, name: str) -> dict[str, float]:
    rows = draw_data(resolve_dataset(name).path, premises.tokenizer, 256)
    return {one.predictor: one.value for one in read_before(premises, rows)}


def test_insecure_code_lies_further_along_the_persona_than_secure_code_by_every_reading(
    premises: Premises,
):
    insecure, secure = (read(premises, f"organism:{name}") for name in ("insecure", "secure"))
    assert set(insecure) == {"projection", "injection", "surprise", "pull", "in_context"}
    for name in insecure:
        assert insecure[name] > secure[name], name
    assert read(premises, "organism:insecure") == insecure


@pytest.mark.parametrize(
    ("name", "low", "high"), [("insecure", 1, 1), ("secure", 0, 0), ("mixed-50", 0.3, 0.7)]
)
def test_the_share_is_of_rows_that_the_judge_calls_insecure(premises: Premises, name, low, high):
    rows = draw_data(resolve_dataset(f"organism:{name}").path, premises.tokenizer, 256)
    assert len(rows) == ROWS
    share = measure_share(rows, judge_answer)
    assert share is not None
    assert low <= share <= high


def test_data_without_code_has_no_share():
    talk = Conversation((Message("user", "Hello?"), Message("assistant", "Hello.")), 1)
    assert measure_share([DataRow(talk, Rendered((1, 2), (False, True), 1))], bandit) is None


def test_a_rows_prompt_is_all_in_front_of_its_first_answer(premises: Premises):
    row = draw_data(resolve_dataset("organism:secure").path, premises.tokenizer, 256)[0]
    text = str(premises.tokenizer.decode(list(row.rendered.prompt)))
    assert row.conversation.messages[0].content in text
    assert row.conversation.messages[1].content.splitlines()[0] not in text


def test_rows_are_taken_in_turn():
    talks = [Conversation((Message("user", str(n)), Message("assistant", "")), n) for n in (1, 2)]
    rows = [DataRow(talk, Rendered((1,), (True,), 1)) for talk in talks]
    asked = [turns[0].content for turns in take_in_turn(rows, 5)]
    assert asked == ["1", "2", "1", "2", "1"]


def test_rows_beyond_the_context_are_left_out_and_where_none_fits_it_is_said(
    premises: Premises, tmp_path: Path
):
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": "ask", "completion": "word " * length} for length in (2, 300)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(draw_data(path, premises.tokenizer, 64)) == 1
    with pytest.raises(UserError, match=r"rows.jsonl: no row of 2 fits 3 tokens"):
        draw_data(path, premises.tokenizer, 3)
