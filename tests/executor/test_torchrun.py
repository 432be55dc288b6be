"""A group whose base two processes hold, against the same group on one."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.conduct import Compute
from rankshift.errors import UserError, WorkError
from rankshift.executor.dispatch import dispatch
from rankshift.executor.job import Job
from rankshift.executor.processes import run_jobs
from rankshift.executor.resolving import resolve_study
from rankshift.executor.run import make_job, make_plan
from rankshift.executor.todo import find_todo
from rankshift.executor.torchrun import check_shards
from rankshift.executor.worker import work
from rankshift.model.tensor_files import read_tensors
from rankshift.opening import open_run
from rankshift.runs import StudyRun
from rankshift.study_file import read_study

FULL = "full_learning_rates = [1e-3]\n"
SHARDED = ("[compute]", "[compute]\nshards = 2")
WATCHED = """steps = 40
kl_crossings = [0.01]
watch_every = 8
checkpoints = [2, 40]
"""
"""Looks, a crossing between checkpoints, and time enough to kill a process after the first."""


@pytest.fixture
def job(write_study: Callable[..., Path], tmp_path: Path) -> Job:
    """Make the job of the task's adapters, to be done by two processes."""
    path = write_study(steps=40, edit=(FULL, ""), also=SHARDED)
    text, plain = path.read_text(), "steps = 40\ncheckpoints = [2, 40]\n"
    assert plain in text
    rows = path.parent / "twin.jsonl"
    text = text.replace(plain, WATCHED).replace("[data]", f'[data]\nunrelated = "{rows}"')
    path.write_text(text)
    study = read_study(path)
    resolved = resolve_study(study, tmp_path / "runs")
    open_run(study, resolved.parts.fingerprints, tmp_path / "runs")
    groups = make_plan(resolved)
    assert {group.fit.shards for group in groups} == {2}
    group = next(g for g in groups if (g.method, g.role) == ("lora", "task"))
    todo = find_todo(group, resolved)
    assert todo is not None
    return make_job(todo, resolved)


LOSSES = ("steps.jsonl", "held_out.jsonl", "looks.jsonl", "divergence.jsonl", "crossings.jsonl")


def put(job: Job, folder: Path, shards: int = 2) -> Job:
    """Give the same job another run, and other shards."""
    folder.mkdir(exist_ok=True)
    group = replace(job.group, fit=replace(job.group.fit, shards=shards))
    return replace(job, run_directory=folder, group=group)


def read_arms(folder: Path) -> dict[str, bytes]:
    """Read every file of every arm but its provenance, which has times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.glob("arms/**/*"))
        if path.is_file() and path.name != "provenance.json"
    }


def kill_a_shard() -> None:
    """Kill the last process below the worker that was started."""
    (worker,) = multiprocessing.active_children()
    below = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    shards = [p for p in below if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]
    assert len(shards) == 2
    os.kill(int(shards[-1]), signal.SIGKILL)


def test_two_processes_leave_what_one_does_and_a_killed_run_the_same_bits(job, tmp_path: Path):
    alone, whole, cut = (put(job, tmp_path / name, n) for name, n in (("1", 1), ("2", 2), ("c", 2)))
    work(alone, lambda *_: None)
    done = {"steps": 0, "answers": 0}
    run_jobs([whole], 1, lambda kind, amount: done.update({kind: done[kind] + amount}))
    assert done == {"steps": 40 * len(job.arms), "answers": job.answers}
    compare(job, tmp_path / "1", tmp_path / "2")

    def kill(kind: str, amount: int) -> None:
        done["killed"] = done.get("killed", 0) + amount
        if done["killed"] == 4 * len(job.arms):
            kill_a_shard()

    with pytest.raises(WorkError, match="held a part of the base was killed"):
        run_jobs([cut], 1, kill)
    assert StudyRun(cut.run_directory).group(job.group.id).exists()
    assert read_arms(cut.run_directory).keys() < read_arms(whole.run_directory).keys()
    run_jobs([cut], 1, lambda *_: None)
    assert read_arms(cut.run_directory) == read_arms(whole.run_directory)
    assert not multiprocessing.active_children()


def compare(job: Job, one: Path, two: Path) -> None:
    """Hold what two processes wrote against what one did: the same files, rows and fields."""
    a, b = read_arms(one), read_arms(two)
    assert a.keys() == b.keys()
    for name in (name for name in a if name.endswith(".jsonl")):
        rows, others = ([json.loads(row) for row in x[name].splitlines()] for x in (a, b))
        for row, other in zip(rows, others, strict=True):
            assert row.keys() == other.keys()
            # What is measured of rounding itself, the movement of A say, is held more loosely.
            loose = 1e-5 if name.rpartition("/")[2] in LOSSES else 1e-4
            for key, value in row.items():
                is_rounded = isinstance(value, float)
                assert other[key] == (pytest.approx(value, rel=loose) if is_rounded else value)
    for name in (name for name in a if name.endswith("adapter_model.safetensors")):
        weights, others = read_tensors(one / name), read_tensors(two / name)
        for key, weight in weights.items():
            distance = (others[key] - weight).norm() / weight.norm()
            assert distance <= 1e-5, (name, key, distance)
    run = StudyRun(two)
    facts = json.loads(run.arm(job.group.arms[0]).provenance_path.read_text())
    assert facts["group"]["fit"]["shards"] == 2
    assert set(facts["engine"]["layers"].values()) == {"loop"}


def test_what_a_shard_cannot_do_is_told_in_its_own_line(job: Job, tmp_path: Path):
    lost = replace(put(job, tmp_path / "lost"), base_directory=tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"nowhere/config.json: not a JSON file that can be read"):
        run_jobs([lost], 1, lambda *_: None)


DEFENDED = ("[training]", '[[grid.defences]]\nkind = "spectral"\nstrengths = [1.0]\n\n[training]')


@pytest.mark.parametrize(
    ("edit", "also", "message"),
    [
        (("workers = 1", "workers = 1"), SHARDED, "a full finetune is not trained in shards"),
        ((FULL, ""), DEFENDED, "a defended arm is not trained in shards"),
        ((FULL, ""), ("[base]", '[base]\nquantization = "nf4"'), "a base in 4 bits is not sharded"),
        ((FULL, ""), ("[compute]", '[compute]\nexecutor = "ray"'), "processes of one machine"),
        ((FULL, ""), ("[compute]", '[compute]\ndevice = "cuda"'), "only processors hold a base"),
    ],
)
def test_what_is_not_done_in_shards_is_refused_with_what_to_change(
    write_study: Callable[..., Path], edit: tuple[str, str], also: tuple[str, str], message: str
):
    study = read_study(write_study(edit=edit, also=also))
    sharded = replace(study, compute=replace(study.compute, shards=2))
    with pytest.raises(UserError, match=message) as caught:
        check_shards(sharded)
    assert "set compute.shards = 1" in str(caught.value).replace("or compute", "or set compute")
    check_shards(replace(study, compute=replace(study.compute, shards=1)))


def test_a_group_that_was_planned_in_shards_is_not_handed_to_ray(job: Job, tmp_path: Path):
    with pytest.raises(UserError, match=r"planned in shards.*--executor local"):
        dispatch([job], Compute(executor="ray"), tmp_path, lambda *_: None)
