"""How many floating-point operations an arm's products take: for choosing forms and planning.

A multiplication and an addition are two. T tokens of one arm go through a frozen projection of
K to N features with an adapter of rank r.
"""

from collections.abc import Iterable
from typing import Literal

DTypeName = Literal["float32", "bfloat16", "float64"]
Widths = tuple[int, int]
"""K and N of a projection."""


def count_base(widths: Widths, tokens: int) -> int:
    """Count the frozen product and the gradient of its input: 4 T K N."""
    return 4 * tokens * widths[0] * widths[1]


def count_thin(widths: Widths, tokens: int, rank: int, trains_a: bool = True) -> int:
    """Count the thin products with A and B, on top of the base's: 6 T r (K + N).

    Where A stays as it is its gradient, 2 T r K, is not computed.
    """
    spared = 0 if trains_a else 2 * tokens * rank * widths[0]
    return 6 * tokens * rank * sum(widths) - spared


def count_dense(
    widths: Widths, tokens: int, rank: int, dtype: DTypeName, trains_a: bool = True
) -> int:
    """Count the same by way of s B A: 6 K r N + 2 T K N.

    Forming it and taking the factors' gradients from its own is 6 K r N, its own gradient 2 T K N.
    In bfloat16, where s B A stays apart from W, its products with x and with the gradient of y are
    4 T K N more. Where A stays as it is 2 K r N are spared.
    """
    both = widths[0] * widths[1]
    products = 6 if trains_a else 4
    return products * rank * both + (6 if dtype == "bfloat16" else 2) * tokens * both


def count_step(
    projections: Iterable[Widths],
    tokens: int,
    rank: int,
    dtype: DTypeName = "float32",
    trains_a: bool = True,
) -> int:
    """Count a forward and backward pass of one arm through all adapted projections.

    Attention, head and optimizer are left out: they are the same for every rank or small.
    """
    return sum(
        count_base(widths, tokens)
        + min(
            count_thin(widths, tokens, rank, trains_a),
            count_dense(widths, tokens, rank, dtype, trains_a),
        )
        for widths in projections
    )
