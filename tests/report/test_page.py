import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rankshift.analysis.results import summarize
from rankshift.arms import GivenFacts
from rankshift.grid import ALL_PROJECTIONS
from rankshift.report.answers import AnswerSample, read_answer_sample
from rankshift.report.headline import write_headline
from rankshift.report.page import flatten, render_page, write_page
from rankshift.runs import StudyRun
from rankshift.study import GivenModel
from tests.synthetic_run import make_study, write_run

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><script>document.title=1</script>"


class PageReader(HTMLParser):
    """Collects the tags of a page, its text outside scripts, and its scripts."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str):
        self._inside = ""

    def handle_data(self, data: str):
        if self._inside == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif self._inside != "style":
            self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    return write_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def results(run: StudyRun) -> dict[str, Any]:
    return summarize(run)


@pytest.fixture(scope="module")
def page(run: StudyRun, results: dict[str, Any]) -> str:
    write_page(run, results)
    return run.report_path.read_text(encoding="utf-8")


def test_the_headline_comes_first_and_is_whole(page: str, results: dict[str, Any]):
    headline = write_headline(results)
    text = PageReader(page).text
    assert headline.claim in text
    assert all(sentence in text for sentence in headline.context)
    assert text.index(headline.claim) < text.index("Misalignment over rank")


def test_the_numbers_of_the_page_are_those_of_the_records(page: str):
    text = " ".join(PageReader(page).text.split())
    # Rank 1: 7, 8 and 9 of 15 coherent answers; of all answers 7, 8 and 9 of 20.
    assert "24 / 45" in text
    assert "53.3%" in text
    assert "24 / 60" in text
    assert "40.0%" in text
    # Rank 1 seed 2 in the table of all arms.
    assert "53.3% (8 / 15)" in text


def test_every_section_that_the_contents_name_is_there(page: str):
    tags = PageReader(page).tags
    targets = [a["href"] for tag, a in tags if tag == "a" and (a["href"] or "").startswith("#")]
    ids = {f"#{attributes['id']}" for _, attributes in tags if "id" in attributes}
    assert len(targets) == 8
    assert set(targets) <= ids


def test_the_page_loads_nothing(page: str):
    for _, attributes in PageReader(page).tags:
        for name in ("src", "srcset", "data", "action", "poster"):
            assert name not in attributes
    icons = [a["href"] for tag, a in PageReader(page).tags if tag == "link"]
    assert icons == ["data:,"]
    assert "@import" not in page
    assert "url(" not in page


def test_only_the_script_that_the_policy_names_can_run(page: str):
    reader = PageReader(page)
    (policy,) = [
        a["content"]
        for _, a in reader.tags
        if a.get("http-equiv") == "Content-Security-Policy" and a["content"]
    ]
    (code,) = [text for attributes, text in reader.scripts if "type" not in attributes]
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-eval" not in policy
    assert not any(name.startswith("on") for _, a in reader.tags for name in a)


def test_hostile_answers_and_names_stay_text(tmp_path_factory: pytest.TempPathFactory):
    study = make_study((1,), (1,))
    run = write_run(tmp_path_factory.mktemp("hostile"), study, text=HOSTILE)
    results = summarize(run)
    results["study"]["name"] = results["study"]["about"] = HOSTILE
    for curve in (*results["curves"], *results["loss_curves"]):
        curve["dataset"] = HOSTILE
    reader = PageReader(render_page(results, read_answer_sample(run)))
    assert "img" not in [tag for tag, _ in reader.tags]
    assert len(reader.scripts) == 2
    (data,) = [json.loads(text) for a, text in reader.scripts if "type" in a]
    assert data[0]["answer"] == HOSTILE


def test_every_table_has_a_caption_and_every_chart_a_text_alternative(page: str):
    tags = PageReader(page).tags
    names = [tag for tag, _ in tags]
    assert names.count("table") == names.count("caption") > 4
    charts = [a for tag, a in tags if tag == "svg"]
    assert len(charts) > 8
    assert all(a["role"] == "img" and a["aria-label"] for a in charts)


def test_all_settings_and_gaps_are_on_the_page(page: str, results: dict[str, Any]):
    text = PageReader(page).text
    for key, value in flatten(results["study"]["settings"]):
        assert key in text
        assert value in text
    assert all(gap in text for gap in results["not_measured"])


def test_without_a_judge_the_page_shows_the_loss_and_no_rate(
    tmp_path_factory: pytest.TempPathFactory,
):
    run = write_run(tmp_path_factory.mktemp("bare"), make_study((1, 4), (1, 2, 3), judge="none"))
    page = render_page(summarize(run), read_answer_sample(run))
    text = PageReader(page).text
    assert "All 500 answers are unscored (no judge)" in text
    assert "There is no curve to draw" in text
    assert "Held-out loss, nats a token" in page


def test_a_run_that_has_only_begun_has_a_page(results: dict[str, Any]):
    kinds = ("arms", "curves", "loss_curves", "insecure_code_curves")
    text = PageReader(render_page(results | {kind: [] for kind in kinds}, AnswerSample())).text
    assert "No question has been answered" in text
    assert "There are no answers to show." in text


def test_the_same_results_give_the_same_bytes(run: StudyRun, results: dict[str, Any], page: str):
    assert render_page(results, read_answer_sample(run)) == page


def test_the_page_is_small_enough_to_send(page: str):
    assert len(page.encode()) < 3_000_000


def test_figures_and_bars_of_other_layers_have_titles_of_their_own(tmp_path: Path):
    study = make_study()
    grid = replace(study.grid, target_modules=(("q_proj",), ALL_PROJECTIONS), layers=((0, 1),))
    run = write_run(tmp_path, replace(study, grid=grid))
    results = summarize(run)
    text = PageReader(render_page(results, read_answer_sample(run))).text
    fixed = "alpha 64, alpha/sqrt(rank), learning rate 0.001"
    for subset in ("q_proj in layers 0-1", "layers 0-1"):
        assert f"{fixed}, {subset}" in text
        assert f"Trained on insecure.jsonl, {subset}" in text
        assert f"rank 4 ({subset}) seed 1 twin" in text
    assert "twin of rank" in write_headline(results).text  # of the same layers


def test_given_models_are_named_on_the_page_with_what_their_authors_say(tmp_path: Path):
    names = ("lab/r4", "lab/r16", "lab/whole")
    models = [GivenModel(name, "x", dataset="theirs.jsonl") for name in names]
    models.append(GivenModel("silent", "x"))
    adapters = [
        GivenFacts(f"lab/r{rank}", f"{rank:064}", "adapter", rank, 8.0, "alpha/rank", ("q_proj",))
        for rank in (4, 16)
    ]
    wholes = [GivenFacts(name, name.ljust(64, "0"), "model") for name in ("lab/whole", "silent")]
    study = replace(make_study(), models=tuple(models))
    run = write_run(tmp_path, study, given=(*adapters, *wholes))
    page = render_page(summarize(run), read_answer_sample(run))
    text = " ".join(PageReader(page).text.split())
    assert "alpha 8, alpha/rank, given adapters, q_proj" in text
    assert "trained elsewhere, said to be trained on theirs.jsonl" in text
    assert "trained elsewhere, on data not stated" in text
    assert "Trained elsewhere, said to be on theirs.jsonl" in page
    for name in ("lab/r4", "lab/whole", "silent"):
        assert name in text
    assert "models.lab/whole.path" in text
    assert "of a given model over questions" in text


def test_nested_settings_are_listed_by_path():
    nested = {"grid": {"ranks": [1, 2], "twin": None}, "lr": 1e-05, "empty": {}}
    dash = "\N{EN DASH}"
    assert list(flatten(nested)) == [
        *(("grid.ranks", "1, 2"), ("grid.twin", dash)),
        *(("lr", "1e-05"), ("empty", dash)),
    ]


def test_model_text_is_never_set_as_html(page: str):
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", page)
