"""Measure how fast all answers of a rank sweep are sampled, against PEFT adapter by adapter.

Both sample the same number of answers of the same adapters, from the same files, on two cores: ours
in two processes of one thread that take half of the arms each, or in one of two threads; PEFT in
one of two threads at the setting that proved best for it in a first trial. Rounds alternate, each
side in processes of its own that were started and warmed up before.

Where RANKSHIFT_VLLM names a vLLM, it answers too, once, after the rounds: as a study has it, with
one engine of two threads for each bucket of ranks; what engines take to start is told apart.
"""

import argparse
import os
import statistics
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import chi2_contingency

from benchmarks.measuring import RESULTS, ratios, spread_of, warn_of_others, write_results
from benchmarks.sampling_sides import (
    Asked,
    PeftSetting,
    Side,
    serve_ours,
    serve_peft,
    start,
)
from benchmarks.sampling_vllm import ask_vllm
from benchmarks.sampling_work import QUICK, Answers, Place, Shape, write_adapters
from rankshift.executor.vllm.child import VARIABLE

CORES = 2


def choose_settings(peft: Side, shape: Shape) -> tuple[list[PeftSetting], list[Any]]:
    """Try PEFT's settings on the arm whose rank is nearest to the mean; give the best two, and all.

    Two, because one arm cannot tell settings apart that differ by less than arms do.
    """
    mean = statistics.fmean(shape.ranks)
    arms = [min(range(len(shape.ranks)), key=lambda index: abs(shape.ranks[index] - mean))]
    tried = []
    for merged in (False, True):
        for batch in shape.batches:
            setting = PeftSetting(batch, merged)
            seconds = peft.ask((False, 0, setting, arms)).seconds
            tried.append({**asdict(setting), "seconds": seconds, "arms": arms})
            print(
                f"trial: peft, {batch} prompts a batch, merged {merged}: {seconds:.2f} s",
                flush=True,
            )
    best = sorted(tried, key=lambda trial: trial["seconds"])[:2]
    return [PeftSetting(trial["prompts_a_batch"], trial["merged"]) for trial in best], tried


def name_setting(setting: PeftSetting) -> str:
    """Name a way to run the peer."""
    merged = ", merged" if setting.merged else ""
    return f"peft {setting.prompts_a_batch} a batch{merged}"


def compare(ours: dict[int, Answers], theirs: dict[int, Answers]) -> dict[str, Any]:
    """Compare two samples: lengths, and by arm whether first tokens come from one distribution.

    Returns:
        Mean lengths, the smallest p-value of the arms' chi-squared tests, and the largest total
        variation distance. `min_p` below 0.05 / arms would say that the samplers differ.
    """
    p_values, distances = [], []
    for arm in ours:
        firsts = [[answer[:1] for answer in side[arm]] for side in (ours, theirs)]
        kinds = sorted(set(firsts[0]) | set(firsts[1]))
        counts = np.array([[side.count(kind) for kind in kinds] for side in firsts])
        rare = counts.sum(axis=0) < 10  # taken together, as the test is one for large counts
        table = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
        table = table[:, table.sum(axis=0) > 0]
        tested: Any = chi2_contingency(table) if table.shape[1] > 1 else None
        p_values.append(float(tested.pvalue) if tested else 1.0)
        shares = counts / counts.sum(axis=1, keepdims=True)
        distances.append(float(np.abs(shares[0] - shares[1]).sum() / 2))
    return {
        "mean_tokens": [mean_length(ours), mean_length(theirs)],
        "min_p": min(p_values),
        "max_distance": max(distances),
        "arms": len(ours),
    }


def mean_length(answers: dict[int, Answers]) -> float:
    """Give the mean length of all answers, tokens."""
    return statistics.fmean(len(answer) for group in answers.values() for answer in group)


def measure(shape: Shape, rounds: int, adapters: Path) -> dict[str, Any]:
    """Measure everything; the result is JSON."""
    every = tuple(range(len(shape.ranks)))
    halves = [Place(adapters, shape, every[half::CORES], 1) for half in range(CORES)]
    whole = [Place(adapters, shape, every, CORES)]
    with (
        start(serve_peft, whole) as peft,
        start(serve_ours, halves) as processes,
        start(serve_ours, whole) as threads,
    ):
        settings, tried = choose_settings(peft, shape)
        for side in (processes, threads):
            side.ask((False, 0))
        peers = {name_setting(setting): setting for setting in settings}
        ways = {"processes": processes, "threads": threads} | dict.fromkeys(peers, peft)
        asked: dict[str, list[Asked]] = {way: [] for way in ways}
        for number in range(1, rounds + 1):
            for way, side in ways.items():
                more = (peers[way], every) if way in peers else ()
                asked[way].append(side.ask((False, number, *more)))
                print(f"round {number} of {rounds}: {describe(way, asked[way][-1])}", flush=True)
        alone = PeftSetting(settings[0].prompts_a_batch, merged=False)
        greedy = [
            side.answers for side in (processes.ask((True, 0)), peft.ask((True, 0, alone, every)))
        ]
    seconds = {way: [one.seconds for one in each] for way, each in asked.items()}
    core_seconds = {way: [one.core_seconds for one in each] for way, each in asked.items()}
    sampled = {way: each[-1].answers for way, each in asked.items()}
    best = min(("processes", "threads"), key=lambda way: statistics.median(seconds[way]))
    peer = min(peers, key=lambda way: statistics.median(seconds[way]))
    pairs = [pair for arm in every for pair in zip(greedy[0][arm], greedy[1][arm], strict=True)]
    return {
        "shape": asdict(shape),
        "seconds": seconds,
        "core_seconds": core_seconds,
        "others_cores": {way: [one.others_cores for one in each] for way, each in asked.items()},
        "ours": best,
        "ratios": ratios(seconds[best], seconds[peer]),
        "core_ratios": ratios(core_seconds[best], core_seconds[peer]),
        "peft": peer,
        "peft_settings": [asdict(setting) for setting in settings],
        "peft_trials": tried,
        "greedy_equal": sum(ours == theirs for ours, theirs in pairs),
        "greedy_answers": len(pairs),
        "agreement": compare(sampled[best], sampled[peer]),
        "same_answers_in_one_process": sampled["processes"] == sampled["threads"],
        "vllm": measure_vllm(shape, adapters, sampled[best], greedy[0])
        if os.environ.get(VARIABLE)
        else None,
    }


def measure_vllm(
    shape: Shape, adapters: Path, ours: dict[int, Answers], greedy: dict[int, Answers]
) -> dict[str, Any]:
    """Have vLLM answer once by chance and once greedily, beside our answers of both kinds."""
    engines, sampled, versions = ask_vllm(shape, adapters, CORES, greedy=False)
    _, theirs, _ = ask_vllm(shape, adapters, CORES, greedy=True)
    pairs = [pair for arm in greedy for pair in zip(greedy[arm], theirs[arm], strict=True)]
    result = {
        "versions": versions,
        "engines": [asdict(engine) for engine in engines],
        "start_seconds": sum(engine.start_seconds for engine in engines),
        "seconds": sum(engine.seconds for engine in engines),
        "core_seconds": sum(engine.core_seconds for engine in engines),
        "greedy_equal": sum(mine == other for mine, other in pairs),
        "agreement": compare(ours, sampled),
    }
    print(describe_vllm(result), flush=True)
    return result


def describe_vllm(result: dict[str, Any]) -> str:
    """Say what vLLM took."""
    return (
        f"vllm {result['versions']['vllm']}: {result['seconds']:.2f} s and "
        f"{result['core_seconds']:.2f} core-seconds for answers, {result['start_seconds']:.2f} s "
        f"to start {len(result['engines'])} engines; greedy answers equal in "
        f"{result['greedy_equal']}"
    )


def describe(way: str, asked: Asked) -> str:
    """Say what one way took in one round."""
    return (
        f"{way} {asked.seconds:.2f} s, {asked.core_seconds:.2f} core-seconds; others used "
        f"{asked.others_cores:.1f} cores"
    )


def report(result: dict[str, Any], line: str) -> None:
    """Print medians, agreement, and the one line."""
    for name, seconds in result["seconds"].items():
        print(f"{name}: median {statistics.median(seconds):.2f} s of {len(seconds)} rounds")
    print(f"ours is {result['ours']}; peft is {result['peft']}")
    spread = spread_of(result["core_ratios"])
    print(f"by core-seconds: {spread.median:.1f} ({spread.lowest:.1f} to {spread.highest:.1f})")
    print(f"agreement of samples: {result['agreement']}")
    if result["vllm"]:
        print(describe_vllm(result["vllm"]))
        print(f"agreement of samples with vllm: {result['vllm']['agreement']}")
    print(line)


def sum_up(result: dict[str, Any]) -> str:
    """Say the finding in one line."""
    ratio = spread_of(result["ratios"])
    return (
        f"sample_sweep fp32 ratio {ratio.median:.1f} (min {ratio.lowest:.1f}, max "
        f"{ratio.highest:.1f}) over peft, greedy answers equal in {result['greedy_equal']} of "
        f"{result['greedy_answers']}{warn_of_others(result['others_cores'].values())}"
    )


def main() -> None:
    """Read the command line, measure, write, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="a tiny shape: shows that it runs")
    parser.add_argument("--ranks", type=int, nargs="+", help="of the arms, in place of the usual")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with tempfile.TemporaryDirectory() as folder:
        shape = QUICK if options.quick else Shape()
        shape = replace(shape, ranks=tuple(options.ranks)) if options.ranks else shape
        write_adapters(Path(folder), shape)
        result = measure(shape, options.rounds, Path(folder))
    line = sum_up(result)
    print(f"raw figures: {write_results('sample_sweep', result, [line], options.results)}")
    report(result, line)


if __name__ == "__main__":
    main()
