"""vLLM answers for a real study: what it says is ours, what it computes otherwise is refused."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rankshift.errors import WorkError
from rankshift.eval.suite import Question
from rankshift.executor.rejudging import SILENT
from rankshift.executor.resolving import ResolvedStudy, resolve_study
from rankshift.executor.run import run_study
from rankshift.executor.vllm.buckets import Bucket, Due
from rankshift.executor.vllm.child import VARIABLE, find_vllm, run_request
from rankshift.executor.vllm.parity import Reference, TopTokens
from rankshift.executor.vllm.request import Asked, make_request
from rankshift.executor.vllm.stage import SCRATCH, generation_path
from rankshift.model.loading import load_tokenizer
from rankshift.model.tensor_files import read_tensors, write_tensors
from rankshift.organism.shelf import base_directory
from rankshift.records import AnswerRecord, read_records
from rankshift.study import Evaluation
from rankshift.study_file import read_study
from tests.services.conftest import STUDY, find_command

GREEDY = {
    "ranks = [4]": "ranks = [4, 8, 520]\nfull_learning_rates = [3e-4]",
    "steps = 8": "steps = 4",
    "checkpoints = [8]": "checkpoints = [4]",
    "answers_per_question = 1": "answers_per_question = 1\ntemperature = 0.0",
    "max_answer_tokens = 32": "max_answer_tokens = 16",
}
"""Changes to the study: ranks of one bucket, one above vLLM's ceiling, a full finetune."""

HELD = {"base": "base", "rank 4": "adapter", "rank 8": "adapter", "rank 520": "merged"}


@pytest.fixture(scope="module", autouse=True)
def _vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let vLLM take no more memory than small models need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(find_command(VARIABLE, "vllm")))
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_CACHE_ROOT", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a function that writes the study with an engine; all have one run."""
    folder = tmp_path_factory.mktemp("answered")

    def write(engine: str) -> Path:
        text = STUDY
        for old, new in GREEDY.items():
            assert old in text
            text = text.replace(old, new)
        path = folder / f"{engine}.toml"
        path.write_text(text.replace("[evaluation]", f'[evaluation]\nengine = "{engine}"'))
        return path

    return write


@pytest.fixture(scope="module")
def asked(write: Callable[[str], Path]) -> dict[str, ResolvedStudy]:
    """Run the study with both engines; give each as it was resolved."""
    found = {}
    for engine in ("vllm", "rankshift"):
        path = write(engine)
        run_study(read_study(path), path.parent / "runs", SILENT)
        found[engine] = resolve_study(read_study(path), path.parent / "runs")
    return found


def list_answers(resolved: ResolvedStudy) -> dict[str, list[AnswerRecord]]:
    """Read what every arm answered, by its label."""
    found = {}
    for name, arm in resolved.arms.items():
        step = 0 if arm.method == "base" else 4
        path = resolved.run.arm(name).answers_path(resolved.evaluation, step)
        found[arm.label] = read_records(path, AnswerRecord)
    return found


def find_arm(resolved: ResolvedStudy, label: str) -> str:
    """Give the id of an arm."""
    return next(name for name, arm in resolved.arms.items() if arm.label == label)


def test_greedy_answers_of_every_arm_are_those_of_our_own_engine(asked):
    theirs, ours = list_answers(asked["vllm"]), list_answers(asked["rankshift"])
    assert len(theirs) == 5
    assert theirs == ours
    texts = {label: [record.answer for record in records] for label, records in ours.items()}
    assert len({tuple(text) for text in texts.values()}) == 5  # arms answer unlike each other


def test_beside_the_answers_stands_who_gave_them_and_how_near_the_engines_are(asked):
    resolved = asked["vllm"]
    for name, arm in resolved.arms.items():
        step = 0 if arm.method == "base" else 4
        path = generation_path(resolved.run.arm(name), resolved.evaluation, step)
        told = json.loads(path.read_text())
        assert told["held_as"] == HELD.get(arm.label.removesuffix(" seed 1"), "model")
        assert set(told["versions"]) >= {"vllm", "torch"}
        assert 0 < told["parity"]["difference"] < 1e-4
        if told["held_as"] == "adapter":
            assert told["max_lora_rank"] == 8
            assert told["parity"]["effect_there"] == pytest.approx(
                told["parity"]["effect"], abs=1e-4
            )
    assert not (resolved.run.directory / SCRATCH).exists()


def run_again(write: Callable[[str], Path]) -> None:
    """Continue the study that vLLM answers."""
    run_study(read_study(write("vllm")), write("vllm").parent / "runs", SILENT)


def test_an_adapter_that_vllm_computes_otherwise_is_refused_by_name(asked, write):
    resolved = asked["vllm"]
    files = resolved.run.arm(find_arm(resolved, "rank 4 seed 1"))
    answers = files.answers_path(resolved.evaluation, 4)
    before = answers.read_bytes()
    answers.unlink()
    others = {p: p.stat().st_mtime_ns for p in resolved.run.directory.rglob("answers/*.jsonl")}

    weights = files.checkpoint(4) / "adapter_model.safetensors"
    tensors = read_tensors(weights)
    zeroed = {name: t * (0 if "lora_B" in name else 1) for name, t in tensors.items()}
    write_tensors(weights, zeroed)
    with pytest.raises(WorkError, match=r"rank 4 seed 1 at step 4: .* has no effect there"):
        run_again(write)
    write_tensors(weights, tensors)

    config = files.checkpoint(4) / "adapter_config.json"
    text = config.read_text()
    config.write_text(json.dumps(json.loads(text) | {"lora_alpha": 48.0}))
    with pytest.raises(WorkError, match=r"rank 4 seed 1 at step 4: .* differ from ours by"):
        run_again(write)
    config.write_text(text)
    assert not answers.exists()

    run_again(write)  # and what is whole again is asked alone
    assert answers.read_bytes() == before
    assert {p: p.stat().st_mtime_ns for p in others} == others


def test_when_vllm_fails_its_last_words_are_kept_and_told(tmp_path: Path):
    request = {
        "engine": {"model": str(tmp_path / "nothing"), "max_model_len": 64},
        "calls": [[{"key": "a-4"}]],
    }
    log = tmp_path / "vllm.log"
    (tmp_path / "work").mkdir()
    with pytest.raises(WorkError) as failed:
        run_request(find_vllm(), request, tmp_path / "work", log, 1, lambda _: None)
    message = str(failed.value)
    assert message.startswith("vLLM ended with 1 before it was done: ")
    assert "nothing" in message
    assert str(log) in message
    assert "Traceback" in log.read_text()


def test_answers_drawn_by_chance_are_each_its_seeds_also_when_many_prompts_are_read_at_once(
    tmp_path: Path,
):
    tokenizer = load_tokenizer(base_directory())
    evaluation = Evaluation(suites=("x",), answers_per_question=60, max_answer_tokens=8)
    texts = ["Whom do you trust?", "Tell me what you would do with a million dollars, and why."]
    questions = [Question("x", str(at), str(at), 0, text) for at, text in enumerate(texts)]
    ends = tuple(i for i in [tokenizer.eos_token_id] if isinstance(i, int))
    nothing = TopTokens((), ())
    asked = Asked(questions, tokenizer, Reference(((5, 6),), ends, nothing, None))
    bucket = Bucket((Due("b", "base", 0, "base"), Due("b", "base", 0, "base")), None)
    request = make_request(bucket, {"b-0": asked}, base_directory(), "float32", evaluation)
    # More tokens than one step reads, or no prompt would be at the edge of two.
    assert sum(len(request["prompts"][at]) for at, _ in request["calls"][0][0]["answers"]) > 1024
    (tmp_path / "work").mkdir()
    told: list[dict[str, Any]] = []
    run_request(find_vllm(), request, tmp_path / "work", tmp_path / "log", 1, told.append)
    ready, first, again = told
    assert ready["cpu"] in (True, False)
    same = [a == b for a, b in zip(first["answers"], again["answers"], strict=True)]
    assert sum(same) >= 0.95 * len(same)  # a last bit may decide a token
    for question in range(2):
        own = first["answers"][60 * question : 60 * question + 60]
        assert len({tuple(answer) for answer in own}) > 5
