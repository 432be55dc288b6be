"""One place decides where jobs are done, and nobody of a run before still writes."""

from dataclasses import replace

import pytest

from rankshift.errors import UserError
from rankshift.executor.dispatch import dispatch
from rankshift.executor.ray import lease
from rankshift.executor.ray.lease import LEASE_NAME


def test_jobs_are_done_here_unless_ray_is_asked_for(make_jobs, monkeypatch):
    monkeypatch.setattr(lease, "GRACE_SECONDS", 0.0)
    resolved, jobs = make_jobs()
    (job,) = [job for job in jobs if job.group.method == "base"]
    directory, compute, told = resolved.run.directory, resolved.study.compute, []
    (directory / LEASE_NAME).write_text("dead 7\n")
    dispatch([job], compute, directory, lambda *report: told.append(report))
    assert told[-1] == ("answers", 1)
    assert not (directory / LEASE_NAME).exists()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs Ray, which is not installed"):
        dispatch([job], replace(compute, executor="ray"), directory, lambda *_: None)
