"""The section on defences, and where defended arms may not be."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rankshift.analysis.results import summarize
from rankshift.report.defences import describe_defences
from rankshift.report.page import render_page
from rankshift.report.wording import NOTHING
from rankshift.runs import StudyRun
from tests.defended_run import CUED
from tests.synthetic_run import read_answer_sample, write_run

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/results.schema.json").read_text())


@pytest.fixture(scope="module")
def page(defended_run: StudyRun, defended_results: dict[str, Any]) -> str:
    return render_page(defended_results, read_answer_sample(defended_run))


def test_results_with_defences_fit_their_schema(defended_results: dict[str, Any]):
    jsonschema.validate(defended_results, SCHEMA, jsonschema.Draft202012Validator)
    assert len(defended_results["defences"]) == 4 * 2 + 2  # a KL penalty is for adapters alone


def test_each_defence_has_a_word_at_each_rank_with_the_share_before_and_after(
    defended_results: dict[str, Any],
):
    (part,) = describe_defences(defended_results)
    assert part.places == ("rank 1", "rank 4", "full")
    rows = {
        name: [cell and (cell.verdict, cell.told) for cell in cells] for name, cells in part.rows
    }
    assert rows == {
        "kl 0.1": [("fails", "62.0% → 31.0%"), ("fails", "42.0% → 21.0%"), None],
        "kl 1": [("costs", "62.0% → 0.5%"), ("works", "42.0% → 0.5%"), None],
        "inoculation 1": [
            ("works", "62.0% → 1.0%"),
            ("hides", "42.0% → 1.0%"),
            ("hides", "22.0% → 1.0%"),
        ],
        "early stop 0.5": [
            ("fails", "62.0% → 57.0%"),
            ("fails", "42.0% → 37.0%"),
            ("fails", "22.0% → 17.0%"),
        ],
    }


def test_the_tables_have_each_count_and_each_cue(defended_results: dict[str, Any]):
    (part,) = describe_defences(defended_results)
    numbers, cued = part.tables
    row = next(row for row in numbers.rows if row[:2] == ("kl 1", "rank 1"))
    assert row[2] == "costs"
    assert row[3].startswith("0.5% (")
    assert row[3].endswith(": gone")
    assert (row[6], row[7]) == ("50% (50% to 50%): no", "100% (100% to 100%): yes")
    assert row[8].startswith("+0.0 points (")
    assert row[9:] == ("4", NOTHING)
    cue = next(row for row in cued.rows if row[:2] == ("inoculation 1", "rank 4"))
    assert (cue[2], cue[3].split()[0], cue[-1]) == ("after insecure.jsonl", "35.0%", "yes")
    assert CUED.endswith(cue[2])


def test_time_is_told_of_arms_that_were_timed(defended_results: dict[str, Any]):
    timed = copy.deepcopy(defended_results)
    entry = next(e for e in timed["defences"] if e["defence"]["label"] == "kl 1")
    for arm in entry["cost"]["arms"]:
        timed["timings"][arm] |= {"defence_seconds": 1.0, "arm_seconds": 4.0}
    (part,) = describe_defences(timed)
    assert [row[-1] for row in part.tables[0].rows if row[0] == "kl 1"] == ["25.0%", NOTHING]


def test_the_page_says_in_its_lead_what_defences_do_and_shows_their_section(
    page: str,
):
    lead = re.search(r'<p class="lead">(.*?)</p>', page, re.S)
    assert lead is not None
    assert lead[1].endswith("1 works at rank 4; 2 fail everywhere.")
    assert '<section id="defences">' in page
    assert 'data-verdict="hides"' in page
    assert 'href="#defences"' in page


def test_a_page_without_defences_does_not_speak_of_them(tmp_path: Path):
    run = write_run(tmp_path)
    results = summarize(run)
    assert results["defences"] == describe_defences(results) == []
    page = render_page(results, read_answer_sample(run))
    assert "#defences" not in page
    assert 'id="defences"' not in page
    assert "ithout a defence" not in page


def test_what_is_said_of_undefended_arms_is_the_same_with_defended_ones_beside_them(
    page: str, defended_run: StudyRun, defended_results: dict[str, Any]
):
    """Take the defended rows out, and compare every part of the results and of the page."""
    bare = copy.deepcopy(defended_results)
    bare["arms"] = [row for row in bare["arms"] if row["defence"] is None]
    bare["defences"] = []
    without = render_page(bare, read_answer_sample(defended_run))
    for name in ("rank", "matched", "confounds", "outcomes", "training", "code"):
        drawn, alone = (_take_figures(text, name) for text in (page, without))
        assert drawn == alone, name
        assert drawn or name in ("matched", "code"), name


def _take_figures(page: str, section: str) -> list[str]:
    found = re.search(rf'<section id="{section}">.*?</section>', page, re.S)
    assert found is not None
    return re.findall(r"<svg.*?</svg>", found[0], re.S)
