import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.errors import UserError, WorkError
from rankshift.executor.job import Job
from rankshift.executor.processes import do_jobs, run_jobs

ENDLESS = 100_000
"""Steps or tokens that nobody waits for."""

LAUNCH = """
import sys
from pathlib import Path
from rankshift.executor.run import Watch, run_study
from rankshift.study_file import read_study

if __name__ == "__main__":
    tell = lambda kind, amount: amount and print("busy", flush=True)
    run_study(read_study(Path(sys.argv[1])), Path(sys.argv[2]), Watch(print, tell, print))
"""


@pytest.fixture
def make_lora_jobs(make_jobs) -> Callable[[int], list[Job]]:
    """Give a function that makes the LoRA jobs of the tiny study, of so many steps."""
    return lambda steps: [job for job in make_jobs(steps=steps)[1] if job.group.method == "lora"]


def test_jobs_come_over_the_line_and_reports_go_back(make_lora_jobs: Callable[[int], list[Job]]):
    ours, theirs = multiprocessing.Pipe()
    server = threading.Thread(target=do_jobs, args=(theirs,), daemon=True)
    server.start()
    first, second = make_lora_jobs(3)[:2]
    ours.send(first)
    steps = [("steps", len(first.arms))] * 3
    answers = [("answers", len(first.arms))] * 2
    assert [ours.recv() for _ in range(7)] == [("steps", 0), *steps, *answers, None]
    ours.send(replace(second, base_directory=Path("nowhere")))
    error = ours.recv()
    assert isinstance(error, UserError)
    assert str(error).startswith("nowhere: cannot be loaded as a causal language model: ")
    ours.send(replace(second, train=False, answers=0))
    assert ours.recv() is None
    ours.close()
    server.join(timeout=10)
    assert not server.is_alive()


def test_a_worker_that_is_killed_is_said_so_and_the_others_end_with_it(
    make_lora_jobs: Callable[[int], list[Job]],
):
    workers = []

    def kill_one(kind: str, amount: int) -> None:
        if not workers and amount:
            workers.extend(multiprocessing.active_children())
            workers[0].kill()

    before = dict(os.environ)
    with pytest.raises(WorkError) as caught:
        run_jobs(make_lora_jobs(ENDLESS), 2, kill_one)
    assert str(caught.value) == (
        "a worker process was killed (out of memory?); what was finished is kept: run the same "
        "command again, with fewer workers or a smaller arms_per_group if it dies again"
    )
    assert [worker.exitcode for worker in workers] == [-signal.SIGKILL] * 2
    assert dict(os.environ) == before


def test_workers_end_with_the_process_that_started_them(
    write_study: Callable[..., Path], tmp_path: Path
):
    script = tmp_path / "launch.py"
    script.write_text(LAUNCH)
    # The base answers at once and without end: it reports nothing that could tell it of the death.
    endless = ("max_answer_tokens = 8", f"max_answer_tokens = {ENDLESS}\ntemperature = 0.0")
    study = write_study(workers=2, edit=endless)
    parent = subprocess.Popen(
        [sys.executable, str(script), str(study), str(tmp_path / "runs")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    try:
        while parent.stdout.readline() != "busy\n":  # the other worker trains
            assert parent.poll() is None
        parent.kill()
        # Workers hold the same pipe: it ends when the last of them has.
        parent.communicate(timeout=30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
