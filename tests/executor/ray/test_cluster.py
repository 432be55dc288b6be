"""Studies on real Ray: the same bits as on one machine, whatever is killed on the way."""

import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import pytest

from rankshift.errors import UserError, WorkError
from rankshift.executor.handing import MOST_LOSSES
from rankshift.executor.ray.cluster import LOG_NAME, run_jobs_on_ray, watch_head
from rankshift.executor.ray.lease import GRACE_SECONDS, LEASE_NAME
from rankshift.executor.run import run_study
from rankshift.executor.storage.objects import Storage
from rankshift.executor.watch import Watch
from rankshift.records import HeldOutRecord, StepRecord, read_records
from rankshift.runs import StudyRun
from rankshift.study_file import read_study

services = pytest.mark.services

QUIET = Watch(lambda *_: None, lambda *_: None, lambda _: None)


def list_files(run: StudyRun) -> dict[Path, bytes]:
    """Map every file of the arms but the notes on times to its bytes, and the plan."""
    return {
        path.relative_to(run.directory): path.read_bytes()
        for path in [run.plan_path, *sorted((run.directory / "arms").rglob("*"))]
        if path.is_file() and path.name != "provenance.json"
    }


def run_here(path: Path, root: Path, executor: str = "local", watch: Watch = QUIET) -> StudyRun:
    study = read_study(path)
    compute = replace(study.compute, executor=executor)  # pyright: ignore[reportArgumentType]
    return run_study(replace(study, compute=compute), root, watch)


def find_processes(word: str, parent: int) -> list[int]:
    """List the processes below another one whose command line holds a word."""
    parents: dict[int, int] = {}
    words: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                words[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])

    def is_below(pid: int) -> bool:
        while pid in parents and pid != parent:
            pid = parents[pid]
        return pid == parent

    return [pid for pid in parents if pid != parent and word in words[pid] and is_below(pid)]


def read_command(pid: int) -> str:
    """Give a process's title, for a worker the group it is at; nothing of one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().strip("\0 ")
    except OSError:
        return ""


@contextmanager
def start_head(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a cluster of one node that outlives its drivers; give its process and address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ray = Path(sys.executable).parent / "ray"
    words = [ray, "start", "--head", "--block", f"--port={port}"]
    words += ["--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    words += ["--object-store-memory=100000000", "--memory=8000000000", f"--temp-dir={folder}"]
    head = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_listening(port) and bool(find_processes("raylet", head.pid)), 120)
        sleep(5)
        yield head, f"127.0.0.1:{port}"
    finally:
        kill_all(head)


def kill_all(head: subprocess.Popen[bytes]) -> None:
    for pid in [*find_processes("", head.pid), head.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    head.wait()


def is_listening(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def wait_until(holds, seconds: float) -> None:
    until = monotonic() + seconds
    while not holds():
        assert monotonic() < until, "it did not come to pass"
        sleep(0.1)


@pytest.fixture
def bucket(monkeypatch) -> Iterator[str]:
    """Start a server that speaks S3 and make a bucket; what this process starts finds it."""
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, secrets.token_hex(8))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    boto3.client("s3").create_bucket(Bucket="rankshift")
    yield "s3://rankshift/runs"
    server.stop()


@pytest.fixture
def head(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> Iterator[subprocess.Popen]:
    pytest.importorskip("ray")
    # Ray's sockets lie in its folder, and their paths may have 107 bytes.
    folder = tmp_path_factory.mktemp("r")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with start_head(folder) as (process, address):
        monkeypatch.setenv("RAY_ADDRESS", address)
        yield process


@services
def test_a_study_has_the_same_bits_on_ray_and_here_and_others_by_rounding_in_other_groups(
    write_study, tmp_path: Path, monkeypatch
):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)  # a cluster of its own
    path = write_study(workers=2)
    here = run_here(path, tmp_path / "here")
    on_ray = run_here(path, tmp_path / "ray", "ray")
    assert list_files(on_ray) == list_files(here)
    assert not (on_ray.directory / LEASE_NAME).exists()
    other = run_here(write_study(workers=1), tmp_path / "other")
    assert other.plan_path.read_bytes() != here.plan_path.read_bytes()
    arms = [folder.name for folder in (on_ray.directory / "arms").iterdir()]
    assert len(arms) == 10
    for name in arms:
        for file, kind in (("held_out.jsonl", HeldOutRecord), ("steps.jsonl", StepRecord)):
            one, two = (run.directory / "arms" / name / file for run in (on_ray, other))
            losses = [r.loss for r in read_records(one, kind)] if one.exists() else []
            assert losses == pytest.approx(
                [r.loss for r in read_records(two, kind)] if two.exists() else [], rel=1e-5
            )
            assert losses or file == "steps.jsonl"  # the base's


@services
def test_ten_random_kills_of_two_workers_lose_nothing_and_double_nothing(
    write_study, tmp_path: Path, head: subprocess.Popen
):
    path = write_study(workers=2, steps=32)
    here = run_here(path, tmp_path / "here")
    chance, killed, lives = random.Random(6), [], Counter()
    totals, told = {}, {"steps": 0, "answers": 0}

    def advance(kind, amount: int) -> None:
        told[kind] += amount

    def kill() -> None:
        while len(killed) < 10:
            sleep(2 * chance.random())
            # One that was killed may be listed a little longer, and a group that loses worker after
            # worker ends the run, as it should: each may lose fewer.
            workers = {
                pid: group
                for pid in find_processes("ray::group", head.pid)
                if pid not in killed
                and (group := read_command(pid))
                and lives[group] < MOST_LOSSES - 1
            }
            if workers:
                victim = chance.choice(sorted(workers))
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)
                lives[workers[victim]] += 1

    threading.Thread(target=kill, daemon=True).start()
    watch = Watch(totals.__setitem__, advance, lambda _: None)
    on_ray = run_here(path, tmp_path / "ray", "ray", watch)
    assert len(killed) == 10
    assert list_files(on_ray) == list_files(here)
    assert told == {kind: totals[kind] for kind in told}


@services
def test_a_head_that_is_killed_is_one_line_and_the_same_command_resumes(
    write_study, tmp_path: Path, head: subprocess.Popen, monkeypatch
):
    path = write_study(workers=2, steps=12)
    here = run_here(path, tmp_path / "here")
    words = [sys.executable, "-m", "rankshift.cli", "run", str(path)]
    words += ["--executor", "ray", "--runs", str(tmp_path / "ray")]
    run = StudyRun(tmp_path / "ray" / "tiny")
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as first:
        wait_until(lambda: any(run.directory.glob("arms/*/steps.jsonl")), 300)
        kill_all(head)
        _, said = first.communicate(timeout=120)
    assert first.returncode == 1
    assert said.splitlines() == [
        "rankshift: Ray is gone: its head ended or cannot be reached, or its driver was killed, "
        f"see {run.directory / LOG_NAME}; what was finished is kept: run the same command again"
    ]
    monkeypatch.delenv("RAY_ADDRESS")
    second = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert (second.returncode, second.stderr) == (0, "")
    assert list_files(run) == list_files(here)


@services
def test_workers_that_share_no_folder_bring_the_same_bits_by_way_of_object_storage(
    write_study, tmp_path: Path, bucket: str, head: subprocess.Popen
):
    path = write_study(workers=2, steps=12)
    here = run_here(path, tmp_path / "here")
    words = [sys.executable, "-m", "rankshift.cli", "run", str(path)]
    words += ["--executor", "ray", "--storage", bucket, "--runs"]
    storage = Storage(f"{bucket}/tiny")
    with subprocess.Popen([*words, str(tmp_path / "first")], stdout=subprocess.DEVNULL) as first:
        wait_until(lambda: any(n.endswith("steps.jsonl") for n in storage.list_sizes("arms")), 300)
        os.kill(find_processes("ray::group", head.pid)[0], signal.SIGKILL)  # a worker is lost
        sleep(5)
        first.kill()  # and then who holds the run, with all that was on its disk
    second = subprocess.run(
        [*words, str(tmp_path / "second")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert (second.returncode, second.stderr) == (0, b"")
    run = StudyRun(tmp_path / "second" / "tiny")
    assert list_files(run) == list_files(here)
    assert run.results_path.stat().st_size == storage.list_sizes()["results.json"]


@services
def test_storage_without_a_server_or_keys_is_told_in_a_line(
    write_study, tmp_path: Path, bucket: str, monkeypatch
):
    path, told = write_study(), r"/tiny: cannot be read or written \(.*\); all that was finished"
    study = read_study(path)
    study = replace(study, compute=replace(study.compute, storage="s3://no-such-bucket/x"))
    with pytest.raises(WorkError, match=told):
        run_study(study, tmp_path / "runs", QUIET)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(WorkError, match=told):
        run_study(study, tmp_path / "runs", QUIET)


@services
def test_workers_end_when_the_process_that_holds_the_run_is_killed(
    write_study, tmp_path: Path, head: subprocess.Popen
):
    edit = ("max_answer_tokens = 8", "max_answer_tokens = 100000\ntemperature = 0.0")
    words = [sys.executable, "-m", "rankshift.cli", "run", str(write_study(workers=2, edit=edit))]
    words += ["--executor", "ray", "--runs", str(tmp_path / "ray")]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as holder:
        wait_until(lambda: any((tmp_path / "ray").glob("tiny/arms/*/steps.jsonl")), 300)
        assert find_processes("ray::group", head.pid)
        holder.kill()
    wait_until(lambda: not find_processes("ray::group", head.pid), 30)


@services
def test_errors_of_workers_come_back_as_they_are(make_jobs, tmp_path: Path, head, monkeypatch):
    resolved, jobs = make_jobs(workers=2)
    directory, compute = resolved.run.directory, resolved.study.compute
    nowhere = replace(jobs[0], base_directory=tmp_path / "nowhere")
    with pytest.raises(UserError, match="nowhere: cannot be loaded as a causal language model: "):
        run_jobs_on_ray([nowhere], compute, directory, lambda *_: None)
    broken = replace(jobs[0], run_directory=Path("/proc/nothing"))
    with pytest.raises(WorkError, match=r"a worker failed: .*; what was finished is kept"):
        run_jobs_on_ray([broken], compute, directory, lambda *_: None)
    greedy = replace(compute, gpus_per_worker=3)
    with pytest.raises(UserError, match=r"a group needs 1 CPUs, 3 GPUs and .* of one node"):
        run_jobs_on_ray(jobs[:1], greedy, directory, lambda *_: None)
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:1")
    with pytest.raises(UserError, match="is Ray Client's, which passes no streams"):
        run_jobs_on_ray(jobs[:1], compute, directory, lambda *_: None)


def test_without_ray_a_line_says_what_to_install(make_jobs, monkeypatch):
    resolved, jobs = make_jobs()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        run_jobs_on_ray(jobs, resolved.study.compute, resolved.run.directory, lambda *_: None)
    assert str(caught.value) == (
        'compute.executor = "ray" needs Ray, which is not installed: '
        "`pip install 'rankshift[ray]'` brings it"
    )


def test_a_head_that_cannot_be_reached_five_times_ends_who_waits_for_it(monkeypatch):
    monkeypatch.setattr("rankshift.executor.ray.cluster.LOOK_SECONDS", 0.01)
    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        watch_head(f"127.0.0.1:{server.getsockname()[1]}", gone.set)
        assert not gone.wait(0.5)
    assert gone.wait(GRACE_SECONDS)
