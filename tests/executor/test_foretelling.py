import shutil
from pathlib import Path

import pytest

from rankshift.analysis.measurements import read_measurements
from rankshift.errors import UserError
from rankshift.executor.foretelling import collect_evidence, find_premises, find_rates
from rankshift.forecast_records import FILE, read_evidence
from rankshift.runs import StudyRun
from tests.defended_run import make_defended_study, write_defended_run


@pytest.fixture
def directory(foretold: Path, tmp_path: Path) -> Path:
    """Give a copy of the run."""
    return Path(shutil.copytree(foretold, tmp_path / foretold.name))


def test_evidence_has_each_of_the_tasks_finetunes_with_what_became_of_it(directory: Path):
    found = collect_evidence(directory, None, lambda _: None)
    assert read_evidence(directory / FILE).finetunes == found
    assert [(one.method, one.rank) for one in found] == [("lora", 1), ("lora", 16), ("full", None)]
    for one in found:
        assert one.data == "organism:mixed-50"
        assert 0 <= one.rate <= 1
        assert 0 < one.coherent <= 24
        assert {r.predictor for r in one.before} >= {"projection", "share"}
        assert len(one.early) == 3
        assert one.u == pytest.approx(0.064 if one.rank else 5e-4)
    assert len({one.before for one in found}) == 1


def test_a_base_that_has_changed_since_the_run_is_refused(directory: Path):
    study, _ = StudyRun(directory).read_study()
    with pytest.raises(UserError, match="has changed since the run; restore its files"):
        find_premises(study, "0" * 64, None)


def test_a_run_without_a_rate_at_its_end_is_refused(directory: Path):
    for folder in directory.glob("arms/*/evaluations"):
        shutil.rmtree(folder)
    with pytest.raises(UserError, match="no arm has a rate at its end yet; run the study to its"):
        collect_evidence(directory, None, lambda _: None)
    assert not (directory / FILE).exists()


def test_a_defended_arm_is_no_evidence(tmp_path: Path):
    run = write_defended_run(tmp_path, make_defended_study((4,)))
    study, _ = run.read_study()
    measured = {arm.id: arm for arm in read_measurements(run)}
    rates = find_rates(study, measured)
    labels = [measured[name].arm.label for name in rates]
    assert labels == [f"{what} seed {seed}" for what in ("rank 4", "full") for seed in (1, 2, 3)]
    # Of 200 answers 80 and two more with each seed, and 40 likewise.
    events = [round(rate * coherent) for rate, coherent in rates.values()]
    assert events == [82, 84, 86, 42, 44, 46]
