"""What is recorded of an arm's weights themselves, beside what they do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UpdateRecord:
    """How large the update of one arm is at one checkpoint, and over how many directions it runs.

    The update of a layer is the difference of its weight from the base's: of an adapter s B A.
    Norms are Frobenius norms over the base's linear layers, the output head aside; docs/method.md
    defines each number.
    """

    step: int
    norm: float
    """Over all adapted layers; of a full finetune over all linear layers."""
    relative_norm: float
    """Out of the same layers' norm in the base."""
    a_movement: float | None
    """Norm of the change of A since it was drawn, out of that of A as drawn; None without an A of
    the arm's own."""
    stable_rank: float | None
    """None where nothing changed, as the next."""
    effective_rank: float | None
    elsewhere: float
    """Share of the squared norm of the whole update that is not in linear layers, 0..1: embeddings,
    norms, biases, the output head."""
