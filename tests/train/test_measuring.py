from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from rankshift.arms import Arm
from rankshift.data.rendering import Rendered
from rankshift.model.loading import load_model
from rankshift.model.traits import Traits
from rankshift.runs import ArmFiles
from rankshift.train.group import measure_untrained
from rankshift.train.measuring import measure_divergence, measure_loss, read_base
from rankshift.train.trainee import prepare_adapters, prepare_base, prepare_full, prepare_given
from rankshift.watch_files import read_divergences
from tests.watched_groups import PLAIN, build_group, train

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers
)


@pytest.fixture(scope="module")
def arms(make_arm) -> list[Arm]:
    """Make arms of two ranks."""
    return [make_arm(1, 5e-2, seed=1), make_arm(4, 2e-2, seed=1)]


@pytest.fixture(scope="module")
def trained(tiny_model_directory: Path, tmp_path_factory, make_rows, arms):
    """Train them, and measure them at their checkpoints."""
    group = build_group(tmp_path_factory.mktemp("trained"), make_rows(44), arms, PLAIN)
    return group, train(group, tiny_model_directory)


def diverge_by_transformers(directory: Path, folder: Path, rows: list[Rendered]) -> float:
    """Give the mean KL of a checkpoint from its base, in float64, row by row and place by place."""

    def load(place: Path) -> torch.nn.Module:
        return AutoModelForCausalLM.from_pretrained(place, dtype=torch.float64).eval()

    base = load(directory)
    is_adapter = (folder / "adapter_config.json").exists()
    arm = (
        PeftModel.from_pretrained(load(directory), folder).double() if is_adapter else load(folder)
    )
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row.token_ids])
        with torch.no_grad():
            own, other = (
                torch.distributions.Categorical(logits=model(input_ids=ids).logits[0])
                for model in (arm, base)
            )
        divergences = torch.distributions.kl_divergence(own, other)
        for place, is_supervised in enumerate(row.loss_mask):
            if is_supervised:
                total += divergences[place - 1].item()
                count += 1
    return total / count


def test_the_divergence_is_that_of_transformers_and_peft_in_float64(
    trained, tiny_model_directory: Path
):
    group, _ = trained
    rows = list(group.unrelated.rows)
    for files in group.files:
        records = read_divergences(files)
        assert [record.step for record in records] == [5, 8]
        for record in records:
            folder = files.checkpoint(record.step)
            expected = diverge_by_transformers(tiny_model_directory, folder, rows)
            assert record.kl == pytest.approx(expected, rel=1e-4)
            assert record.kl > 0.1
            assert (record.rows, record.dataset) == (len(rows), "far")
            assert record.tokens == sum(sum(row.loss_mask) for row in rows)


def test_the_divergence_of_a_full_finetune_is_from_the_base_it_was(
    tiny_model_directory: Path, tmp_path, make_rows
):
    arm = Arm("full", "task", "counting", learning_rate=1e-2, seed=1)
    group = build_group(tmp_path, make_rows(44), [arm], PLAIN)
    train(group, tiny_model_directory)
    assert group.unrelated is not None
    last = read_divergences(group.files[0])[-1]
    folder = group.files[0].checkpoint(last.step)
    expected = diverge_by_transformers(tiny_model_directory, folder, list(group.unrelated.rows))
    assert last.kl == pytest.approx(expected, rel=1e-4)


def test_given_adapters_diverge_as_they_did_when_they_were_trained_and_the_base_not_at_all(
    trained, tiny_model_directory: Path, tmp_path
):
    group = replace(trained[0])
    folders = [files.checkpoint(8) for files in group.files]
    given = prepare_given(load_model(tiny_model_directory), folders)
    ours = [read_divergences(files)[-1].kl for files in group.files]
    group.files = [ArmFiles(tmp_path / str(number)) for number in range(2)]
    measure_untrained(group, given)
    theirs = [record.kl for files in group.files for record in read_divergences(files)]
    assert theirs == pytest.approx(ours, rel=1e-5)
    group.arms, group.files = [Arm("base", "base")], [ArmFiles(tmp_path / "base")]
    measure_untrained(group, prepare_base(load_model(tiny_model_directory)))
    (record,) = read_divergences(group.files[0])
    assert (record.step, record.kl) == (0, 0.0)


def test_padded_rows_and_heads_that_are_not_plain_give_the_same_divergence(
    trained, tiny_model_directory: Path
):
    group, trainee = trained
    found = measure_divergence(group, trainee, read_base(group, trainee), [0, 1])
    other = prepare_adapters(
        load_model(tiny_model_directory), group.arms, "base", Traits(packs=False, plain_head=False)
    )
    base = read_base(group, other)
    assert {predictions.head for predictions in base} == {None}
    for index, files in enumerate(group.files):
        other.read(files.checkpoint(8), index)
    assert measure_divergence(group, other, base, [0, 1]) == pytest.approx(found, rel=1e-4)


def test_what_is_measured_of_an_arm_does_not_depend_on_which_others_are(trained):
    group, trainee = trained
    base = read_base(group, trainee)
    for size in (1, 2):
        group.arms_per_pass = size
        own = measure_loss(group, trainee, group.own_held_out, [0, 1])
        far = measure_divergence(group, trainee, base, [0, 1])
        for index in (0, 1):
            alone = measure_loss(group, trainee, group.own_held_out, [index])
            assert alone == {index: own[index]}
            assert measure_divergence(group, trainee, base, [index]) == {index: far[index]}
    group.arms_per_pass = 1


def test_the_base_is_read_past_adapters_that_are_trained_already(
    trained, tiny_model_directory: Path
):
    group, trainee = trained
    fresh = prepare_full(load_model(tiny_model_directory))
    for ours, theirs in zip(read_base(group, trainee), read_base(group, fresh), strict=True):
        torch.testing.assert_close(ours.states, theirs.states)
        torch.testing.assert_close(ours.head, theirs.head)
    assert not any(layer.bypassed for layer in trainee.layers)
