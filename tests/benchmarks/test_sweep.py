"""Both sides of a benchmark are given the same work."""

import pytest

from benchmarks.sweep import ROW_TOKENS, Sweep, build_trainee, cut_rows, make_sweep
from rankshift.data.batches import draw_rows
from rankshift.data.rendering import Rendered


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Sweep:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANKSHIFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return make_sweep((2, 4), 3, tmp_path_factory.mktemp("sweep"))


def test_every_row_has_one_length_and_some_loss(sweep):
    assert {len(row.token_ids) for row in sweep.rows + sweep.held_out} == {ROW_TOKENS}
    assert all(any(row.loss_mask) for row in sweep.rows + sweep.held_out)


def test_no_row_is_trained_on_and_held_out(sweep):
    assert not {row.row for row in sweep.rows} & {row.row for row in sweep.held_out}


def test_a_row_that_is_short_or_without_loss_is_left_out():
    kept = Rendered((1, 2, 3, 4), (False, False, True, True), 1)
    short = Rendered((1, 2), (False, True), 2)
    late = Rendered((1, 2, 3, 4), (False, False, False, True), 3)
    assert cut_rows((kept, short, late), 3) == (Rendered((1, 2, 3), (False, False, True), 1),)


def test_the_peer_is_given_the_rows_in_the_order_in_which_our_arms_draw_them(sweep):
    drawn = draw_rows(len(sweep.rows), 16, 3, seed=1)
    ordered = sweep.ordered_rows()
    assert [row.row for row in ordered[16:32]] == [sweep.rows[n].row for n in drawn[1]]
    assert len(ordered) == 48


def test_both_sides_start_from_the_adapters_that_our_engine_draws(sweep, tmp_path):
    # Alone in a process, or with other arms: what our side trains is what the peer is given.
    arm = sweep.arms[1]
    build_trainee(sweep, (arm,), "fp32").write(tmp_path, 0)
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / file).read_bytes() == (sweep.first_adapter(arm) / file).read_bytes()
