"""What a worker elsewhere says of a job, without Ray: it is a generator."""

import pickle
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.errors import UserError, WorkError
from rankshift.executor.ray import lease
from rankshift.executor.ray.errand import serve, serve_far
from rankshift.executor.ray.lease import hold_lease
from rankshift.executor.storage.mirror import fetch_folders, list_folders, send_run
from rankshift.executor.storage.objects import Storage
from rankshift.executor.todo import find_todo
from rankshift.executor.worker import Advance, work


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


def stop_after(reports: int) -> Advance:
    """Give an `advance` that breaks off the job."""
    left = iter(range(reports))

    def advance(*_: object) -> None:
        if next(left, None) is None:
            raise InterruptedError

    return advance


def test_a_worker_without_the_folder_goes_on_from_the_storage_and_brings_everything_there(
    make_jobs, monkeypatch
):
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    url = f"memory://{secrets.token_hex(8)}/tiny"
    resolved, jobs = make_jobs(steps=4)
    job = next(job for job in jobs if job.group.method == "lora")
    arms = len(job.arms)
    with pytest.raises(InterruptedError):
        work(job, stop_after(3))
    send_run(Storage(url), resolved.run.directory)
    shutil.rmtree(resolved.run.directory / "arms")
    second = list(serve_far(pickle.dumps(job), url, 1))
    assert second[0] == ("steps", 2 * arms)  # the checkpoint's
    assert second[-3:] == [("answers", arms)] * 2 + [None]
    assert not Storage(url).list_sizes(f"groups/{job.group.id}")
    assert not list(resolved.run.directory.glob("arms/*"))
    fetch_folders(Storage(url), list_folders(job), resolved.run.directory)
    assert find_todo(job.group, resolved) is None


def test_a_storage_that_a_worker_cannot_use_is_told_by_it(make_jobs):
    job = make_jobs()[1][0]
    (error,) = serve_far(pickle.dumps(job), "tape://robot", 1)
    assert isinstance(error, UserError)
