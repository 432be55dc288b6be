import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rankshift.analysis.results import summarize
from rankshift.arms import GivenFacts
from rankshift.grid import ALL_PROJECTIONS
from rankshift.report.answers import AnswerSample
from rankshift.report.headline import write_headline
from rankshift.report.page import ANSWER_FILE, render_page, sum_up, write_page
from rankshift.report.settings import flatten
from rankshift.report.traits import draw_traits
from rankshift.runs import StudyRun
from rankshift.study import GivenModel
from tests.rich_results import SENTENCE, enrich
from tests.synthetic_run import make_study, read_answer_sample, write_run

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
    assert len(targets) == 12
    assert set(targets) <= ids


def test_the_page_loads_nothing(page: str):
    for _, attributes in PageReader(page).tags:
        for name in ("src", "srcset", "data", "action", "poster", "ping"):
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
    assert data["words"]["answer"][0] == HOSTILE


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


def test_model_text_is_never_set_as_html(page: str):
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", page)


@pytest.fixture(scope="module")
def rich(results: dict[str, Any]) -> dict[str, Any]:
    return enrich(results)


@pytest.fixture(scope="module")
def rich_page(rich: dict[str, Any]) -> str:
    return render_page(rich, AnswerSample())


def test_sections_come_in_the_order_in_which_a_reader_asks(rich_page: str):
    tags = PageReader(rich_page).tags
    ids = [a["id"] for tag, a in tags if tag == "section"]
    assert ids == [
        *("rank", "matched", "confounds", "outcomes", "code", "robustness", "training"),
        *("answers", "provenance", "gaps", "method"),
    ]


def test_a_full_analysis_is_all_on_the_page(rich: dict[str, Any], rich_page: str):
    text = " ".join(PageReader(rich_page).text.split())
    assert SENTENCE in text
    assert "read at 90% of the skill, 3 seeds, level 0.05" in text
    assert "Ranks that cannot be told apart from the highest: 1, 2, 4." in text
    assert "95% interval: new questions too" in text
    assert "Arms without a value at some match" in text
    assert rich["robustness"]["sentence"] in text
    assert "coherence above 70" in text
    assert rich["preregistration"]["sha256"] in text
    for absent in ("has not been tested", "have not been compared", "no pre-registration"):
        assert absent not in text


def test_older_results_say_in_one_line_what_they_lack(results: dict[str, Any]):
    later = ("peaks", "robustness", "preregistration", "excess_curves", "derived_curves")
    older = {key: value for key, value in results.items() if key not in later}
    older |= {"peak": None, "matched_curves": []}
    text = " ".join(PageReader(render_page(older, AnswerSample())).text.split())
    assert "Whether there is a peak has not been tested in these results." in text
    assert "Arms have not been compared at equal skill in these results." in text
    assert "There is no pre-registration" in text
    assert "The verdict has not been recomputed" in text


def test_no_value_and_no_analysis_is_the_same_page(results: dict[str, Any]):
    results = dict(results)
    keys = ("peaks", "robustness", "preregistration", "excess_curves", "training_curves")
    results |= {kind: [] for kind in ("arms", "curves", "loss_curves", "insecure_code_curves")}
    bare = {key: value for key, value in results.items() if key not in keys}
    empty = bare | {"peaks": [], "robustness": None, "preregistration": None}
    empty |= {"excess_curves": [], "training_curves": []}
    assert render_page(bare, AnswerSample()) == render_page(empty, AnswerSample())


def test_every_file_that_the_page_links_to_is_there(run: StudyRun, page: str):
    hrefs = [a["href"] or "" for tag, a in PageReader(page).tags if tag == "a"]
    files = [href for href in hrefs if href.startswith("report/")]
    assert f"report/{ANSWER_FILE}" in files
    assert len(files) == len(set(files)) > 20
    for file in files:
        assert (run.directory / file).stat().st_size > 100
    assert all(h.startswith(("#", "report/", "https://arxiv.org/")) for h in hrefs)


def test_what_is_invisible_in_a_name_is_written_out(results: dict[str, Any]):
    study = results["study"] | {"about": "about \u202ethis"}
    page = render_page(results | {"study": study}, AnswerSample())
    assert "about [U+202E]this" in page
    assert "\u202e" not in page


def test_headings_are_in_order_and_there_is_one_of_the_first_level(rich_page: str):
    tags = [tag for tag, _ in PageReader(rich_page).tags]
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_cut_and_scaled_updates_have_figures_of_their_own_and_are_in_none_of_trained_arms(
    results: dict[str, Any],
):
    (curve,) = (c for c in results["curves"][:1])
    cut = curve | {"truncated_to": 1, "norm_to": None}
    made = [
        row | {"arm": f"cut-{at}", "label": f"{row['label']} cut", "source_arm": row["arm"]}
        for at, row in enumerate(results["arms"])
        if row["method"] == "lora"
    ]
    plain = PageReader(render_page(results, AnswerSample()))
    both = results | {"derived_curves": [cut], "arms": [*results["arms"], *made]}
    page = PageReader(render_page(both, AnswerSample()))
    assert "Updates cut and scaled afterwards" in page.text
    assert "Updates cut and scaled afterwards" not in plain.text
    assert "cut to rank 1" in page.text
    with_made, trained = draw_traits(both), draw_traits(results)
    assert with_made is not None
    assert trained is not None
    assert with_made.rows == trained.rows


def test_a_run_is_summed_up_from_one_reading_as_it_is_from_two(
    run: StudyRun, results: dict[str, Any], page: str, tmp_path_factory: pytest.TempPathFactory
):
    again = write_run(tmp_path_factory.mktemp("again"))
    sum_up(again)
    assert again.report_path.read_text(encoding="utf-8") == page
    written = json.loads(again.results_path.read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(results))
