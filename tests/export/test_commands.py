import ast
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from rankshift.arms import Arm
from rankshift.export.bases import NamedBase
from rankshift.export.commands import SERVED_RANKS, Usage, list_usages, serving_rank
from rankshift.study import Quantization

HUB = NamedBase("owner/model", "0123abc", None, None)
FULL = Arm("full", "task", "d", learning_rate=1e-4, seed=1)


def make_arm(rank: int) -> Arm:
    """Make an adapter's arm."""
    return Arm("lora", "task", "d", rank, 8.0, "alpha/rank", 1e-3, 1, ("q_proj",))


def code_of(usage: Usage) -> str:
    """Give what stands inside the fence."""
    found = re.fullmatch(r"(`{3,})\w+\n(.*)\n\1", usage.code, re.DOTALL)
    assert found, usage.code
    return found[2]


def find(usages: list[Usage], title: str) -> str:
    """Give the code of one way."""
    return code_of(next(usage for usage in usages if usage.title == title))


@pytest.mark.parametrize(
    ("rank", "served"),
    [(1, 1), (2, 8), (8, 8), (9, 16), (257, 320), (321, 512), (512, 512), (513, None)],
)
def test_a_rank_is_served_at_the_next_that_vllm_takes(rank: int, served: int | None):
    assert serving_rank(rank) == served


@pytest.mark.parametrize("rank", [1, 3, 512])
def test_the_server_is_told_base_commit_type_rank_and_adapter(rank: int):
    words = shlex.split(find(list_usages(make_arm(rank), HUB, "mine", "float32", "none"), "vLLM"))
    assert words[:3] == ["vllm", "serve", "owner/model"]
    given = dict(pairwise(words))
    assert given["--revision"] == "0123abc"
    assert given["--dtype"] == "float32"
    assert int(given["--max-lora-rank"]) in SERVED_RANKS
    assert int(given["--max-lora-rank"]) >= rank
    assert given["--lora-modules"] == "mine=."


def test_a_rank_above_all_that_vllm_takes_is_merged_first():
    usages = list_usages(make_arm(600), HUB, "mine", "bfloat16", "nf4")
    assert [u.title for u in usages][1:3] == ["Merge, for vLLM", "vLLM"]
    merge = find(usages, "Merge, for vLLM")
    assert "merge_and_unload" in merge
    assert "load_in_4bit" not in merge, "four bits cannot be merged into without rounding again"
    assert "--enable-lora" not in find(usages, "vLLM")


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("arm", [make_arm(4), make_arm(1000), FULL])
@pytest.mark.parametrize("base", [HUB, NamedBase("a'; rm -rf ~ #\n```\"", None, Path("x"), None)])
def test_names_of_bases_stay_one_word_of_the_shell_and_one_text_of_python(
    arm: Arm, quantization: Quantization, base: NamedBase
):
    name = "" if arm.method == "full" else base.name
    for usage in list_usages(arm, base, "mine", "float32", quantization):
        code = code_of(usage)
        if usage.code.lstrip("`").startswith("python"):
            texts = [n.value for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Constant)]
            assert not name or name in texts
            if "load_in_4bit" in code:
                assert quantization == "nf4"
        else:
            words = shlex.split(code)
            assert words[0] in ("vllm", "lm_eval", "inspect")
            assert ";" not in words
            assert "merged" in words or name in " ".join(words)


def test_a_full_finetune_is_loaded_from_its_own_folder():
    usages = list_usages(FULL, HUB, "mine", "float32", "none")
    assert [u.title for u in usages] == ["transformers", "vLLM", "lm-eval", "Inspect"]
    assert all("owner/model" not in usage.code for usage in usages)
