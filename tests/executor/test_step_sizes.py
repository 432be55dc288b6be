import pytest

from rankshift.executor.step_sizes import list_step_sizes, warn_of_confound
from rankshift.grid import Grid

RANKS = (512, 2, 16)


def grid(**changes) -> Grid:
    fixed = {"ranks": RANKS, "seeds": (1,), "scalings": ("alpha/rank",), "alphas": (16.0,)}
    return Grid(**(fixed | changes))


@pytest.mark.parametrize(
    ("scaling", "alpha", "growth"),
    [
        ("alpha/rank", 16.0, 1),
        ("alpha/sqrt(rank)", 16.0, 16),
        ("alpha/rank", "2r", 256),
        ("alpha/sqrt(rank)", "2r", 4096),
    ],
)
def test_from_rank_2_to_512_u_grows_as_scale_times_rank_does(scaling, alpha, growth: int):
    (sizes,) = list_step_sizes(grid(scalings=(scaling,), alphas=(alpha,), learning_rates=(1e-3,)))
    assert list(sizes.by_rank) == [2, 16, 512]
    assert sizes.growth == pytest.approx(growth)
    assert sizes.moves_with_rank == (growth > 1)
    assert (warn_of_confound([sizes]) is None) == (growth == 1)


def test_the_warning_is_one_line_on_the_setting_in_which_u_moves_most():
    both = grid(scalings=("alpha/rank", "alpha/sqrt(rank)"), alphas=("2r",), learning_rates=(1e-3,))
    warning = warn_of_confound(list_step_sizes(both))
    assert warning == (
        "rank and step size move together: with alpha 2r and alpha/sqrt(rank), u goes from "
        "0.00565685 at rank 2 to 23.1705 at rank 512; `us` in place of `learning_rates` in [grid] "
        "holds it"
    )


def test_a_grid_of_step_sizes_moves_none_of_them():
    found = list(list_step_sizes(grid(scalings=("alpha/sqrt(rank)",), us=(0.064, 1.0))))
    assert [sizes.summary for sizes in found] == [
        "alpha 16, alpha/sqrt(rank): 0.064 at every rank",
        "alpha 16, alpha/sqrt(rank): 1 at every rank",
    ]
    assert warn_of_confound(found) is None


def test_a_summary_tells_u_at_every_rank_where_it_moves():
    (sizes,) = list_step_sizes(grid(alphas=("2r",), learning_rates=(1e-3,)))
    assert sizes.summary == (
        "alpha 2r, alpha/rank, learning rate 0.001: 0.004 at rank 2, 0.032 at rank 16, "
        "1.024 at rank 512"
    )


def test_without_ranks_there_is_no_step_size():
    assert list(list_step_sizes(grid(ranks=(), learning_rates=(1e-3,)))) == []
