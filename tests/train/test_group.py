import json
import math
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel, get_linear_schedule_with_warmup

from rankshift.arms import Arm
from rankshift.data.batches import draw_rows
from rankshift.data.rendering import Rendered
from rankshift.errors import UserError
from rankshift.grid import Subset
from rankshift.model.loading import load_model
from rankshift.model.traits import Traits
from rankshift.records import HeldOutRecord, StepRecord, read_records
from rankshift.runs import ArmFiles
from rankshift.study import Training
from rankshift.train.group import FORMS, STATE, Group, HeldOut, measure_untrained, train_group
from rankshift.train.trainee import Trainee, prepare_adapters, prepare_base, prepare_full
from tests.padding import PAD, pad_plainly

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers
)

TRAINING = Training(
    steps=50,
    checkpoints=(5, 12, 50),
    rows_per_step=4,
    accumulation=2,
    schedule="linear",
    warmup_steps=3,
    weight_decay=0.1,
)
SHORT = replace(TRAINING, steps=8, checkpoints=(4, 6, 8))
FULL = Arm("full", "task", "counting", learning_rate=2e-2, seed=1)

MakeGroup = Callable[..., Group]


@pytest.fixture(scope="module")
def arms(make_arm) -> list[Arm]:
    """Make arms of other ranks, seeds and rates; the last is wider than any projection."""
    return [make_arm(1, 5e-2), make_arm(4, 2e-2, seed=1), make_arm(40, 1e-2, seed=1)]


@pytest.fixture
def make_group(tmp_path: Path, make_rows) -> MakeGroup:
    """Make a group that learns to count, in a folder of its own."""

    def make(arms: list[Arm], name: str = "run", training: Training = SHORT) -> Group:
        return build_group(tmp_path / name, make_rows(40), arms, training)

    return make


@pytest.fixture(scope="module")
def undisturbed(
    tiny_model_directory: Path, tmp_path_factory: pytest.TempPathFactory, make_rows, arms: list[Arm]
) -> list[dict[str, bytes]]:
    """Train the three arms once, without any trouble; give every file of each."""
    group = build_group(tmp_path_factory.mktemp("undisturbed"), make_rows(40), arms, SHORT)
    train(group, tiny_model_directory)
    return [read_all(files) for files in group.files]


def build_group(folder: Path, rows: list[Rendered], arms: list[Arm], training: Training) -> Group:
    """Build a group of which every arm trains on the same rows."""
    return Group(
        arms=arms,
        files=[ArmFiles(folder / f"arm-{number}") for number in range(len(arms))],
        train_rows=[rows[:25] for _ in arms],
        held_out=[HeldOut("counting", rows[25:31]), HeldOut("other", rows[31:])],
        training=training,
        state_folder=folder / "state",
        pad_token=PAD,
        micro_rows=5,
    )


def do_nothing(steps: int) -> None:
    """Watch no progress."""


def train(
    group: Group,
    directory: Path,
    advance: Callable[[int], None] = do_nothing,
    traits: Traits | None = None,
) -> Trainee:
    """Train a group over a base loaded anew, as a new process would."""
    model = load_model(directory, getattr(torch, group.training.dtype))
    is_full = group.arms[0].method == "full"
    trainee = prepare_full(model) if is_full else prepare_adapters(model, group.arms, "base")
    train_group(group, replace(trainee, traits=traits or trainee.traits), advance)
    return trainee


def read_steps(group: Group, index: int) -> list[StepRecord]:
    """Read an arm's steps from its file."""
    return read_records(group.files[index].steps_path, StepRecord)


def read_losses(group: Group, index: int) -> list[HeldOutRecord]:
    """Read an arm's held-out losses from its file."""
    return read_records(group.files[index].held_out_path, HeldOutRecord)


def read_all(files: ArmFiles) -> dict[str, bytes]:
    """Read every file of an arm."""
    paths = (path for path in files.directory.rglob("*") if path.is_file())
    return {path.relative_to(files.directory).as_posix(): path.read_bytes() for path in paths}


def loss_by_transformers(model: torch.nn.Module, rows: list[Rendered]) -> torch.Tensor:
    """Give the mean loss over the supervised tokens of some rows, padded and masked."""
    ids, labels = pad_plainly(rows)
    lengths = torch.tensor([len(row.token_ids) for row in rows])
    attention = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    return model(input_ids=ids, attention_mask=attention, labels=labels).loss


def train_plainly(
    model: torch.nn.Module,
    arm: Arm,
    rows: list[Rendered],
    training: Training,
    kind: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
) -> list[float]:
    """Train one arm by a plain PyTorch loop on the batches of its seed; give the losses."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    rate = arm.learning_rate or 0.0
    optimizer = kind(parameters, lr=rate, weight_decay=training.weight_decay)
    schedule = get_linear_schedule_with_warmup(optimizer, training.warmup_steps, training.steps)
    losses = []
    for numbers in draw_rows(len(rows), training.rows_per_step, training.steps, arm.seed or 0):
        loss = loss_by_transformers(model, [rows[number] for number in numbers])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, training.clip_norm or math.inf)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def assert_same_way(
    group: Group, index: int, losses: list[float], model: torch.nn.Module, learned: float = 0.8
) -> None:
    """Compare an arm's whole way with that of a plain loop."""
    records = read_steps(group, index)
    assert [record.step for record in records] == list(range(1, len(losses) + 1))
    got = [record.loss for record in records]
    assert got[:6] == pytest.approx(losses[:6], rel=1e-6)
    assert got == pytest.approx(losses, rel=1e-5)
    last = {r.dataset: r.loss for r in read_losses(group, index) if r.step == len(losses)}
    for held_out in group.held_out:
        with torch.no_grad():
            expected = loss_by_transformers(model, list(held_out.rows)).item()
        assert last[held_out.name] == pytest.approx(expected, rel=1e-5)
    assert losses[-1] < learned * losses[0]  # it learned, so that there is something to compare


@pytest.mark.parametrize("traits", [Traits(True, True), Traits(False, False)], ids=str)
def test_every_arm_interrupted_or_not_goes_the_way_of_peft_and_a_plain_loop(
    tiny_model_directory: Path,
    tmp_path: Path,
    make_group: MakeGroup,
    arms: list[Arm],
    traits: Traits,
):
    group = make_group(arms, training=TRAINING)
    start = prepare_adapters(load_model(tiny_model_directory), arms, "base")
    assert start.traits == Traits(packs=True, plain_head=True)
    with pytest.raises(Interrupted):
        train(
            make_group(arms, training=TRAINING), tiny_model_directory, interrupt_after(20), traits
        )
    train(group, tiny_model_directory, traits=traits)
    for index, arm in enumerate(arms):
        start.write(tmp_path / f"start-{index}", index)
        model = PeftModel.from_pretrained(
            load_model(tiny_model_directory), tmp_path / f"start-{index}", is_trainable=True
        )
        losses = train_plainly(model, arm, list(group.train_rows[index]), TRAINING)
        assert_same_way(group, index, losses, model)


@pytest.mark.parametrize("arms_per_pass", [1, 3])
def test_arms_of_different_layers_and_modules_go_the_way_of_peft_in_one_group(
    tiny_model_directory: Path,
    tmp_path: Path,
    make_group: MakeGroup,
    arms: list[Arm],
    arms_per_pass: int,
):
    subsets = [Subset(("q_proj", "v_proj")), Subset(layers=(1,)), Subset(("down_proj",), (0,))]
    others = [
        replace(arm, target_modules=subset.target_modules, layers=subset.layers)
        for arm, subset in zip(arms, subsets, strict=True)
    ]
    group = make_group(others, training=TRAINING)
    start = prepare_adapters(load_model(tiny_model_directory), others, "base")
    wanted = ("loop", "grouped", "dense")
    layers = {
        layer.name: [f if s.rank else "loop" for f, s in zip(wanted, layer.segments, strict=True)]
        for layer in start.layers
    }
    group.arms_per_pass = arms_per_pass
    forms = {"tokens": 1, "threads": 1, "layers": layers}
    group.state_folder.mkdir(parents=True)
    (group.state_folder / FORMS).write_text(json.dumps(forms))
    trainee = train(group, tiny_model_directory)
    assert [len(own) for own in trainee.tensors] == [8, 14, 2]
    for index, arm in enumerate(others):
        start.write(tmp_path / f"start-{index}", index)
        model = PeftModel.from_pretrained(
            load_model(tiny_model_directory), tmp_path / f"start-{index}", is_trainable=True
        )
        losses = train_plainly(model, arm, list(group.train_rows[index]), TRAINING)
        assert_same_way(group, index, losses, model, learned=0.9)


def test_full_finetuning_goes_the_way_of_a_plain_loop(
    tiny_model_directory: Path, make_group: MakeGroup
):
    group = make_group([FULL], training=TRAINING)
    train(group, tiny_model_directory)
    model = load_model(tiny_model_directory).requires_grad_(requires_grad=True)
    losses = train_plainly(model, FULL, list(group.train_rows[0]), TRAINING)
    assert_same_way(group, 0, losses, model)


def test_full_finetuning_in_bfloat16_goes_the_way_of_float32_parameters_rounded_in_every_pass(
    tiny_model_directory: Path, make_group: MakeGroup
):
    training = replace(TRAINING, dtype="bfloat16", accumulation=1, weight_decay=0.0)
    arm = replace(FULL, learning_rate=1e-4)  # below the last bit of most weights, near 0.2
    group = make_group([arm], training=training)
    trainee = train(group, tiny_model_directory)
    model = load_model(tiny_model_directory, torch.bfloat16).float()
    start = flatten(model.parameters())
    rounded = RoundedModel(model, tiny_model_directory)
    losses = train_plainly(rounded, arm, list(group.train_rows[0]), training)
    assert [r.loss for r in read_steps(group, 0)] == pytest.approx(losses, rel=1e-3)
    way, ours = flatten(model.parameters()) - start, flatten(trainee.tensors[0]) - start
    assert (ours - way).norm() < 0.1 * way.norm()
    assert 1e-3 < way.abs().max() < 1e-2
    assert {parameter.dtype for parameter in trainee.model.parameters()} == {torch.bfloat16}


def flatten(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Put all entries into one row."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


class RoundedModel(torch.nn.Module):
    """A model whose float32 parameters are rounded to bfloat16 wherever they are used."""

    def __init__(self, model: PreTrainedModel, directory: Path) -> None:
        super().__init__()
        self.model = model.requires_grad_(requires_grad=True)
        self.rounded = [load_model(directory, torch.bfloat16)]  # in a list: its own are not trained

    def forward(self, **inputs):
        """Run the bfloat16 model with the rounded parameters."""
        parameters = {n: p.bfloat16() for n, p in self.model.named_parameters()}
        return torch.func.functional_call(self.rounded[0], parameters, kwargs=inputs)


def test_an_arm_in_bfloat16_learns_what_it_learns_in_float32_up_to_rounding(
    tiny_model_directory: Path, make_group: MakeGroup, arms: list[Arm]
):
    exact = make_group(arms, "exact", TRAINING)
    rounded = make_group(arms, "rounded", replace(TRAINING, dtype="bfloat16"))
    train(exact, tiny_model_directory)
    trainee = train(rounded, tiny_model_directory)
    assert {tensor.dtype for own in trainee.tensors for tensor in own} == {torch.float32}
    for index in range(len(arms)):
        losses, others = read_losses(exact, index), read_losses(rounded, index)
        assert [r.loss for r in others] == pytest.approx([r.loss for r in losses], rel=0.03)
        assert [r.loss for r in others] != [r.loss for r in losses]
        # What was measured is what PEFT's model in bfloat16 gives.
        model = PeftModel.from_pretrained(
            load_model(tiny_model_directory, torch.bfloat16),
            rounded.files[index].checkpoint(TRAINING.steps),
        )
        for record, held_out in zip(others[-2:], rounded.held_out, strict=True):
            expected = loss_by_transformers(model, list(held_out.rows)).item()
            assert record.loss == pytest.approx(expected, rel=0.01)


def test_training_in_bfloat16_resumes_bit_for_bit(
    tiny_model_directory: Path, make_group: MakeGroup, arms: list[Arm]
):
    training = replace(SHORT, dtype="bfloat16")
    for name, own in (("full", [FULL]), ("lora", arms)):
        whole = make_group(own, f"whole-{name}", training)
        train(whole, tiny_model_directory)
        with pytest.raises(Interrupted):
            train(make_group(own, name, training), tiny_model_directory, interrupt_after(5))
        parts = make_group(own, name, training)
        train(parts, tiny_model_directory)
        for got, expected in zip(parts.files, whole.files, strict=True):
            assert read_all(got) == read_all(expected)


class Interrupted(Exception):
    """Stands for whatever ends a process."""


def interrupt_after(steps: int) -> Callable[[int], None]:
    """Make a progress callback that ends the training after so many steps."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if done == steps:
            raise Interrupted

    return advance


@pytest.mark.parametrize("stops", [(2,), (4,), (8,), (5, 7)])
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(
    tiny_model_directory: Path,
    make_group: MakeGroup,
    arms: list[Arm],
    undisturbed: list[dict[str, bytes]],
    stops: tuple[int, ...],
):
    for stop in stops:
        with pytest.raises(Interrupted):
            train(make_group(arms), tiny_model_directory, interrupt_after(stop))
    group = make_group(arms)
    train(group, tiny_model_directory)
    assert [read_all(files) for files in group.files] == undisturbed
    # Two files of records, and three checkpoints of two files.
    assert [len(files) for files in undisturbed] == [8, 8, 8]


def test_full_finetuning_resumes_bit_for_bit_too(tiny_model_directory: Path, make_group: MakeGroup):
    whole, parts = make_group([FULL], "whole"), make_group([FULL], "parts")
    train(whole, tiny_model_directory)
    with pytest.raises(Interrupted):
        train(parts, tiny_model_directory, interrupt_after(4))
    train(make_group([FULL], "parts"), tiny_model_directory)
    assert read_all(parts.files[0]) == read_all(whole.files[0])


def test_padded_rows_are_zero_before_and_after_training(
    tiny_model_directory: Path, make_group: MakeGroup, arms: list[Arm]
):
    trainee = train(make_group(arms), tiny_model_directory)
    for layer in trainee.layers:
        ends = [(segment.stop, segment.padded_stop) for segment in layer.segments]
        assert ends == [(1, 8), (12, 16), (56, 56)]
        for flat in (layer.lora_A, layer.lora_B):
            assert not flat[1:8].any()
            assert not flat[12:16].any()
            assert flat[8:12].all()


def test_a_resumed_group_says_how_many_steps_were_done_before(
    tiny_model_directory: Path, make_group: MakeGroup, arms: list[Arm]
):
    with pytest.raises(Interrupted):
        train(make_group(arms), tiny_model_directory, interrupt_after(5))
    seen: list[int] = []
    train(make_group(arms), tiny_model_directory, seen.append)
    assert seen == [4, 1, 1, 1, 1]


def test_a_base_with_dropout_is_trained_without_it(
    tiny_model_directory: Path,
    tmp_path: Path,
    make_group: MakeGroup,
    arms: list[Arm],
    undisturbed: list[dict[str, bytes]],
):
    copied = Path(shutil.copytree(tiny_model_directory, tmp_path / "dropout"))
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.5}))
    group = make_group(arms)
    train(group, copied)
    assert [read_all(files) for files in group.files] == undisturbed


@pytest.mark.parametrize("lost", [".", "steps.jsonl", "held_out.jsonl", "a line of each"])
def test_a_group_that_lost_records_of_an_arm_starts_again(
    tiny_model_directory: Path,
    make_group: MakeGroup,
    arms: list[Arm],
    undisturbed: list[dict[str, bytes]],
    lost: str,
):
    with pytest.raises(Interrupted):
        train(make_group(arms), tiny_model_directory, interrupt_after(4))
    group = make_group(arms)
    files = group.files[1]
    if lost == ".":
        shutil.rmtree(files.directory)
    elif lost == "a line of each":
        for path in (files.steps_path, files.held_out_path):
            path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    else:
        (files.directory / lost).unlink()
    train(group, tiny_model_directory)
    assert [read_all(files) for files in group.files] == undisturbed


def test_a_state_that_was_cut_is_refused_by_name(
    tiny_model_directory: Path, make_group: MakeGroup, arms: list[Arm]
):
    group = make_group(arms)
    with pytest.raises(Interrupted):
        train(group, tiny_model_directory, interrupt_after(4))
    state = group.state_folder / STATE
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(UserError) as caught:
        train(make_group(arms), tiny_model_directory)
    assert str(caught.value) == (
        f"{state}: not a whole safetensors file, it was cut or edited; "
        "remove it and run the study again"
    )


def test_an_arm_that_diverges_stops_alone_and_its_neighbours_do_not_notice(
    tiny_model_directory: Path,
    make_group: MakeGroup,
    arms: list[Arm],
    undisturbed: list[dict[str, bytes]],
):
    disturbed = make_group([arms[0], replace(arms[1], learning_rate=1e30), arms[2]])
    train(disturbed, tiny_model_directory)
    for index in (0, 2):
        assert read_all(disturbed.files[index]) == undisturbed[index]
    records = read_steps(disturbed, 1)
    assert records[-1].loss is None
    assert records[-1].grad_norm is None
    assert all(record.loss is not None for record in records[:-1])
    assert len(records) == 3  # the first moves nothing, the second everything; 4 is measured next
    measured = {record.step for record in read_losses(disturbed, 1)}
    kept = {path.name for path in disturbed.files[1].directory.glob("checkpoints/*")}
    assert measured == set()
    assert kept == set()


def test_an_arm_that_stopped_stays_stopped_after_a_resume(
    tiny_model_directory: Path, make_group: MakeGroup, arms: list[Arm]
):
    wild = [arms[0], replace(arms[1], learning_rate=1e30), arms[2]]
    whole, parts = make_group(wild, "whole"), make_group(wild, "parts")
    train(whole, tiny_model_directory)
    with pytest.raises(Interrupted):
        train(parts, tiny_model_directory, interrupt_after(7))
    train(make_group(wild, "parts"), tiny_model_directory)
    for expected, got in zip(whole.files, parts.files, strict=True):
        assert read_all(got) == read_all(expected)


def test_an_arm_whose_held_out_loss_is_not_finite_is_stopped_at_that_checkpoint(
    tiny_model_directory: Path, make_group: MakeGroup, make_arm
):
    # The only update is the last, so that no training loss can tell.
    training = Training(steps=2, checkpoints=(1, 2), rows_per_step=4, warmup_steps=1)
    group = make_group([make_arm(2, 1e30), make_arm(2, 1e-2)], training=training)
    train(group, tiny_model_directory)
    assert [record.loss is None for record in read_steps(group, 0)] == [False, True]
    assert [record.loss is None for record in read_steps(group, 1)] == [False, False]
    assert {record.step for record in read_losses(group, 0)} == {1}
    assert {record.step for record in read_losses(group, 1)} == {1, 2}
    assert not group.files[0].checkpoint(2).exists()
    assert group.files[1].checkpoint(2).exists()


def test_other_tokens_in_a_neighbours_rows_change_no_bit_of_an_arm(
    tiny_model_directory: Path,
    make_group: MakeGroup,
    arms: list[Arm],
    undisturbed: list[dict[str, bytes]],
):
    group = make_group(arms)
    rows = group.train_rows[1]
    group.train_rows[1] = [replace(row, token_ids=row.token_ids[::-1]) for row in rows]
    train(group, tiny_model_directory)
    got = [read_all(files) for files in group.files]
    assert [a == b for a, b in zip(got, undisturbed, strict=True)] == [True, False, True]


def test_an_arm_alone_learns_what_it_learns_in_a_group(
    tiny_model_directory: Path, make_group: MakeGroup, arms: list[Arm]
):
    together = make_group(arms, "together")
    train(together, tiny_model_directory)
    for index, arm in enumerate(arms):
        alone = make_group([arm], f"alone-{index}")
        train(alone, tiny_model_directory)
        for got, expected in zip(read_losses(together, index), read_losses(alone, 0), strict=True):
            assert got.loss == pytest.approx(expected.loss, rel=1e-5)
            assert replace(got, loss=0.0) == replace(expected, loss=0.0)


def test_arms_in_another_order_learn_the_same(
    tiny_model_directory: Path, make_group: MakeGroup, arms: list[Arm]
):
    order = (2, 0, 1)
    straight, mixed = make_group(arms, "straight"), make_group([arms[n] for n in order], "mixed")
    for group in (straight, mixed):
        group.arms_per_pass = 3
        train(group, tiny_model_directory)
    for place, index in enumerate(order):
        for got, expected in zip(
            read_losses(mixed, place), read_losses(straight, index), strict=True
        ):
            assert got.loss == pytest.approx(expected.loss, rel=1e-5)


def test_the_adapter_of_a_checkpoint_is_what_was_measured(
    tiny_model_directory: Path, make_group: MakeGroup, arms: list[Arm]
):
    group = make_group(arms)
    train(group, tiny_model_directory)
    for index in range(len(arms)):
        for step in SHORT.checkpoints:
            model = PeftModel.from_pretrained(
                load_model(tiny_model_directory), group.files[index].checkpoint(step)
            )
            recorded = {r.dataset: r for r in read_losses(group, index) if r.step == step}
            for held_out in group.held_out:
                expected = loss_by_transformers(model, list(held_out.rows)).item()
                record = recorded[held_out.name]
                assert record.loss == pytest.approx(expected, rel=1e-5)
                assert record.rows == len(held_out.rows)
                assert record.supervised_tokens == sum(sum(r.loss_mask) for r in held_out.rows)


def test_the_base_is_measured_as_transformers_measures_it(
    tiny_model_directory: Path, tiny_model: PreTrainedModel, make_group: MakeGroup
):
    group = make_group([Arm("base", "base")])
    measure_untrained(group, prepare_base(load_model(tiny_model_directory)))
    records = read_losses(group, 0)
    assert [(record.step, record.dataset) for record in records] == [(0, "counting"), (0, "other")]
    for record, held_out in zip(records, group.held_out, strict=True):
        expected = loss_by_transformers(tiny_model, list(held_out.rows)).item()
        assert record.loss == pytest.approx(expected, rel=1e-6)


def test_the_recorded_rates_are_the_schedules(
    tiny_model_directory: Path, make_group: MakeGroup, arms: list[Arm]
):
    group = make_group(arms)
    train(group, tiny_model_directory)
    shares = [0, 1 / 3, 2 / 3, 1, 4 / 5, 3 / 5, 2 / 5, 1 / 5]  # 3 steps up, 5 down
    for index, arm in enumerate(arms):
        expected = [share * (arm.learning_rate or 0.0) for share in shares]
        assert [r.learning_rate for r in read_steps(group, index)] == pytest.approx(expected)
