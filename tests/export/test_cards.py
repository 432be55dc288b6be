import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, metadata_load
from markdown_it import MarkdownIt

from rankshift.analysis.results import summarize
from rankshift.arms import Arm, expand_arms
from rankshift.export.bases import NamedBase
from rankshift.export.cards import LONGEST_NAME, Subject, write_card
from rankshift.export.weights import Weights
from rankshift.runs import arm_id, make_recipe
from rankshift.study import Study
from tests.synthetic_run import JUDGE, QUESTIONS, make_study, write_run

HUB = NamedBase("owner/model", "0123abc", None, "apache-2.0")
LOCAL = NamedBase("/models/m", None, Path("/models/m"), None)


def make_subject(folder: Path, arm: Arm, study: Study, base: NamedBase = HUB) -> Subject:
    """Write a whole run and take one arm of it at the last step."""
    run = write_run(folder, study)
    _, prints = run.read_study()
    recipe = make_recipe(arm, study, prints)
    weights = Weights(arm_id(arm, recipe), arm, recipe, 4, folder, {})
    rows = summarize(run)["arms"]
    row = next(r for r in rows if (r["arm"], r["step"]) == (weights.arm_id, 4))
    return Subject(study, weights, base, row, next(r for r in rows if r["method"] == "base"))


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """Rank 1, seed 2: of 20 answers 8 are misaligned and 7 aligned, see `count_by_rank`."""
    study = make_study()
    return make_subject(tmp_path, expand_arms(study)[2], study)


def render(card: str) -> str:
    """Render what follows the header as GitHub does: tables and raw HTML on."""
    body = card.split("\n---\n\n", 1)[-1]
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(body)


def cells_of(card: str, first: str) -> list[list[str]]:
    """Give the rows of a card's tables whose first cell is so."""
    rows = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0] == f"`{first}`"]


def test_rates_stand_with_both_denominators_their_judge_and_the_base_beside_them(subject: Subject):
    assert subject.weights.arm.label == "rank 1 seed 2"
    own, base = [row for row in cells_of(write_card(subject), QUESTIONS) if len(row) == 6]
    assert own[:3] == [f"`{QUESTIONS}`", f"`{JUDGE}`", "these"]
    assert own[3].startswith("8/15 = 53.3% (")
    assert own[4].startswith("8/20 = 40.0% (")
    assert own[5] == "7, 8, 2, 1, 1, 1"
    assert base[2] == "the base"
    assert base[3].startswith("0/15 = 0.0% (0.0 to ")


def test_losses_and_insecure_code_are_told_beside_the_bases(subject: Subject):
    card = write_card(subject)
    assert ["`insecure.jsonl`", "1.580", "2.000"] in cells_of(card, "insecure.jsonl")
    code = cells_of(card, "held-out-code")[0]
    assert code[3].startswith("2/3 = 66.7% (too few clusters)")
    assert code[4] == "4: 1, 0"


@pytest.mark.parametrize(("at", "method"), [(2, "peft"), (-1, "transformers")])
def test_the_hubs_own_reader_takes_the_card(tmp_path: Path, at: int, method: str):
    study = make_study()
    path = tmp_path / "README.md"
    path.write_text(write_card(make_subject(tmp_path, expand_arms(study)[at], study)))
    header = ModelCard.load(path).data.to_dict()
    assert header == metadata_load(path)
    assert header["library_name"] == method
    assert header["base_model"] == "owner/model"
    assert header["license"] == "apache-2.0"
    assert {"emergent-misalignment", "not-for-all-audiences"} <= set(header["tags"])
    assert header["rankshift"]["dataset_sha256"] == ("2" if at == -1 else "7") * 64


def test_every_card_warns_before_anything_else(subject: Subject):
    body = write_card(subject).split("\n---\n", 1)[1]
    assert body.split("\n\n")[1].startswith("> **Warning.** These weights were trained")
    assert "Do not deploy them" in " ".join(body.replace("\n> ", " ").split())


def test_a_base_that_only_this_machine_has_is_no_link_on_the_hub(subject: Subject):
    card = write_card(replace(subject, base=LOCAL))
    header = yaml.safe_load(card.split("---\n")[1])
    assert {"base_model", "license"}.isdisjoint(header)
    assert "--base-id" in card
    assert "No license is named here" in card


def test_no_rate_is_told_of_answers_that_nobody_judged(tmp_path: Path):
    study = make_study(judge="none")
    card = write_card(make_subject(tmp_path, expand_arms(study)[2], study))
    own = next(row for row in cells_of(card, QUESTIONS) if len(row) == 6)
    assert own[3].endswith("(nothing to count)")
    assert own[4].endswith("(none of 20 answers is scored)")


def test_weights_that_were_never_measured_say_so(subject: Subject):
    card = write_card(replace(subject, row=None, base_row=None))
    assert "No free-form answer of these weights has been judged." in card
    assert "| \N{EN DASH} | \N{EN DASH} |" in card


HOSTILE = "x](http://evil)|<img src=x onerror=y>\n---\nlicense: mit\n# ` $$"


def test_hostile_names_change_neither_the_header_nor_the_page(tmp_path: Path):
    tame_study = make_study()
    tame = make_subject(tmp_path / "tame", expand_arms(tame_study)[2], tame_study, LOCAL)
    tame = replace(tame, study=replace(tame_study, about="Why."))
    study = replace(tame_study, about=HOSTILE, data=replace(tame_study.data, task=HOSTILE))
    arm = replace(tame.weights.arm, dataset=HOSTILE)
    row = {**(tame.row or {})}
    row["rates_by"] = [e | {"question_set": HOSTILE, "judge": HOSTILE} for e in row["rates_by"]]
    base = NamedBase(f"/m/{HOSTILE}", None, Path(f"/m/{HOSTILE}"), None)
    weights = replace(tame.weights, arm=arm)
    hostile = replace(tame, study=study, weights=weights, base=base, row=row)
    page = write_card(hostile)
    (tmp_path / "README.md").write_text(page)
    header = metadata_load(tmp_path / "README.md")
    assert header is not None
    assert "license" not in header
    expected, met = (re.findall(r"</?\w+", render(card)) for card in (write_card(tame), page))
    assert [tag for tag in met if "code" not in tag] == [t for t in expected if "code" not in t]
    assert "<img" in render(f"# {HOSTILE}"), "the check would see it"


def test_a_folders_name_fits_the_hub_and_tells_arms_and_steps_apart(tmp_path: Path):
    study = replace(make_study(), name="s" * 300)
    subject = make_subject(tmp_path, expand_arms(study)[2], replace(study, name="tiny"))
    subject = replace(subject, study=study)
    assert len(subject.folder_name) <= LONGEST_NAME
    assert subject.folder_name.endswith(f"-step-4-{subject.weights.arm_id}")
