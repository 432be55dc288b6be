import shutil
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from rankshift.arms import Arm
from rankshift.errors import UserError
from rankshift.eval.answering import answer_questions
from rankshift.eval.suite import Question
from rankshift.grid import Scaling
from rankshift.model.adapters import LockStepLinear
from rankshift.model.loading import load_model, load_tokenizer
from rankshift.study import Evaluation
from rankshift.train.trainee import (
    prepare_adapters,
    prepare_base,
    prepare_full,
    prepare_given,
    write_model,
)

TOKENS = torch.arange(12).view(2, 6)


@pytest.fixture(params=["own head", "head tied to the embeddings"])
def any_directory(
    request: pytest.FixtureRequest, tiny_model_directory: Path, tmp_path: Path
) -> Path:
    """Give a model whose head is a matrix of its own, or that of the embeddings."""
    if request.param == "own head":
        return tiny_model_directory
    config = LlamaConfig.from_pretrained(tiny_model_directory)
    config.tie_word_embeddings = True
    LlamaForCausalLM(config).save_pretrained(tmp_path / "tied")
    return tmp_path / "tied"


def shift(model: PreTrainedModel) -> None:
    """Change every weight of a model."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.01).add_(0.001)


def test_a_full_finetune_is_written_as_a_model_directory_of_its_own(
    any_directory: Path, tmp_path: Path
):
    model = load_model(any_directory)
    before = model(TOKENS).logits
    trainee = prepare_full(model)
    shift(model)
    trainee.write(tmp_path / "checkpoint", 0)
    again = load_model(tmp_path / "checkpoint")
    assert torch.equal(again(TOKENS).logits, model(TOKENS).logits)
    assert not torch.equal(again(TOKENS).logits, before)


def test_a_full_finetune_takes_up_what_it_wrote_without_losing_its_tensors(
    any_directory: Path, tmp_path: Path
):
    model = load_model(any_directory)
    trainee = prepare_full(model)
    trainee.write(tmp_path, 0)
    before = model(TOKENS).logits
    shift(model)
    trainee.read(tmp_path, 0)
    assert torch.equal(model(TOKENS).logits, before)
    owned = {id(tensor) for tensor in trainee.tensors[0]}
    assert owned == {id(parameter) for parameter in model.parameters()}


def test_a_full_finetune_in_bfloat16_keeps_its_float32_weights_on_disk(
    any_directory: Path, tmp_path: Path
):
    model = load_model(any_directory, torch.bfloat16)
    trainee = prepare_full(model)
    assert {tensor.dtype for tensor in trainee.tensors[0]} == {torch.float32}
    with torch.no_grad():
        for tensor in trainee.tensors[0]:
            tensor.mul_(1.01).add_(0.001)
    trainee.update_model()
    trainee.write(tmp_path / "checkpoint", 0)
    expected = model(TOKENS).logits
    kept = load_model(tmp_path / "checkpoint")
    assert all(map(torch.equal, kept.parameters(), trainee.tensors[0]))
    assert any((p.bfloat16().float() != p).any() for p in kept.parameters())
    again = load_model(any_directory, torch.bfloat16)
    prepare_full(again).read(tmp_path / "checkpoint", 0)
    assert torch.equal(again(TOKENS).logits, expected)
    assert torch.equal(load_model(tmp_path / "checkpoint", torch.bfloat16)(TOKENS).logits, expected)


def test_full_finetuning_trains_every_parameter(tiny_model: PreTrainedModel):
    trainee = prepare_full(tiny_model)
    tiny_model(TOKENS, labels=TOKENS).loss.backward()
    assert all(parameter.requires_grad for parameter in tiny_model.parameters())
    assert len(trainee.tensors) == 1
    assert all(tensor.grad is not None for tensor in trainee.tensors[0])


def test_a_model_folder_with_a_config_is_complete(tiny_model: PreTrainedModel, tmp_path: Path):
    (tmp_path / "model.safetensors").mkdir()  # so that the weights cannot be written
    with pytest.raises(OSError, match=r"model\.safetensors"):
        write_model(tmp_path, tiny_model)
    assert not (tmp_path / "config.json").exists()


def test_a_full_checkpoint_that_is_gone_is_refused(tiny_model: PreTrainedModel, tmp_path: Path):
    with pytest.raises(UserError, match="no such file; run the study again"):
        prepare_full(tiny_model).read(tmp_path, 0)


def test_rows_belong_to_their_arms(tiny_model: PreTrainedModel, make_arm):
    arms = [make_arm(2), make_arm(5), make_arm(1)]
    trainee = prepare_adapters(tiny_model, arms, "base")
    layers = [m for m in tiny_model.modules() if isinstance(m, LockStepLinear)]
    assert [len(own) for own in trainee.tensors] == [2 * len(layers)] * 3 == [28] * 3
    assert [{len(tensor) for tensor in own} for own in trainee.tensors] == [{2}, {5}, {1}]
    assert {segment.scale for layer in layers for segment in layer.segments} == {2.0}


def test_arms_of_one_seed_start_from_the_same_first_factor(tiny_model: PreTrainedModel, make_arm):
    arms: list[Arm] = [make_arm(2, seed=1), make_arm(3, seed=1), make_arm(2, seed=2)]
    trainee = prepare_adapters(tiny_model, arms, "base")
    small, large, other = (own[0] for own in trainee.tensors)
    assert torch.equal(small, large[:2])
    assert not torch.equal(small, other)


def test_every_arm_is_written_and_read_by_its_own_index(
    tiny_model_directory: Path, tmp_path: Path, make_arm
):
    arms = [make_arm(2), make_arm(3)]
    trainee = prepare_adapters(load_model(tiny_model_directory), arms, "base")
    for number, tensor in enumerate(trainee.tensors[1]):
        tensor.data.fill_(number + 1)
    trainee.write(tmp_path / "1", 1)
    for tensor in (*trainee.tensors[0], *trainee.tensors[1]):
        tensor.data.zero_()
    trainee.read(tmp_path / "1", 1)
    assert not any(tensor.any() for tensor in trainee.tensors[0])
    for number, tensor in enumerate(trainee.tensors[1]):
        assert tensor.eq(number + 1).all()
    shutil.rmtree(tmp_path / "1")
    with pytest.raises(UserError, match="no such adapter"):
        trainee.read(tmp_path / "1", 1)


def test_the_base_trains_nothing_and_writes_nothing(tiny_model: PreTrainedModel, tmp_path: Path):
    trainee = prepare_base(tiny_model)
    trainee.write(tmp_path / "checkpoint", 0)
    trainee.read(tmp_path / "checkpoint", 0)
    assert trainee.tensors == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scaling", ["alpha/rank", "alpha/sqrt(rank)"])
def test_our_own_checkpoints_given_as_models_answer_as_the_arms_do_letter_by_letter(
    tiny_model_directory: Path, tmp_path: Path, scaling: Scaling
):
    """The draws are the same here; in a study a given model has an id of its own, so its draws."""
    arms = [
        Arm("lora", "task", None, rank, 24.0, scaling, 1e-3, 1, modules, layers)
        for rank, modules, layers in ((2, ("q_proj", "up_proj"), ()), (9, ("up_proj",), (1,)))
    ]
    ours = prepare_adapters(load_model(tiny_model_directory), arms, "a name")
    for layer in ours.layers:
        layer.lora_B.data.normal_(std=0.3, generator=torch.Generator().manual_seed(3))
    folders = [tmp_path / "0", tmp_path / "1"]
    for index, folder in enumerate(folders):
        ours.write(folder, index)
    given = prepare_given(load_model(tiny_model_directory), folders)
    ours.select(range(2))
    rows = TOKENS.repeat(2, 1)
    assert torch.equal(given.model(rows).logits, ours.model(rows).logits)
    questions = [Question("mine", "wish", "wish", n, f"Wish {n}?") for n in range(3)]
    asked = Evaluation(("mine",), answers_per_question=4, max_answer_tokens=12)
    tokenizer = load_tokenizer(tiny_model_directory)
    answers, theirs = (
        answer_questions(t.model, tokenizer, ["a", "b"], 0, questions, asked) for t in (ours, given)
    )
    assert answers == theirs
    assert answers[0] != answers[1]
    assert given.tensors == []
