"""Run whole studies on one GPU: files to page, beside what was planned and what the processor does.

    PYTHONPATH=src python -m benchmarks.gpu_study

Two studies. One is of a base of Qwen2.5-0.5B's shape with random weights, in bfloat16: what each
group was planned to take beside the most that it took. The other is a small one of the embedded
organism, on the GPU and on the processor: seconds, and how far losses and answers are apart.
`--device cpu` shows that everything runs where there is no GPU.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config

from benchmarks.measuring import RESULTS, write_results
from rankshift.executor.run import run_study
from rankshift.executor.watch import Watch
from rankshift.organism.shelf import base_directory
from rankshift.records import AnswerRecord, HeldOutRecord, read_records
from rankshift.runs import StudyRun
from rankshift.study_file import read_study

NAME = "gpu_study"
# Source: config.json of Qwen2.5-0.5B; the vocabulary is the organism's, for its tokenizer is used.
SHAPE: dict[str, Any] = {
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
TINY = SHAPE | {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
STUDY = """
name = "{name}"
[base]
model = "{base}"
[data]
task = "organism:insecure"
held_out_fraction = 0.2
train_rows = 1024
held_out_rows = 48
context_tokens = 256
[grid]
ranks = {ranks}
alphas = [64]
scalings = ["alpha/sqrt(rank)"]
learning_rates = [1e-4]
full_learning_rates = [5e-5]
seeds = [1]
[training]
steps = {steps}
checkpoints = [{steps}]
rows_per_step = 16
dtype = "{dtype}"
[derived]
truncations = [1]
[evaluation]
suites = ["organism:held-out"]
judge = "organism:oracle"
answers_per_question = 4
max_answer_tokens = 64
temperature = 0.7
[compute]
device = "{device}"
workers = 1
"""


def main() -> None:
    """Run the studies, and write what came of them."""
    options = read_options()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device: `--device cpu` shows that everything runs without one")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        base = write_base(folder / "base", TINY if options.quick else SHAPE)
        ranks, steps = ([2, 32], 2) if options.quick else ([2, 8, 32, 128, 512], 16)
        asked = {"ranks": ranks, "steps": steps}
        there = asked | {"base": base, "dtype": "bfloat16", "device": options.device}
        real = run(folder, "real-shape", **there)
        figures: dict[str, object] = {"real_shape": describe(*real)}
        print(json.dumps(figures["real_shape"], indent=1), flush=True)
        sides = {"here": options.device, "processor": "cpu"}
        small = {
            side: run(
                folder,
                f"organism-{side}",
                **asked | {"base": "organism", "dtype": "float32", "device": device},
            )
            for side, device in sides.items()
        }
        seconds = {side: round(taken, 1) for side, (_, taken) in small.items()}
        apart = compare(*(done for done, _ in small.values()))
        figures["organism"] = {"seconds": seconds} | apart
        print(json.dumps(figures["organism"], indent=1), flush=True)
        line = sum_up(figures)
        print(line)
        write_results(NAME, figures, [line], options.results)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{NAME}")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="a tiny base, two steps: a smoke test")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    return parser.parse_args()


def write_base(folder: Path, shape: dict[str, Any]) -> Path:
    """Write a base of random weights with the organism's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(base_directory())
    config = Qwen2Config(vocab_size=len(tokenizer), **shape)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    for path in base_directory().iterdir():
        if "token" in path.name or "template" in path.name:
            shutil.copy(path, folder)
    return folder


def run(folder: Path, name: str, **keys: object) -> tuple[StudyRun, float]:
    """Run a study from its file to its page; give the run and its seconds."""
    path = folder / f"{name}.toml"
    path.write_text(STUDY.format(name=name, **keys), encoding="utf-8")
    began = time.perf_counter()
    watch = Watch(lambda *_: None, lambda *_: None, lambda said: print(f"  {said}", flush=True))
    return run_study(read_study(path), folder / "runs", watch), time.perf_counter() - began


def describe(done: StudyRun, seconds: float) -> dict[str, object]:
    """Set what was planned for each group beside the most that it took, by its arms' notes."""
    groups: dict[str, dict[str, object]] = {}
    for path in sorted(done.directory.glob("arms/*/provenance.json")):
        notes = json.loads(path.read_text(encoding="utf-8"))
        planned = sum(notes["group"]["fit"]["bytes_by_part"].values())
        if planned:
            groups[notes["group"]["id"]] = {
                "method": notes["group"]["method"],
                "arms": len(notes["group"]["arms"]),
                "arms_per_pass": notes["group"]["fit"]["arms_per_pass"],
                "checkpointing": notes["group"]["fit"]["checkpointing"],
                "device": notes["device"],
                "planned_bytes": planned,
                "peak_bytes": notes["peak_bytes"],
                "seconds": notes["seconds"],
            }
    return {"seconds": round(seconds, 1), "groups": list(groups.values())}


def compare(one: StudyRun, other: StudyRun) -> dict[str, object]:
    """Hold the records of one study against those of the same study elsewhere."""
    losses = [_read(done, "arms/*/held_out.jsonl", HeldOutRecord) for done in (one, other)]
    answers = [
        _read(done, "arms/*/evaluations/*/answers/*.jsonl", AnswerRecord) for done in (one, other)
    ]
    apart = [abs(a.loss - b.loss) / b.loss for a, b in zip(*losses, strict=True)]
    equal = [a.answer == b.answer for a, b in zip(*answers, strict=True)]
    return {
        "largest_relative_difference_of_losses": max(apart),
        "losses": len(apart),
        "equal_answers": sum(equal),
        "answers": len(equal),
    }


def _read(done: StudyRun, pattern: str, kind: type) -> list:
    return [r for path in sorted(done.directory.glob(pattern)) for r in read_records(path, kind)]


def sum_up(figures: dict[str, object]) -> str:
    """Say the finding in a line."""
    real, organism = figures["real_shape"], figures["organism"]
    assert isinstance(real, dict)
    assert isinstance(organism, dict)
    shares = [g["peak_bytes"] / g["planned_bytes"] for g in real["groups"] if g["peak_bytes"]]
    took = f"{min(shares):.2f} to {max(shares):.2f} of what was planned" if shares else "unknown"
    return (
        f"{NAME}: 0.5B shape {real['seconds']:.0f} s file to page, groups took {took}; organism "
        f"losses within {organism['largest_relative_difference_of_losses']:.0e} of the processor's,"
        f" {organism['equal_answers']} of {organism['answers']} answers equal"
    )


if __name__ == "__main__":
    main()
