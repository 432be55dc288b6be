import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rankshift.model.operations import count_base, count_dense, count_step, count_thin

WIDTHS = (24, 40)
TOKENS, RANK = 32, 6


@pytest.mark.parametrize("trains_a", [True, False])
def test_the_thin_products_are_counted_as_torch_counts_them(trains_a: bool):
    d_in, d_out = WIDTHS
    x = torch.randn(TOKENS, d_in, requires_grad=True)
    weight = torch.randn(d_out, d_in)
    lora_A = torch.randn(RANK, d_in, requires_grad=trains_a)
    lora_B = torch.randn(d_out, RANK, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        (x @ weight.T + (x @ lora_A.T) @ lora_B.T).sum().backward()
    expected = count_base(WIDTHS, TOKENS) + count_thin(WIDTHS, TOKENS, RANK, trains_a)
    assert counter.get_total_flops() == expected


@pytest.mark.parametrize("trains_a", [True, False])
def test_the_dense_product_is_counted_as_torch_counts_it(trains_a: bool):
    d_in, d_out = WIDTHS
    x = torch.randn(TOKENS, d_in, requires_grad=True)
    weight = torch.randn(d_out, d_in)
    lora_A = torch.randn(RANK, d_in, requires_grad=trains_a)
    lora_B = torch.randn(d_out, RANK, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        (x @ (weight + lora_B @ lora_A).T).sum().backward()
    expected = count_base(WIDTHS, TOKENS) + count_dense(WIDTHS, TOKENS, RANK, "float32", trains_a)
    assert counter.get_total_flops() == expected
    with FlopCounterMode(display=False) as counter:
        (x @ weight.T + x @ (lora_B @ lora_A).T).sum().backward()
    expected = count_base(WIDTHS, TOKENS) + count_dense(WIDTHS, TOKENS, RANK, "bfloat16", trains_a)
    assert counter.get_total_flops() == expected


@pytest.mark.parametrize(("rank", "dense"), [(2, False), (32, False), (64, True), (512, True)])
def test_for_576_tokens_and_256_features_dense_is_less_work_from_rank_64(rank: int, dense: bool):
    widths = (256, 256)
    assert (count_dense(widths, 576, rank, "float32") < count_thin(widths, 576, rank)) == dense


def test_a_step_takes_the_cheaper_way_in_every_projection():
    wide, narrow = (256, 256), (256, 8)
    assert count_step([wide, narrow], 576, 512) == (
        count_base(wide, 576)
        + count_dense(wide, 576, 512, "float32")
        + count_base(narrow, 576)
        + count_dense(narrow, 576, 512, "float32")
    )
    assert count_step([wide], 576, 2) == count_base(wide, 576) + count_thin(wide, 576, 2)
    assert count_step([], 576, 2) == 0


def test_a_frozen_first_factor_spares_its_gradient_in_a_step():
    wide = (256, 256)
    spared = count_step([wide], 576, 2) - count_step([wide], 576, 2, trains_a=False)
    assert spared == 2 * 576 * 2 * 256
