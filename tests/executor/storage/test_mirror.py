"""A run and its mirror: who is further wins, and what is sent is what a kill might have left."""

import json
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.atomic import write_atomically
from rankshift.executor.plan import Fit, Group
from rankshift.executor.run import run_study
from rankshift.executor.storage.mirror import (
    Sender,
    fetch_plan,
    keep_sent,
    list_sizes,
    send_run,
    settle_run,
)
from rankshift.executor.storage.objects import Storage
from rankshift.executor.watch import Watch
from rankshift.study_file import read_study

GROUP = Group("g", "lora", "task", ("a", "b"), 1, 1, Fit())


@pytest.fixture
def storage() -> Storage:
    return Storage(f"memory://{secrets.token_hex(8)}/runs/tiny")


def write(directory: Path, **files: str) -> Path:
    """Write files, each in a new place as every writer does; `__` in a name is for a folder."""
    for name, text in files.items():
        write_atomically(directory / name.replace("__", "/").replace("_jsonl", ".jsonl"), text)
    return directory


def read(directory: Path) -> dict[str, str]:
    return {name: (directory / name).read_text() for name in list_sizes(directory)}


def read_there(storage: Storage, tmp_path: Path) -> dict[str, str]:
    copy = tmp_path / secrets.token_hex(4)
    storage.fetch(storage.list_sizes(), copy)
    return read(copy)


class Moving(Storage):
    """Storage whose writer moves on while it is sent to."""

    moves: Path | None = None

    def put(self, path: Path, name: str) -> None:
        if self.moves:
            directory, self.moves = self.moves, None
            write(directory, arms__a__steps_jsonl="1\n2\n", groups__g__state="2")
            write(directory, arms__a__evaluations__e__answers__2="late")
        super().put(path, name)


def test_a_state_is_never_sent_ahead_of_the_records_it_needs(tmp_path: Path):
    storage = Moving(f"memory://{secrets.token_hex(8)}")
    directory = write(tmp_path / "run", arms__a__arm="a", arms__a__steps_jsonl="1\n")
    write(directory, groups__g__state="1")
    storage.moves = directory
    sender, folders = Sender(storage, directory), ["arms/a", "groups/g"]
    sender.send(folders)
    there = read_there(storage, tmp_path)
    assert there.pop("arms/a/steps.jsonl") in ("1\n", "1\n2\n")
    assert there == {"arms/a/arm": "a", "groups/g/state": "1"}
    sender.send(folders)
    assert read_there(storage, tmp_path) == read(directory)


def test_only_what_changed_is_sent_and_a_group_that_is_done_is_removed_there(tmp_path: Path):
    storage = Moving(f"memory://{secrets.token_hex(8)}")
    directory = write(tmp_path / "run", arms__a__steps_jsonl="1\n", groups__g__state="1")
    sender, folders = Sender(storage, directory), ["arms/a", "groups/g"]
    sender.send(folders)
    storage.remove(["arms/a/steps.jsonl"])
    (directory / "groups" / "g" / "state").unlink()
    (directory / "groups" / "g").rmdir()
    sender.send(folders)
    assert storage.list_sizes() == {}
    assert not list(directory.glob(".held*"))


def test_drafts_and_who_holds_the_run_stay_here(storage: Storage, tmp_path: Path):
    run = write(tmp_path / "run", lock="", lease="x 1", plan="p", arms__a__arm="a")
    (run / "lock.json").write_text("{}")
    (run / "arms" / "a" / ".arm.7.tmp").write_text("half")
    send_run(storage, run)
    assert storage.list_sizes() == {"plan": 1, "arms/a/arm": 1}


@pytest.mark.parametrize(
    ("ours", "theirs", "left"),
    [
        ("1\n2\n", "1\n", "here"),
        ("1\n", "1\n2\n", "there"),
        ("1\n", "1\n", "both"),
    ],
)
def test_of_a_group_the_side_that_is_further_replaces_the_other(
    storage: Storage, tmp_path: Path, ours: str, theirs: str, left: str
):
    here = write(tmp_path / "here", arms__b__steps_jsonl=ours, arms__a__held="h", other="o")
    write(here, groups__g__state="here")
    there = write(tmp_path / "there", arms__b__steps_jsonl=theirs, arms__a__kept="k")
    send_run(storage, write(there, groups__g__before="there"))
    settle_run(storage, [GROUP], here)
    own = {"arms/b/steps.jsonl": ours, "arms/a/held": "h", "groups/g/state": "here"}
    its = {"arms/b/steps.jsonl": theirs, "arms/a/kept": "k", "groups/g/before": "there"}
    wanted = {"here": own, "there": its, "both": own | its}[left]
    assert read(here) == wanted | {"other": "o"}
    assert read_there(storage, tmp_path) == wanted


def test_a_run_that_is_new_to_a_machine_takes_its_plan_from_the_mirror_but_nothing_it_has(
    storage: Storage, tmp_path: Path
):
    run = write(tmp_path / "run", plan="p", judging__calls="c", arms__a__arm="a", groups__g__s="s")
    send_run(storage, run)
    new = write(tmp_path / "new", plan="q")
    fetch_plan(storage, new)
    assert read(new) == {"plan": "q", "judging/calls": "c"}


def test_what_may_change_in_one_size_is_sent_again(storage: Storage, tmp_path: Path):
    run = write(tmp_path / "run", results="1", arms__a__evaluations__e__verdicts__j__1="1")
    write(run, arms__a__steps_jsonl="1")
    send_run(storage, run)
    write(run, results="2", arms__a__evaluations__e__verdicts__j__1="2")
    send_run(storage, run)
    assert read_there(storage, tmp_path) == read(run)


def test_what_changes_is_sent_while_a_job_is_done(storage: Storage, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("rankshift.executor.storage.mirror.SEND_SECONDS", 0.01)
    run = write(tmp_path / "run", arms__a__arm="a")
    with keep_sent(storage, ["arms/a"], run):
        while not storage.list_sizes():
            pass
        write(run, arms__a__last="z")
    assert read_there(storage, tmp_path) == read(run)


def test_a_finished_study_is_there_on_another_machine_and_nothing_is_done_again(
    write_study, storage: Storage, tmp_path: Path
):
    study = read_study(write_study(ranks="[2]"))
    compute = replace(study.compute, storage=storage.url.removesuffix("/tiny"))
    study, begun = replace(study, compute=compute), []
    watch = Watch(lambda kind, _: begun.append(kind), lambda *_: None, lambda _: None)
    first = run_study(study, tmp_path / "first", watch)
    assert begun == ["steps", "answers"]
    begun.clear()
    second = run_study(study, tmp_path / "second", watch)
    assert begun == []
    results = [json.loads(run.results_path.read_text()) for run in (first, second)]
    assert results[0]["arms"] == results[1]["arms"]
    assert list_sizes(second.directory).keys() == list_sizes(first.directory).keys()
