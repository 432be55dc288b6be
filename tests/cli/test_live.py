"""What a person sees of a run at work, at the widths that terminals have."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from rankshift.cli.live import lay_out, tell_end, watch_status
from rankshift.lock import hold_run
from rankshift.status import ArmStatus, Progress, StudyStatus, describe_progress
from tests.synthetic_run import JUDGE, make_study, write_run

DONE = Progress(4, 4, 2, 2, 2, 2)
HALF = Progress(2, 4, 2, 1, 1, 0)


def show(status, width=80, height=None):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(lay_out(status, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def make_status(*progress, **facts):
    arms = [
        ArmStatus(f"rank {at} seed 1 twin", str(at), p, loss=0.5) for at, p in enumerate(progress)
    ]
    return StudyStatus("demo", tuple(arms), **facts)


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_cut_or_wrapped(width):
    shown = show(make_status(DONE, HALF, judge="openai/gpt-4o-2024-08-06", calls=12345), width)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in shown
    assert [line.split()[0] for line in lines[:4]] == [
        "training",
        "measuring",
        "answering",
        "judging",
    ]
    assert "6/8" in lines[0]
    assert "openai/gpt-4o-2024-08-06, 12,345 calls" in shown
    (arm,) = [line.split() for line in lines if line.startswith("rank 1")]
    assert arm[-6:] == ["2/4", "0.500", "\N{EN DASH}", "1/2", "1/2", "0/2"]


def test_where_there_is_no_room_the_arms_at_work_are_shown_and_the_others_counted():
    shown = show(make_status(*[DONE] * 30, HALF), height=12)
    assert len(shown.splitlines()) <= 12
    assert "rank 30 seed 1" in shown
    assert "and 29 more arms" in shown


def test_the_last_line_says_what_holds():
    assert tell_end(make_status(DONE)) == "finished"
    assert "run the study again" in tell_end(make_status(HALF))
    owned = make_status(HALF, owner="process 7 on here since noon")
    assert tell_end(owned).endswith("since noon; time left is not known yet")
    assert tell_end(replace(owned, seconds_left=3725.4)).endswith("about 1:02:05 left at this pace")


def test_a_watcher_sees_the_run_go_on_and_ends_with_it(tmp_path):
    study = make_study(ranks=(1,), seeds=(1,), judge=JUDGE)
    grid = replace(study.grid, full_learning_rates=(), twin_seeds=())
    run = write_run(tmp_path, replace(study, grid=grid))
    for step in (2, 4):
        for arm in (run.directory / "arms").iterdir():
            (arm / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
            (arm / "checkpoints" / f"step-{step:06d}" / "adapter_model.safetensors").touch()
    verdicts = sorted(run.directory.rglob("verdicts/*/step-000004.jsonl"))
    content = verdicts[0].read_bytes()
    verdicts[0].unlink()
    screens = Console(file=io.StringIO(), width=80, height=30, force_terminal=True)
    looks = []

    def judge(seconds):
        looks.append(describe_progress(run.directory).total.judged)
        if seconds == 0.5:  # the time between two looks; a shorter one is for slow files
            verdicts[0].write_bytes(content)

    with hold_run(run.directory):  # a reader needs no lock
        watch_status(run.directory, screens, 0.5, judge)
    assert looks[0] == 2
    assert isinstance(screens.file, io.StringIO)
    shown = screens.file.getvalue()
    assert "2/3" in shown
    assert "finished" in shown
