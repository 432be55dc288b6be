"""What decides is on disk before training, and stays as it was written."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.opening import open_run
from rankshift.preregistration import describe_registered, list_files, register
from rankshift.runs import Fingerprints, StudyRun
from rankshift.sealed import hash_of
from rankshift.study import Study
from tests.synthetic_run import make_study, write_run

PRINTS = Fingerprints("b" * 64, "7" * 64, "2" * 64, {"embedded:held-out": "9" * 64})


def start(root: Path, study: Study) -> StudyRun:
    run = open_run(study, PRINTS, root)
    register(study, PRINTS, run)
    return run


def test_the_file_holds_what_decides_and_its_own_hash(tmp_path: Path):
    run = start(tmp_path, make_study())
    content = json.loads((run.directory / "preregistration.json").read_text(encoding="utf-8"))
    told = describe_registered(run)
    assert told is not None
    assert told["sha256"] == content.pop("sha256") == hash_of(content, 64)
    plan = content["plan"]
    assert plan["analysis"]["margin"] == told["margin"] == 0.1
    assert (plan["questions"], plan["judge"]) == ("embedded:held-out", "exact-oracle")
    assert plan["grid"]["ranks"] == [1, 4]
    assert plan["fingerprints"]["task"] == "7" * 64
    assert "smaller of the largest rise" in plan["contrast"]
    assert (told["file"], told["earlier"]) == ("preregistration.json", [])


def test_a_study_that_stays_the_same_writes_nothing_again(tmp_path: Path):
    study = make_study()
    run = start(tmp_path, study)
    (file,) = list_files(run)
    before = file.read_bytes()
    assert register(study, PRINTS, run) == file
    assert list_files(run) == [file]
    assert file.read_bytes() == before


def test_a_change_adds_a_file_and_keeps_the_earlier_ones(tmp_path: Path):
    run = start(tmp_path, make_study())
    first = list_files(run)[0].read_bytes()
    for number, ranks in ((2, (1, 4, 8)), (3, (1, 4))):
        run = start(tmp_path, make_study(ranks=ranks))
        told = describe_registered(run)
        assert told is not None
        assert told["file"] == f"preregistration-{number}.json"
    assert told["earlier"] == ["preregistration.json", "preregistration-2.json"]
    assert list_files(run)[0].read_bytes() == first


@pytest.mark.parametrize("change", ["margin", "outcome", "level", "widest_block", "reading"])
def test_each_rule_of_the_analysis_is_part_of_the_plan(tmp_path: Path, change: str):
    study = make_study()
    start(tmp_path, study)
    other = {"margin": 0.2, "outcome": "misaligned_of_all", "level": 0.01, "widest_block": 3}
    value = other.get(change, "skill 0.9")
    run = start(tmp_path, replace(study, analysis=replace(study.analysis, **{change: value})))
    told = describe_registered(run)
    assert told is not None
    assert (told[change], told["earlier"]) == (value, ["preregistration.json"])


def test_who_else_judges_and_how_fast_it_runs_are_no_part_of_it(tmp_path: Path):
    study = make_study()
    start(tmp_path, study)
    run = start(tmp_path, replace(study, compute=replace(study.compute, workers=7), about="Other."))
    assert len(list_files(run)) == 1


def test_it_says_whether_arms_had_been_trained_or_had_answered_before(tmp_path: Path):
    told = describe_registered(start(tmp_path / "fresh", make_study()))
    assert told is not None
    assert (told["arms_were_trained"], told["answers_existed"]) == (False, False)
    run = write_run(tmp_path / "late")
    arm = next(run.directory.glob("arms/*"))
    (arm / "steps.jsonl").touch()
    register(*run.read_study(), run)
    told = describe_registered(run)
    assert told is not None
    assert (told["arms_were_trained"], told["answers_existed"]) == (True, True)


def test_a_plan_of_another_study_applies_to_none(tmp_path: Path):
    run = write_run(tmp_path)
    assert describe_registered(run) is None
    study, prints = run.read_study()
    register(replace(study, analysis=replace(study.analysis, margin=0.3)), prints, run)
    assert describe_registered(run) is None


def test_a_plan_that_was_edited_is_refused(tmp_path: Path):
    study = make_study()
    run = start(tmp_path, study)
    (file,) = list_files(run)
    file.write_text(file.read_text().replace('"margin": 0.1', '"margin": 0.2'))
    with pytest.raises(UserError, match=r"preregistration\.json: was edited after it was written"):
        register(study, PRINTS, run)


def test_plans_are_in_the_order_of_their_numbers(tmp_path: Path):
    names = ["preregistration.json", *(f"preregistration-{at}.json" for at in range(2, 12))]
    for name in [*reversed(names), "preregistration-x.json"]:
        (tmp_path / name).touch()
    assert [file.name for file in list_files(StudyRun(tmp_path))] == names
