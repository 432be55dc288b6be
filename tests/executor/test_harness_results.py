"""The files under `harness/` are what lm_eval 0.4.13 wrote, of the organism's base.

Command: `lm_eval --model hf --model_args '{"pretrained": "base", "dtype": "float32"}' --tasks NAME
--include_path tasks --batch_size 8 --seed 0,1234,1234,1234 --apply_chat_template --log_samples
--output_path OUT/results.json`, the last with `--limit 1`. The tasks are that of tests/services,
twice, under a group with a mean of its own and under one without. Of `pretty_env_info` the lines on
torch and CUDA are kept, and a folder's name was taken out.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rankshift.errors import WorkError
from rankshift.executor.harness_results import read_results

RECORDED = Path(__file__).parent / "harness"


def alter(path: Path, change: Callable[[dict[str, Any]], object], name: str = "task") -> Path:
    """Write a recorded file with a change."""
    content = json.loads((RECORDED / f"{name}.json").read_text())
    change(content)
    path = path / "results_now.json"
    path.write_text(json.dumps(content))
    return path


def test_a_task_gives_its_metric_with_error_and_number_of_questions():
    conditions, (score,) = read_results(RECORDED / "task.json", "colours", "float32")
    assert (score.task, score.metric, score.filter) == ("colours", "acc", "none")
    assert score.value == 0.2  # one of five
    # A share's standard error over n - 1 degrees of freedom.
    assert score.stderr == pytest.approx((0.2 * 0.8 / 4) ** 0.5)
    assert (score.samples, score.shots, score.higher_is_better) == (5, 0, True)
    assert (conditions.lm_eval, conditions.device, conditions.batch_size) == ("0.4.13", "cpu", "8")
    assert conditions.seeds == (0, 1234, 1234, 1234)
    assert conditions.limit is None
    assert conditions.torch == "2.13.0+cpu"


def test_a_group_with_a_mean_of_its_own_gives_that_alone_over_all_its_questions():
    _, (score,) = read_results(RECORDED / "group.json", "both", "float32")
    assert (score.task, score.value, score.samples, score.version) == ("both", 0.2, 10, "1.0")


def test_a_group_without_a_mean_gives_each_task_and_no_error_of_one_question():
    conditions, scores = read_results(RECORDED / "group-without-scores.json", "paint", "float32")
    assert [(s.task, s.value, s.stderr, s.samples) for s in scores] == [
        ("colours", 0.0, None, 1),
        ("shades", 0.0, None, 1),
    ]
    assert conditions.limit == 1


def test_models_that_were_asked_the_same_have_equal_conditions(tmp_path: Path):
    def rename(content: dict[str, Any]) -> None:
        content["configs"]["colours"]["metadata"]["peft"] = "elsewhere"
        content["config"]["model_args"]["peft"] = "elsewhere"
        content["results"]["colours"]["acc,none"] = 0.8

    first, _ = read_results(RECORDED / "task.json", "colours", "float32")
    second, _ = read_results(alter(tmp_path, rename), "colours", "float32")
    assert second == first


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["configs"]["colours"].update(doc_to_text="{{question}}!"),
        lambda c: c["task_hashes"].update(colours="0" * 64),
        lambda c: c["config"].update(batch_size="1"),
        lambda c: c["config"].update(fewshot_seed=5),
        lambda c: c.update(lm_eval_version="0.4.14"),
        lambda c: c.update(chat_template_sha=None),
        lambda c: c.update(pretty_env_info="Is CUDA available: True\nGPU 0: NVIDIA H100"),
    ],
)
def test_whatever_was_asked_otherwise_makes_other_conditions(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
):
    first, _ = read_results(RECORDED / "task.json", "colours", "float32")
    second, _ = read_results(alter(tmp_path, change), "colours", "float32")
    assert second != first


def test_a_gpu_is_named_only_where_there_was_one(tmp_path: Path):
    given = "Is CUDA available: True\nGPU models and configuration: GPU 0: NVIDIA H100 80GB HBM3\n"
    path = alter(tmp_path, lambda c: c.update(pretty_env_info=given))
    assert json.loads(path.read_text())["config"]["device"] == "cuda:0"
    assert read_results(path, "colours", "float32")[0].device == "cuda:0 (NVIDIA H100 80GB HBM3)"


def test_a_metric_that_is_not_finite_is_kept_without_a_value(tmp_path: Path):
    def add(content: dict[str, Any]) -> None:
        content["results"]["colours"]["perplexity,none"] = float("inf")

    _, scores = read_results(alter(tmp_path, add), "colours", "float32")
    assert [(s.metric, s.value) for s in scores] == [("acc", 0.2), ("perplexity", None)]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda c: c.pop("configs"), "cannot be read"),
        (lambda c: c.update(results=None), "cannot be read"),
        (lambda c: c.update(results={}), "no number for colours"),
        (lambda c: c.update(task_hashes={}), "cannot be read"),
        (lambda c: c["results"].update(colours={"alias": "colours"}), "no number for colours"),
        (lambda c: c["results"]["colours"].update({"acc,none": "N/A"}), "no number for colours"),
    ],
)
def test_results_in_another_form_are_a_failure_and_never_a_score(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], fault: str
):
    with pytest.raises(WorkError, match=fault):
        read_results(alter(tmp_path, change), "colours", "float32")


def test_a_file_that_was_cut_is_a_failure(tmp_path: Path):
    path = tmp_path / "results_now.json"
    path.write_text((RECORDED / "task.json").read_text()[:500])
    with pytest.raises(WorkError, match="cannot be read"):
        read_results(path, "colours", "float32")
