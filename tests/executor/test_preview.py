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
