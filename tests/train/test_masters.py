import torch
from torch import nn

from rankshift.train.masters import Masters


def make_layer() -> nn.Linear:
    """Make a bfloat16 layer with weights that it holds exactly."""
    layer = nn.Linear(4, 3, bias=False, dtype=torch.bfloat16)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(12).view(3, 4) / 8)
    return layer


def test_masters_start_as_the_parameters_and_in_memory_of_their_own():
    layer = make_layer()
    masters = Masters(layer)
    assert masters.tensors["weight"].dtype == torch.float32
    assert torch.equal(masters.tensors["weight"], layer.weight.float())
    masters.tensors["weight"].data.add_(1)
    assert torch.equal(layer.weight.float(), torch.arange(12).view(3, 4) / 8)


def test_gradients_of_micro_batches_add_up_in_float32():
    layer = make_layer()
    master = Masters(layer).tensors["weight"]
    for size in (256.0, 1.0):  # their sum needs nine bits, one more than bfloat16 has
        (layer(torch.full((1, 4), size, dtype=torch.bfloat16))).sum().backward()
        assert layer.weight.grad is None
    assert master.grad is not None
    assert master.grad.eq(257).all()


def test_updates_below_a_weights_last_bit_add_up():
    layer = make_layer()
    masters = Masters(layer)
    quarter_bit = 2.0**-10  # of the weight 0.5, whose last bit is 2**-8
    lost = torch.tensor(0.5, dtype=torch.bfloat16) + quarter_bit
    assert lost == 0.5
    for _ in range(3):
        with torch.no_grad():
            masters.tensors["weight"] += quarter_bit
        masters.update_model()
    assert layer.weight[1, 0] == 0.5 + 2.0**-8
    assert torch.equal(layer.weight, masters.tensors["weight"].bfloat16())


def test_what_is_taken_up_is_in_the_model_too():
    layer = make_layer()
    masters = Masters(layer)
    wanted = torch.full((3, 4), 0.1)
    masters.take_up({"weight": wanted})
    assert torch.equal(masters.tensors["weight"], wanted)
    assert torch.equal(layer.weight, wanted.bfloat16())
