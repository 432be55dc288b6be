from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.executor.preview import preview_study
from rankshift.study_file import read_study


def test_a_preview_counts_what_a_run_would_do_and_writes_nothing(write_study, tmp_path: Path):
    study = read_study(write_study())
    before = sorted(tmp_path.rglob("*"))
    preview = preview_study(study, tmp_path / "runs")
    assert sorted(tmp_path.rglob("*")) == before
    labels = [label for group in preview.groups for label in group.arms]
    assert len(labels) == len(set(labels)) == preview.arms
    assert preview.workers == study.compute.workers
    for group in preview.groups:
        assert bool(group.gib) == (group.method != "base") == (group.step_gflop > 0)
        assert group.total_gib <= preview.worker_gib
    trained = sum(group.step_gflop for group in preview.groups) * study.training.steps
    assert abs(preview.tflop - trained / 1000) < 1e-9
    full = next(group for group in preview.groups if group.method == "full")
    assert full.summary == full.arms[0]
    several = next(group for group in preview.groups if len(group.arms) > 1)
    assert several.summary.startswith(f"{len(several.arms)} of rank ")


def test_a_preview_tells_what_peak_the_verdict_would_see(write_study, tmp_path: Path):
    study = read_study(write_study())
    power = preview_study(study, tmp_path / "runs").power
    assert power is not None
    assert (power.ranks, power.seeds) == (study.grid.ranks, len(study.grid.seeds))
    # Three phrasings of two questions, each answered twice: phrasings share answers.
    assert (power.questions, power.answers) == (2, 3.0)
    assert power.spread.source == "guesses"


def test_a_pilot_without_results_is_refused(write_study, tmp_path: Path):
    study = read_study(write_study())
    with pytest.raises(UserError, match=r"results\.json: not the results of a study"):
        preview_study(study, tmp_path / "runs", pilot=tmp_path)
    (tmp_path / "results.json").write_text('{"peak": null}')
    with pytest.raises(UserError, match="has no primary curve of 2 seeds and 2 ranks"):
        preview_study(study, tmp_path / "runs", pilot=tmp_path)


def test_a_preview_counts_answers_as_if_every_arm_crossed_all_that_is_asked(
    write_study, tmp_path: Path
):
    plain = preview_study(read_study(write_study()), tmp_path / "runs")
    also = ("[training]", "[training]\ncrossings = [0.5, 0.9]")
    edit = ("held_out_fraction = 0.3", "held_out_fraction = 0.3\nfloor = 0.1\ntwin_floor = 0.1")
    watched = preview_study(read_study(write_study(edit=edit, also=also)), tmp_path / "runs")
    per_checkpoint = plain.answers // (1 + 2 * (plain.arms - 1))
    assert watched.answers == plain.answers + 2 * (plain.arms - 1) * per_checkpoint


def test_derived_arms_are_groups_of_their_own_that_train_nothing_and_answer_at_every_checkpoint(
    write_study, tmp_path: Path
):
    plain = preview_study(read_study(write_study()), tmp_path / "runs")
    text = "[derived]\ntruncations = [2]\nnorms = [1.0]\n[evaluation]"
    study = read_study(write_study(also=("[evaluation]", text)))
    preview = preview_study(study, tmp_path / "runs")
    # Ranks 1 and 4 at two seeds and a twin's: each is scaled, 4 is cut; full at as many, both.
    assert preview.arms - plain.arms == 3 * (2 + 1 + 2)
    assert (preview.tflop, preview.tokens) == (plain.tflop, plain.tokens)
    each = plain.answers // (1 + 2 * (plain.arms - 1))
    assert preview.answers - plain.answers == each * 2 * 15
    made = [group for group in preview.groups if group.method in ("adapter", "model")]
    assert {group.method for group in made} == {"adapter", "model"}
    assert not any(group.gib or group.step_gflop for group in made)
    assert "8 made of finished updates" in {group.summary for group in made}


def test_a_plan_says_that_vllm_is_asked_for_and_not_found(
    write_study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RANKSHIFT_VLLM", str(tmp_path / "nowhere"))
    assert preview_study(read_study(write_study()), tmp_path / "runs").lacks is None
    edit = ("[evaluation]", '[evaluation]\nengine = "vllm"')
    lacks = preview_study(read_study(write_study(edit=edit)), tmp_path / "runs").lacks
    assert lacks is not None
    assert "nowhere, which cannot be run" in lacks
