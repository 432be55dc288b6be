"""What a result was made with, and no secret."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version

import pytest

from rankshift.provenance import describe_checkout, find_version, gather_provenance


def test_no_key_of_the_environment_reaches_a_field(monkeypatch):
    secret = "sk-fake-0123456789"
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "OMP_API_KEY", "GIT_TOKEN", "PYTHONSECRET"):
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert secret in os.environ.values()
    assert secret not in json.dumps(gather_provenance())


def test_versions_are_those_installed_and_absent_ones_are_null():
    versions = gather_provenance()["versions"]
    assert isinstance(versions, dict)
    assert versions["numpy"] == version("numpy")
    assert find_version("no-such-distribution") is None


def test_hardware_and_threads_are_those_of_this_process(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    told = gather_provenance()
    assert isinstance(told["threads"], dict)
    assert isinstance(told["hardware"], dict)
    assert (told["threads"]["OMP_NUM_THREADS"], told["threads"]["MKL_NUM_THREADS"]) == ("3", None)
    assert 1 <= told["hardware"]["usable_cores"] <= told["hardware"]["logical_cores"]
    with open("/proc/meminfo") as file:
        kibibytes = int(file.readline().split()[1])
    assert told["hardware"]["memory_bytes"] == pytest.approx(kibibytes * 1024, rel=0.01)


def test_the_start_is_utc():
    started = datetime.fromisoformat(str(gather_provenance()["started"]))
    assert started.utcoffset() is not None
    assert abs((datetime.now(UTC) - started).total_seconds()) < 60


def test_gpus_are_asked_for_only_when_torch_is_loaded():
    code = (
        "import sys; from rankshift.provenance import gather_provenance; "
        "print(gather_provenance()['hardware']['gpus'], 'torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "None False"


def git(folder, *words):
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_a_checkout_tells_its_commit_and_whether_it_is_changed(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    assert describe_checkout(checkout / "a.py") == {"commit": commit, "dirty": False}
    (checkout / "a.py").write_text("2")
    assert describe_checkout(checkout / "a.py") == {"commit": commit, "dirty": True}


def test_a_package_installed_inside_a_strangers_repository_has_no_commit(checkout):
    (checkout / "installed.py").touch()
    assert describe_checkout(checkout / "installed.py") is None


def test_git_inside_a_hook_does_not_point_elsewhere(checkout, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    commit = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert describe_checkout(checkout / "a.py") == {"commit": commit, "dirty": False}


def test_without_git_or_a_repository_there_is_no_commit(checkout, tmp_path_factory, monkeypatch):
    assert describe_checkout(tmp_path_factory.mktemp("plain") / "a.py") is None
    monkeypatch.setenv("PATH", "")
    assert describe_checkout(checkout / "a.py") is None
