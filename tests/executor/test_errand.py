"""What a worker elsewhere says of a job, without Ray: it is a generator."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.errors import UserError, WorkError
from rankshift.executor import lease
from rankshift.executor.errand import serve
from rankshift.executor.lease import hold_lease


def test_a_worker_that_does_not_see_the_run_says_so_in_a_line_and_does_nothing(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(lease, "SEARCH_SECONDS", 0.0)
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.01)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with hold_lease(tmp_path) as token:
        (error,) = serve(b"not a job", str(elsewhere), token, 1)
    assert isinstance(error, WorkError)
    assert str(error).startswith(f"{elsewhere} is not the same folder on the worker ")
    assert "every node must see it under one path; give --runs a folder that all share" in str(
        error
    )
    assert list(elsewhere.iterdir()) == []


def test_a_job_reports_what_a_local_worker_would_and_ends_with_none(make_jobs, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # serve sets these; they are put back
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    resolved, jobs = make_jobs(steps=3)
    job = next(job for job in jobs if job.group.method == "lora")
    directory = resolved.run.directory
    with hold_lease(directory) as token:
        reports = list(serve(pickle.dumps(job), str(directory), token, 1))
        arms = len(job.arms)
        steps, answers = [("steps", arms)] * 3, [("answers", arms)] * 2
        assert reports == [("steps", 0), *steps, *answers, None]
        lost = replace(job, base_directory=Path("nowhere"))
        *_, error = serve(pickle.dumps(lost), str(directory), token, 1)
        assert isinstance(error, UserError)
        broken = replace(job, run_directory=Path("/proc/nothing"))
        with pytest.raises(OSError, match="nothing"):
            list(serve(pickle.dumps(broken), str(directory), token, 1))
