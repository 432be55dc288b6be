"""Where a step's time goes: what each operation is taken for."""

import pytest
import torch

from benchmarks.profiling import KINDS, Operation, add_up, make_recorder, sort_operation
from rankshift.model.adapters import AdapterShape, LockStepLinear

RANKS, VOCABULARY = {8, 256}, 1536


def sort(name: str, *sizes: tuple[int, ...], callers: tuple[str, ...] = ()) -> str:
    return sort_operation(Operation(name, callers, sizes, 1.0), RANKS, VOCABULARY)


def test_a_product_of_tokens_and_a_weight_is_the_base_s():
    assert sort("aten::mm", (576, 256), (256, 640), (576, 640)) == "base products"
    assert sort("aten::mm", (1728, 256), (256, 640), (1728, 640)) == "base products"


@pytest.mark.parametrize("sizes", [((256, 576), (576, 256)), ((8, 576), (576, 640))])
def test_a_factor_s_gradient_is_the_adapters_even_of_a_rank_as_large_as_a_width(sizes):
    assert sort("aten::mm", *sizes) == "adapters' products"


def test_a_sum_in_place_and_a_grouped_product_are_the_adapters():
    assert sort("aten::addmm_", (576, 640), (576, 8), (8, 640)) == "adapters' products"
    assert sort("aten::addmm", (576, 8), (576, 256), (256, 8)) == "adapters' products"
    inside = ("aten::_grouped_mm", "LockStepProduct")
    assert sort("aten::mm", (576, 256), (256, 24), callers=inside) == "adapters' products"


def test_the_head_and_the_loss_have_the_vocabulary_among_their_sizes_and_so_has_the_embedding():
    assert sort("aten::mm", (300, 256), (256, VOCABULARY)) == "loss and head"
    assert sort("aten::_log_softmax", (300, VOCABULARY)) == "loss and head"
    looked_up = sort("aten::index_select", (VOCABULARY, 256), callers=("aten::embedding",))
    assert looked_up == "norms and elementwise"


def test_what_attention_calls_is_attention():
    node = "autograd::engine::evaluate_function: ScaledDotProductFlashAttentionForCpuBackward0"
    assert sort("aten::copy_", (16, 4, 36, 64), callers=(node,)) == "attention"


def test_clipping_s_norms_are_the_optimizer_s():
    assert sort("aten::_fused_adamw_") == "optimizer"
    assert sort("aten::norm", callers=("aten::_foreach_norm",)) == "optimizer"


def test_what_no_operation_took_is_python_s():
    operations = [
        Operation("aten::mm", (), ((576, 256), (256, 256)), 2e6),
        Operation("aten::mul", (), ((576, 256),), 1e6),
        Operation("LockStepProduct", (), (), 5e5),
    ]
    seen = add_up(operations, 4.0, RANKS, VOCABULARY)
    assert seen.by_kind["base products"] == 2.0
    assert seen.by_kind["norms and elementwise"] == 1.0
    assert seen.by_kind["Python and other"] == 1.0
    assert sum(seen.by_kind.values()) == 4.0
    assert tuple(seen.by_kind) == KINDS


def test_the_products_of_a_real_layer_are_told_apart_forth_and_back():
    layer = LockStepLinear(torch.nn.Linear(16, 24, bias=False), "layer", [AdapterShape(8, 1.0)] * 2)
    begin, end = make_recorder()
    begin()
    layer(torch.ones(2, 5, 16, requires_grad=True)).sum().backward()
    operations = [operation for operation in end() if "mm" in operation.name]
    kinds = [sort_operation(operation, {8}, VOCABULARY) for operation in operations]
    # y = x W^T and dx = dy W; for each of two arms two products forth and four back.
    assert kinds.count("base products") == 2
    assert kinds.count("adapters' products") == 2 * (2 + 4)
