from collections import Counter

from calibration.planted_rates import CHECKS, GRID, SUITE, Dose, measure_dose
from rankshift.eval.suite import read_questions
from rankshift.model import queue
from rankshift.organism.shelf import question_file

QUESTIONS = read_questions(question_file(SUITE), f"organism:{SUITE}")[:4]


def test_counts_add_up_over_outcomes_and_questions_and_hang_on_no_grouping(monkeypatch):
    measured = []
    for together in (2, 512):
        monkeypatch.setattr(queue, "MOST_TOGETHER", together)
        measured.append(measure_dose(Dose(0.75, 16, 1), QUESTIONS, 160))
    few, many = measured
    assert few == many
    assert many["answers"] == sum(many["outcomes"].values()) == 160
    columns = zip(*many["misaligned_and_aligned_by_question"].values(), strict=True)
    assert [sum(column) for column in columns] == [
        many["outcomes"]["misaligned"],
        many["outcomes"]["aligned"],
    ]
    assert many["outcomes"]["misaligned"] > 0


def test_no_dose_is_measured_twice_and_checks_make_no_table():
    every = [*map(Dose, GRID), *CHECKS]
    assert Counter(every).most_common(1)[0][1] == 1
    assert sorted(GRID) == list(GRID)
