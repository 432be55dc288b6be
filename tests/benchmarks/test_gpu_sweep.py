"""The measurement of a GPU: everything but the GPU is tested, on a tiny base."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_peer import PeerRun, tokens_per_second
from benchmarks.gpu_sides import (
    Bench,
    Setting,
    Speed,
    build_model,
    checkpointing,
    draw_step,
    make_window,
    measure_base,
    measure_lock_step,
    with_adapters,
)
from benchmarks.gpu_sweep import (
    BARS,
    GIB,
    SHAPES,
    Findings,
    choose_speed,
    compare,
    list_ways,
    measure_part,
    sum_up,
)
from rankshift.grid import Subset
from rankshift.model.targets import find_targets
from rankshift.train.trainee import prepare_base

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
TINY = SHAPES["tiny"]
ABSENT = (
    *("trl", "datasets", "rich", "typer", "jaxtyping", "beartype", "altair", "scipy", "pandas"),
    *("vl_convert", "hypothesis", "pytest"),
)
"""What a bare GPU image lacks."""


def run_tiny(folder: Path, *options: str, absent: tuple[str, ...] = ()) -> tuple[list[str], dict]:
    """Run the benchmark in a process of its own; give what it printed and what it wrote."""
    arguments = ["gpu_sweep", "--quick", "--results", str(folder), *options]
    code = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({absent!r})); "
        f"sys.argv = {arguments!r}; runpy.run_module('benchmarks.gpu_sweep', run_name='__main__')"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": "src", "CUDA_VISIBLE_DEVICES": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.splitlines(), json.loads((folder / "gpu_sweep.json").read_text())


def speed(tokens: int, seconds: float, gib: float | None = None) -> Speed:
    peak = None if gib is None else int(gib * GIB)
    return Speed("some way", tokens, (9.0, seconds, seconds), peak)


def test_every_part_runs_with_nothing_that_a_bare_gpu_image_lacks(tmp_path):
    printed, results = run_tiny(tmp_path, absent=ABSENT)
    assert printed[-1:] == results["last_lines"]
    assert "PEFT, plain loop" in printed[-1]
    figures = results["figures"]
    assert figures["device"] == "no GPU, means nothing"
    assert len(figures["ours"]) == 2  # with blocks recomputed, and without
    assert [run["rank"] for run in figures["peer"]["runs"]] == list(TINY.ranks)
    assert [alone["tokens"] for alone in figures["single"]] == [TINY.arm_tokens] * 3
    assert figures["base"]["tokens"] == 3 * TINY.arm_tokens
    assert list(figures["forms"]) == [str(tokens) for tokens in TINY.form_tokens]


@pytest.mark.bench
def test_the_peer_can_be_trl_itself(tmp_path):
    printed, results = run_tiny(tmp_path, "--parts=ours,peer", "--peer=trl")
    assert "TRL + PEFT" in printed[-1]
    assert all(run["seconds"] for run in results["figures"]["peer"]["runs"])


def test_a_part_that_a_kernel_refuses_says_why_and_leaves_the_others_their_figures():
    def refuse() -> object:
        raise RuntimeError("strides should be multiple of 16 bytes\nand more")

    assert measure_part("ours", refuse) == {"failed": "strides should be multiple of 16 bytes"}
    assert measure_part("ours", lambda: [1.0]) == [1.0]


def test_what_was_measured_before_a_cut_is_on_disk(tmp_path):
    _, results = run_tiny(tmp_path, "--parts=ours")
    assert "over_peer" not in results["last_lines"][0]
    assert results["figures"].keys() >= {"device", "shape", "ours"}


def test_a_sweep_is_as_fast_as_all_its_tokens_over_all_its_time():
    # Two ranks see as many tokens, at 10 and at 30 a second: 2 tokens in 4/30 s.
    runs = [PeerRun(2, 0.0, (1.0,), (10,), None), PeerRun(4, 0.0, (1.0,), (30,), None)]
    assert tokens_per_second(runs) == pytest.approx(15.0)


def test_bars_compare_speeds_not_steps():
    found = Findings(
        ours=speed(900, 3.0, gib=60.0),  # 300 tokens a second
        base=speed(900, 2.5),
        single=[speed(100, 0.25), speed(100, 0.75)],  # 200 tokens in 1 s
        peer=[PeerRun(2, 5.0, (1.0, 2.0), (100, 200), None)],  # 100 a second; start-up apart
    )
    assert compare(found) == pytest.approx(
        {"over_peer": 3.0, "over_single": 1.5, "tax": 0.2, "peak_gib": 60.0}
    )
    line = sum_up(found, "loop", "some card")
    assert "over the peer's defaults 3.00 (>= 3.0: yes)" in line
    assert "LoRA tax 0.20 (<= 0.15: NO)" in line


def test_ours_is_the_fastest_way_that_keeps_the_bar_of_memory():
    fast, slow, slowest = speed(100, 1.0, 75.0), speed(100, 2.0, 69.0), speed(100, 3.0, 60.0)
    assert BARS["peak_gib"].limit == 70.0
    assert choose_speed([slowest, slow, fast]) == slow
    assert choose_speed([fast]) == fast
    assert choose_speed([]) is None


@pytest.mark.parametrize(
    "setting", [Setting(3, 1, False), Setting(2, 2, True), Setting(1, 2, False)], ids=str
)
def test_however_a_step_is_divided_every_arm_sees_every_row_once(setting):
    trainee = prepare_base(build_model(TINY, CPU))
    assert trainee.traits.packs
    window = make_window(TINY, trainee, 3, setting, CPU)
    expected = [token for row in draw_step(TINY) for token in row.token_ids]
    assert len(expected) == TINY.arm_tokens
    for arm in range(3):
        own = [
            batch.tokens.token_ids[batch.arms.index(arm)] for batch in window if arm in batch.arms
        ]
        assert torch.cat(own).tolist() == expected


def test_conversations_differ_in_length_and_none_is_longer_than_the_longest():
    shape = replace(TINY, arm_tokens=4000)
    lengths = [len(row.token_ids) for row in draw_step(shape)]
    assert sum(lengths) == 4000
    assert max(lengths) <= shape.row_tokens
    assert len(set(lengths)) > 5


def test_each_way_tries_what_needs_the_most_memory_first():
    for way in list_ways(SHAPES["7b"], "both"):
        held = [setting.arms_per_pass / setting.row_passes for setting in way]
        assert held == sorted(held, reverse=True)


def test_a_base_is_left_as_it_was_found():
    model = build_model(TINY, CPU)
    before = find_targets(model, Subset())
    with with_adapters(model, (2, 8)) as trainee:
        assert len(trainee.layers) == len(before)
        assert all(model.get_submodule(layer.name) is layer for layer in trainee.layers)
    assert find_targets(model, Subset()) == before
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_layers_are_computed_again_only_while_that_is_asked_for():
    model = build_model(TINY, CPU)
    plain = [module.forward.__func__ for module in model.model.layers]
    with checkpointing(model, wanted=True):
        assert all("forward" in vars(layer) for layer in model.model.layers)
    assert [module.forward.__func__ for module in model.model.layers] == plain


def test_a_way_that_does_not_fit_gives_place_to_the_next(monkeypatch):
    bench = Bench(TINY, build_model(TINY, CPU), CPU, warm_up=0, rounds=2)
    large, small = Setting(2, 1, False), Setting(1, 2, False)
    forward = bench.model.forward

    def refuse(token_ids=None, input_ids=None, **options):
        ids = token_ids if input_ids is None else input_ids
        if ids is not None and len(ids) > 1:
            raise torch.OutOfMemoryError
        return forward(ids, **options)

    monkeypatch.setattr(bench.model, "forward", refuse)
    (found,) = measure_lock_step(bench, (2, 8), [[large, small]], "loop")
    assert found.setting == str(small)
    assert len(found.seconds) == 2
    assert measure_base(bench, 2, large) is None


def test_the_7b_base_has_the_published_size():
    shape = SHAPES["7b"]
    # Source: metadata.total_size of Qwen2.5-7B's model.safetensors.index.json, two bytes a weight.
    model = build_model(shape, torch.device("meta"))
    assert sum(weight.numel() for weight in model.parameters()) == 15_231_233_024 // 2
    widths = sum(count * (d_in + d_out) for d_in, d_out, count in shape.projections.values())
    layers = find_targets(model, Subset()).values()
    assert shape.layers * widths == sum(each.in_features + each.out_features for each in layers)
