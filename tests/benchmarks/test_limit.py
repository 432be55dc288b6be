"""The arithmetic limit, against counts worked out by hand."""

from dataclasses import replace

import pytest

from benchmarks.limit import (
    Shape,
    adapter_operations,
    base_operations,
    count_operations,
    find_shapes,
    head_operations,
)
from benchmarks.sweep import make_arm, make_sweep
from rankshift.organism.shelf import base_directory

SHAPE = Shape(256, 640, sends_gradient=True)


def test_a_base_costs_four_operations_a_parameter_and_token():
    assert base_operations([SHAPE], 576) == 4 * 256 * 640 * 576


def test_a_layer_that_reads_the_embeddings_sends_no_gradient_back():
    assert base_operations([Shape(256, 256, sends_gradient=False)], 10) == 2 * 256 * 256 * 10


def test_a_small_rank_is_cheapest_by_its_factors():
    # forward 2 T r (K + N), backward twice that
    assert adapter_operations([SHAPE], 576, 8) == 6 * 576 * 8 * (256 + 640)


def test_a_large_rank_is_cheapest_merged_into_the_weight():
    # s B A, dA and dB at 2 r K N each, and dW at 2 T K N
    expected = 6 * 512 * 256 * 640 + 2 * 576 * 256 * 640
    assert adapter_operations([SHAPE], 576, 512) == expected
    assert expected < 6 * 576 * 512 * (256 + 640)


def test_an_embedding_reader_lacks_one_product_of_each_form():
    first = Shape(256, 256, sends_gradient=False)
    # Thin: five products of six. Dense: the base's dx is not the adapter's to begin with.
    assert adapter_operations([first], 576, 8) == 5 * (2 * 576 * 8 * 256)
    assert adapter_operations([first], 576, 512) == 6 * 512 * 256 * 256 + 2 * 576 * 256 * 256


def test_in_bfloat16_the_update_stays_apart_from_the_weight_and_costs_its_own_products():
    forming, gradient = 6 * 512 * 256 * 256, 2 * 576 * 256 * 256
    layer = Shape(256, 256, sends_gradient=True)
    assert adapter_operations([layer], 576, 512, "bfloat16") == forming + 3 * gradient
    first = Shape(256, 256, sends_gradient=False)
    assert adapter_operations([first], 576, 512, "bfloat16") == forming + 2 * gradient


def test_a_sweep_costs_what_its_arms_cost_each(tmp_path, monkeypatch):
    monkeypatch.setenv("RANKSHIFT_CACHE", str(tmp_path / "cache"))
    sweep = make_sweep((2,), 2, tmp_path)
    one = count_operations(sweep, "float32")
    both = count_operations(replace(sweep, arms=(make_arm(2), make_arm(64))), "float32")
    shapes = find_shapes(sweep.base)
    assert one.base == base_operations(shapes, 16 * 36)
    assert (both.base, both.head) == (2 * one.base, 2 * one.head)
    assert both.adapters == sum(adapter_operations(shapes, 16 * 36, rank) for rank in (2, 64))
    assert both.total == both.base + both.adapters + both.head


def test_the_head_costs_its_logits_and_their_gradient():
    assert head_operations(300, 256, 1536) == 2 * (2 * 300 * 256 * 1536)


def test_the_organism_has_28_projections_of_which_three_send_no_gradient():
    shapes = find_shapes(base_directory())
    assert len(shapes) == 28
    assert [shape.sends_gradient for shape in shapes] == [False] * 3 + [True] * 25
    assert sum(s.d_in * s.d_out for s in shapes) == 4 * (4 * 256 * 256 + 3 * 256 * 640)


@pytest.mark.parametrize("rank", [1, 32, 64, 128])
def test_the_cheaper_form_is_never_dearer_than_either(rank):
    both = 6 * 576 * rank * (256 + 640), 6 * rank * 256 * 640 + 2 * 576 * 256 * 640
    assert adapter_operations([SHAPE], 576, rank) == min(both)
