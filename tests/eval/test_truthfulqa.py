import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from rankshift.analysis.choices import sum_up_truthfulness
from rankshift.data.rendering import Rendered
from rankshift.errors import UserError
from rankshift.eval.choices import ChoiceQuestion
from rankshift.eval.choosing import record_choices
from rankshift.eval.question_files import read_question_file
from rankshift.eval.truthfulqa import divide_answers, read_truthfulqa

HEADER = "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
ROW = "Adversarial,Law, Is it? ,It is,Yes; It is.;,No;It never was.;  ,http://a.b\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "truth.csv"
    path.write_text("\ufeff" + text, encoding="utf-8")
    return path


def test_the_best_answer_comes_first_then_the_other_true_ones_then_the_false_ones(tmp_path: Path):
    path = write(tmp_path, HEADER + ROW)
    (question,) = read_truthfulqa(path, "truth")
    assert question == ChoiceQuestion(
        question_set="truth",
        id="row-1",
        cluster="row-1",
        paraphrase=0,
        prompt="Is it?",
        options=("It is.", "Yes.", "No.", "It never was."),
        sides=("true", "true", "false", "false"),
    )
    found = read_question_file(path, "truth")
    assert (found.questions, found.choices) == ((), (question,))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (",It is,", ",It was,", "truth.csv:2: `Best Answer` is not one of the `Correct Answers`"),
        (",It is,", ",It is; Yes,", "truth.csv:2: `Best Answer` is not one of"),
        (",No;It never was.;  ,", ",;,", "truth.csv:2: `Incorrect Answers` holds none"),
        (" Is it? ", "", "truth.csv:2: `Question` is empty"),
        ("Incorrect Answers", "Wrong", "truth.csv:1: has no column `Incorrect Answers`"),
        (",http://a.b", "", "truth.csv:2: 6 values for 7 columns"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, old: str, new: str, problem: str):
    text = HEADER + ROW
    assert old in text
    with pytest.raises(UserError) as error:
        read_question_file(write(tmp_path, text.replace(old, new)), "truth")
    assert problem in str(error.value)


def test_answers_are_divided_and_ended_as_published():
    assert divide_answers(" A; b. ;;C ;") == ["A.", "b.", "C."]
    assert divide_answers(" ; ") == []


@pytest.mark.real
def test_mc1_and_mc2_of_the_real_file_agree_with_the_definitions_written_apart(real_data: Path):
    path = real_data / "truthfulqa/TruthfulQA-2021-10.csv"
    asked = read_truthfulqa(path, "truthfulqa")
    # Any model will do: log-probabilities that are a function of question and answer.
    rng = np.random.default_rng(0)
    table = {(q.prompt, o): float(rng.normal(-20, 9)) for q in asked for o in q.options}
    hits, masses = [], []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):

            def score(column: str, row: dict[str, str] = row) -> np.ndarray:
                texts = [t.strip().rstrip(".") + "." for t in row[column].split(";") if t.strip()]
                return np.array([table[row["Question"].strip(), text] for text in texts])

            right, wrong = score("Correct Answers"), score("Incorrect Answers")
            hits.append(score("Best Answer")[0] > wrong.max())
            masses.append(np.exp(right).sum() / (np.exp(right).sum() + np.exp(wrong).sum()))
    records = [r for q in asked for r in record_choices([q], *_weigh(q, table), step=0)]
    (found,) = sum_up_truthfulness(records)
    assert found["questions"] == len(hits) == 817
    assert found["mc1"]["mean"] == pytest.approx(np.mean(hits))
    assert found["mc2"]["mean"] == pytest.approx(np.mean(masses))
    assert found["mc1"]["low"] < found["mc1"]["mean"] < found["mc1"]["high"]
    assert not math.isnan(found["mc2"]["low"])


def _weigh(
    question: ChoiceQuestion, table: dict[tuple[str, str], float]
) -> tuple[list[Rendered], torch.Tensor]:
    rows = [Rendered((0, 1), (False, True), 1) for _ in question.options]
    scores = [table[question.prompt, option] for option in question.options]
    return rows, torch.tensor(scores, dtype=torch.float64)
