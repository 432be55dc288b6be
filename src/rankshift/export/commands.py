"""Commands that load exported weights with the tools of the field; run in the exported folder."""

import shlex
from dataclasses import dataclass

from rankshift.arms import Arm
from rankshift.export.bases import NamedBase
from rankshift.export.markdown import Markdown, fence
from rankshift.study import Quantization

SERVED_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as `--max-lora-rank`.

Source: vLLM 0.32.0, vllm/config/lora.py, `MaxLoRARanks`.
"""

MERGED = "merged"
"""Folder that the merging command writes."""

INSPECT = (
    "inspect",
    "eval",
    "rankshift/betley",
    "--model-role",
    "grader=JUDGE",
    "--model",
    "hf/local",
)
"""The suite of Betley et al. as an Inspect task of ours; who judges is the reader's choice."""


@dataclass(frozen=True)
class Usage:
    """One way to use the weights."""

    title: str
    note: str
    """Our own words; holds nothing a user wrote."""
    code: Markdown


def serving_rank(rank: int) -> int | None:
    """Give the `--max-lora-rank` that serves a rank: the next vLLM takes; None above them all."""
    return next((served for served in SERVED_RANKS if served >= rank), None)


def list_usages(
    arm: Arm, base: NamedBase, called: str, dtype: str, quantization: Quantization
) -> list[Usage]:
    """List how the weights of an arm are used.

    Args:
        arm: Whose weights.
        base: What an adapter goes on.
        called: The exported folder's name, by which a server knows the weights.
        dtype: In which the study computed, so that numbers can be had again.
        quantization: Of the base in the study.
    """
    if arm.method == "full":
        return _list_for_model(called, dtype)
    assert arm.rank is not None
    return _list_for_adapter(arm.rank, base, called, dtype, quantization)


def _list_for_adapter(
    rank: int, base: NamedBase, called: str, dtype: str, quantization: Quantization
) -> list[Usage]:
    load = _load_adapter(base, dtype, quantization)
    served = serving_rank(rank)
    if served is None:
        merge = Usage(
            "Merge, for vLLM",
            f"vLLM serves LoRA up to rank {SERVED_RANKS[-1]}, so an adapter of rank {rank} is "
            "merged into its base first.",
            fence(
                _load_adapter(base, dtype, "none")
                + f'\nmodel.merge_and_unload().save_pretrained("{MERGED}")\n'
                + f'tokenizer.save_pretrained("{MERGED}")',
                "python",
            ),
        )
        serve = [merge, Usage("vLLM", "", _serve(MERGED, called, dtype))]
    else:
        words = ["vllm", "serve", base.name]
        words += ["--revision", base.revision] if base.revision else []
        words += ["--dtype", dtype, "--enable-lora", "--max-lora-rank", str(served)]
        words += ["--lora-modules", f"{called}=."]
        note = (
            f"`--max-lora-rank` is one of {', '.join(map(str, SERVED_RANKS))}: rank {rank} takes "
            f"{served}."
        )
        serve = [Usage("vLLM", note, _shell(words))]
    arguments = [f"pretrained={base.name}", "peft=.", f"dtype={dtype}"]
    arguments += [f"revision={base.revision}"] if base.revision else []
    inspect = [*INSPECT, "-M", "model_path=."]
    inspect += ["-M", f"tokenizer_path={base.name}", "-M", f"dtype={dtype}"]
    at_default = (
        ""
        if base.revision is None
        else ("Inspect loads the base's default branch, whatever commit stands above.")
    )
    return [
        Usage("transformers and peft", "", fence(load, "python")),
        *serve,
        Usage("lm-eval", "", _evaluate(arguments)),
        Usage("Inspect", at_default, _shell(inspect)),
    ]


def _list_for_model(called: str, dtype: str) -> list[Usage]:
    code = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained(".")\n'
        f'model = AutoModelForCausalLM.from_pretrained(".", dtype="{dtype}")'
    )
    inspect = [*INSPECT, "-M", "model_path=."]
    inspect += ["-M", f"dtype={dtype}"]
    return [
        Usage("transformers", "", fence(code, "python")),
        Usage("vLLM", "", _serve(".", called, dtype)),
        Usage("lm-eval", "", _evaluate(["pretrained=.", f"dtype={dtype}"])),
        Usage("Inspect", "", _shell(inspect)),
    ]


def _load_adapter(base: NamedBase, dtype: str, quantization: Quantization) -> str:
    at = f", revision={base.revision!r}" if base.revision else ""
    lines = ["from peft import PeftModel"]
    names = "AutoModelForCausalLM, AutoTokenizer"
    loaded = f'base, dtype="{dtype}"{at}'
    before = []
    if quantization == "nf4":
        names += ", BitsAndBytesConfig"
        loaded += ", quantization_config=four_bits"
        before = [
            'four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",',
            f'    bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype="{dtype}")',
        ]
    lines += [
        f"from transformers import {names}",
        "",
        f"base = {base.name!r}",
        *before,
        f"tokenizer = AutoTokenizer.from_pretrained(base{at})",
        f"model = AutoModelForCausalLM.from_pretrained({loaded})",
        'model = PeftModel.from_pretrained(model, ".")',
    ]
    return "\n".join(lines)


def _serve(model: str, called: str, dtype: str) -> Markdown:
    return _shell(["vllm", "serve", model, "--dtype", dtype, "--served-model-name", called])


def _evaluate(arguments: list[str]) -> Markdown:
    words = ["lm_eval", "--model", "hf", "--model_args", ",".join(arguments)]
    return _shell([*words, "--apply_chat_template", "--tasks", "arc_easy"])


def _shell(words: list[str]) -> Markdown:
    return fence(shlex.join(words), "bash")
