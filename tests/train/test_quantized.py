"""Groups over a base in 4 bits, and with moments in 8 bits."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from rankshift.arms import Arm
from rankshift.model.loading import load_model
from rankshift.model.quantization import load_bitsandbytes
from rankshift.train.group import train_group
from rankshift.train.roster import Group
from rankshift.train.trainee import prepare_adapters
from tests.train.test_group import (
    FULL,
    SHORT,
    TRAINING,
    Interrupted,
    assert_same_way,
    build_group,
    do_nothing,
    interrupt_after,
    read_all,
    read_steps,
    train,
    train_plainly,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers
)


def load_by_transformers(directory: Path) -> PreTrainedModel:
    """Load a model in 4 bits as QLoRA does, computing in float32."""
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    return AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, quantization_config=config
    )


@pytest.fixture
def large_arms(make_arm) -> list[Arm]:
    """Make arms of which all but one have tensors large enough for moments in 8 bits."""
    return [make_arm(300, 5e-3), make_arm(4, 2e-2, seed=1), make_arm(512, 2e-3, seed=1)]


def test_every_arm_over_a_base_in_4_bits_goes_the_way_of_peft_over_the_same(
    tiny_model_directory: Path, tmp_path: Path, make_rows, make_arm
):
    arms = [make_arm(1, 5e-2), make_arm(4, 2e-2, seed=1), make_arm(40, 1e-2, seed=1)]
    arms[1] = replace(arms[1], layers=(1,))
    group = build_group(tmp_path / "run", make_rows(40), arms, TRAINING)
    trainee = prepare_adapters(load_model(tiny_model_directory, quantization="nf4"), arms, "base")
    for index in range(len(arms)):
        trainee.write(tmp_path / f"start-{index}", index)
    train_group(group, trainee, do_nothing)
    for index, arm in enumerate(arms):
        model = PeftModel.from_pretrained(
            load_by_transformers(tiny_model_directory),
            tmp_path / f"start-{index}",
            is_trainable=True,
        ).train()
        losses = train_plainly(model, arm, list(group.train_rows[index]), TRAINING)
        assert_same_way(group, index, losses, model, learned=0.95)


def test_every_arm_in_8_bits_goes_the_way_of_peft_and_bitsandbytes_alone(
    tiny_model_directory: Path, tmp_path: Path, make_rows, large_arms: list[Arm]
):
    """As long as no entry lies where rounding decides between two of the 256 values."""
    training = replace(TRAINING, optimizer="adamw_8bit")
    group = build_group(tmp_path / "run", make_rows(40), large_arms, training)
    start = prepare_adapters(load_model(tiny_model_directory), large_arms, "base")
    train(group, tiny_model_directory)
    for index, arm in enumerate(large_arms):
        start.write(tmp_path / f"start-{index}", index)
        theirs, exact = [], []
        for losses, kind in (
            (theirs, load_bitsandbytes().optim.AdamW8bit),
            (exact, torch.optim.AdamW),
        ):
            model = PeftModel.from_pretrained(
                load_model(tiny_model_directory), tmp_path / f"start-{index}", is_trainable=True
            )
            losses += train_plainly(model, arm, list(group.train_rows[index]), training, kind)
        ours = [record.loss for record in read_steps(group, index)]
        if arm.rank == 4:  # its tensors are too small for 8 bits
            assert ours == pytest.approx(theirs, rel=1e-5)
        else:
            assert ours[:3] == pytest.approx(theirs[:3], rel=1e-5)
            assert ours[:3] != pytest.approx(exact[:3], rel=1e-5)
            assert ours == pytest.approx(theirs, rel=0.2)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_in_8_bits_resumes_bit_for_bit(
    tiny_model_directory: Path, tmp_path: Path, make_rows, large_arms: list[Arm], method: str
):
    training = replace(SHORT, optimizer="adamw_8bit")
    arms = large_arms if method == "lora" else [FULL]

    def make(name: str) -> Group:
        return build_group(tmp_path / name, make_rows(40), arms, training)

    whole, parts = make("whole"), make("parts")
    train(whole, tiny_model_directory)
    with pytest.raises(Interrupted):
        train(parts, tiny_model_directory, interrupt_after(5))
    train(make("parts"), tiny_model_directory)
    for got, expected in zip(parts.files, whole.files, strict=True):
        assert read_all(got) == read_all(expected)
