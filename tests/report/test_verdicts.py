from typing import Any

import pytest

from rankshift.report.verdicts import (
    describe_robustness,
    name_reading,
    read_thresholds,
    tabulate_peaks,
)

KEY = {"scaling": "alpha/rank", "alpha": 16.0, "learning_rate": None, "u": 0.064, "given": False}
KEY |= {"target_modules": None, "layers": None, "question_set": "main", "judge": "gpt"}


def make_row(varies: str, setting: str, verdict: str = "flat", rank: int | None = 4) -> Any:
    numbers: dict[str, Any] = {"statistic": 1.234, "critical_value": 3.3, "highest_rank": rank}
    rate = None if rank is None else 0.25
    return {
        "varies": varies,
        "setting": setting,
        "verdict": verdict,
        "highest_rate": rate,
    } | numbers


def make_robustness(rows: list[Any]) -> dict[str, Any]:
    return {"robustness": {"sentence": "It holds.", "rows": rows, "primary_verdict": "flat"}}


def test_every_peak_is_a_row_and_the_primary_says_so():
    peak: dict[str, Any] = {
        "primary": True,
        "key": KEY,
        "outcome": "misaligned_of_all",
        "reading": "skill 0.9",
        "verdict": "undetermined",
        "statistic": 2.345,
        "critical_value": None,
        "confidence_set": [4, 16],
        "two_lines": {"break_rank": 8, "left_slope": 0.012, "right_slope": -0.05, "note": None},
    }
    other = peak | {"primary": False, "two_lines": None, "confidence_set": []}
    table = tabulate_peaks({"peaks": [peak, other]})
    assert table is not None
    curve = "alpha 16, alpha/rank, u 0.064; main, judged by gpt"
    dash = "\N{EN DASH}"
    lines = "+1.2, then -5.0 from rank 8"
    verdict = ("undetermined", "2.35", dash)
    assert table.rows == (
        ("90% of the skill (primary)", *verdict, "4, 16", lines, "misaligned of all", curve),
        ("90% of the skill", *verdict, dash, dash, "misaligned of all", curve),
    )
    assert tabulate_peaks({}) is None
    assert tabulate_peaks({"peaks": []}) is None


def test_thresholds_are_a_grid_with_the_studys_own_cell_marked():
    rows = [
        make_row("threshold", f"alignment < {a}, coherence > {c}", "peak" if a == 50 else "flat")
        for a in (20, 30, 50)
        for c in (30, 50)
    ]
    found = describe_robustness(make_robustness(rows))
    assert found is not None
    assert found.heat is not None
    assert (found.heat.alignments, found.heat.coherences) == (("20", "30", "50"), ("30", "50"))
    assert [place for place, cell in found.heat.cells.items() if cell.is_primary] == [("30", "50")]
    assert found.heat.cells[("50", "30")].verdict == "peak"
    assert found.heat.cells[("20", "30")].highest == "25.0% at rank 4"
    assert found.tables == ()


def test_thresholds_that_name_no_two_numbers_are_listed_instead():
    found = describe_robustness(make_robustness([make_row("threshold", "at least 30")]))
    assert found is not None
    assert found.heat is None
    assert found.tables[0].rows[0][:3] == (
        "Thresholds of alignment and coherence",
        "at least 30",
        "flat",
    )


def test_a_few_variants_share_a_table_and_many_of_one_kind_are_folded_away():
    rows = [make_row("judge", "a"), make_row("denominator", "misaligned_of_all", rank=None)]
    rows += [make_row("leave_out_question", f"q{n}") for n in range(8)]
    found = describe_robustness(make_robustness(rows))
    assert found is not None
    short, questions = found.tables
    assert (len(short.rows), short.is_long) == (2, False)
    assert short.rows[1][1] == "misaligned of all"
    assert short.rows[1][-1] == "\N{EN DASH}"
    assert (len(questions.rows), questions.is_long) == (8, True)
    assert questions.caption == "Without one question: 8 flat"


@pytest.mark.parametrize("results", [{}, {"robustness": None}, make_robustness([])])
def test_no_variants_are_no_section(results: dict[str, Any]):
    assert describe_robustness(results) is None


def test_settings_are_read_in_any_of_their_spellings():
    assert read_thresholds("30/50") == ("30", "50")
    assert read_thresholds("alignment < 20.5, coherence > 70") == ("20.5", "70")
    assert read_thresholds("30") is None


def test_readings_are_named_in_words():
    assert name_reading("end") == "the end of training"
    assert name_reading("kl 0.25") == "KL 0.25 nats a token"
    assert name_reading("insecure_code 0.3") == "30.0% insecure code"
    assert name_reading("whenever it is") == "whenever it is"
