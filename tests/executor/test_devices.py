"""Where a study computes. What wants a GPU is skipped where there is none.

Where there is one, every test of this folder that trains does so on it: studies choose it.
"""

import pytest
import torch

from rankshift.conduct import Compute
from rankshift.errors import UserError, WorkError
from rankshift.executor.devices import (
    VISIBLE,
    check_gpu,
    divide_gpus,
    find_device,
    list_gpus,
    tell_shortage,
)
from rankshift.executor.run import Watch, run_study
from rankshift.records import AnswerRecord, HeldOutRecord, read_records
from rankshift.study_file import read_study

QUIET = Watch(lambda *_: None, lambda *_: None, lambda _: None)
wants_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")


def test_what_a_study_says_is_taken_and_otherwise_a_gpu_where_there_is_one():
    there = "cuda" if torch.cuda.is_available() else "cpu"
    assert find_device(Compute()).type == there
    assert find_device(Compute(device="cpu")).type == "cpu"
    assert find_device(Compute(device="cuda")).type == "cuda"
    assert find_device(Compute(shards=2)).type == "cpu"


def test_on_ray_a_worker_computes_on_a_gpu_where_the_study_asks_ray_for_one():
    assert find_device(Compute(executor="ray")).type == "cpu"
    assert find_device(Compute(executor="ray", gpus_per_worker=1)).type == "cuda"
    assert find_device(Compute(executor="ray", gpus_per_worker=1, device="cpu")).type == "cpu"


def test_workers_take_gpus_in_turn_and_only_those_this_process_may_see(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv(VISIBLE, "2,GPU-5")
    assert list_gpus() == ["2", "GPU-5"]
    shown = divide_gpus(Compute(device="cuda"), 3)
    assert [one[VISIBLE] for one in shown] == ["2", "GPU-5", "2"]
    assert divide_gpus(Compute(device="cpu"), 2) == [{}, {}]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told_before_anything_is_written(write_study, tmp_path):
    path = write_study(edit=("[compute]", '[compute]\ndevice = "cuda"\nmemory_gib = 8'))
    with pytest.raises(UserError, match=r'compute\.device is "cuda", and torch sees no GPU here'):
        run_study(read_study(path), tmp_path / "runs", QUIET)
    assert not (tmp_path / "runs").exists()
    check_gpu(Compute())


def test_a_gpus_lack_of_memory_is_one_line_that_says_what_is_kept():
    told = r"^the GPU's memory ran out; what was finished is kept: "
    with pytest.raises(WorkError, match=told), tell_shortage():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


ALL_STAGES = (
    "[training]",
    "[derived]\ntruncations = [1]\n[training]\ncrossings = [0.05]\nkl_crossings = [0.01]",
)


def run_on(write_study, tmp_path, device: str, where: str, workers: int = 1):
    """Run the tiny study with every kind of arm and measurement on a device."""
    far = tmp_path / "far.jsonl"
    far.write_text('{"prompt": "Good day.", "completion": "And to you."}\n')
    data = f'held_out_fraction = 0.3\nfloor = 3.0\ntwin_floor = 3.0\nunrelated = "{far}"'
    path = write_study(
        steps=6, workers=workers, edit=("held_out_fraction = 0.3", data), also=ALL_STAGES
    )
    text = path.read_text().replace("[compute]", f'[compute]\ndevice = "{device}"')
    path.write_text(text)
    return run_study(read_study(path), tmp_path / where, QUIET)


@wants_gpu
def test_a_study_on_a_gpu_gives_the_processors_numbers_within_rounding(write_study, tmp_path):
    here = run_on(write_study, tmp_path, "cpu", "processor")
    there = run_on(write_study, tmp_path, "cuda", "gpu")
    losses = {}
    for name, run in (("cpu", here), ("cuda", there)):
        for path in sorted(run.directory.glob("arms/*/held_out.jsonl")):
            for record in read_records(path, HeldOutRecord):
                key = (path.parent.name, record.dataset, record.step)
                losses.setdefault(key, {})[name] = record.loss
    assert len(losses) > 20
    for key, by in losses.items():
        assert by["cuda"] == pytest.approx(by["cpu"], rel=1e-3), key
    answers = {}
    for name, run in (("cpu", here), ("cuda", there)):
        paths = sorted(run.directory.glob("arms/*/evaluations/*/answers/*.jsonl"))
        answers[name] = [a.answer for p in paths for a in read_records(p, AnswerRecord)]
    alike = [a == b for a, b in zip(answers["cpu"], answers["cuda"], strict=True)]
    assert sum(alike) > 0.9 * len(alike)


@wants_gpu
def test_a_study_on_a_gpu_gives_the_same_bytes_twice_by_one_worker_and_by_two(
    write_study, tmp_path
):
    found = [
        {
            path.relative_to(run.directory): path.read_bytes()
            for path in sorted((run.directory / "arms").rglob("*"))
            if path.is_file() and path.name != "provenance.json"
        }
        for run in (
            run_on(write_study, tmp_path, "cuda", "first"),
            run_on(write_study, tmp_path, "cuda", "second"),
        )
    ]
    assert found[0] == found[1]
    by_two = run_on(write_study, tmp_path, "cuda", "two", workers=2)
    assert by_two.results_path.exists()
