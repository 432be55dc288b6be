"""How the stages tell what they are doing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Unit = Literal["steps", "answers", "calls"]
"""Arm-steps trained, arms that answered at a checkpoint, calls to judges."""


@dataclass(frozen=True)
class Watch:
    """What a stage calls as it goes."""

    begin: Callable[[Unit, int], None]
    """Called with what is to be done, once for each kind of work that there is."""
    advance: Callable[[Unit, int], None]
    """Called with how many more are done."""
    say: Callable[[str], None]
    """Called with a line on each stage."""
