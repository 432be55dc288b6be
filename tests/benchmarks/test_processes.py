"""What a benchmark's processes are told before they import anything."""

import os

import pytest

from benchmarks.processes import thread_limit


@pytest.mark.parametrize(("policy", "expected"), [("passive", "passive"), ("default", None)])
def test_a_child_finds_its_threads_and_how_they_wait(policy, expected, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    with thread_limit(2, policy):
        assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("2", "2")
        assert os.environ.get("OMP_WAIT_POLICY") == expected


def test_the_environment_is_afterwards_what_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with thread_limit(1, "passive"):
        pass
    assert dict(os.environ) == before
