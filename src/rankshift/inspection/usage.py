"""What a user got wrong, told Inspect's way: one line and no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from inspect_ai._util.error import PrerequisiteError  # it has no public place
from rich.markup import escape

from rankshift.errors import UserError
from rankshift.eval.asking import JudgeRefusal


@contextmanager
def as_prerequisite() -> Iterator[None]:
    """Turn our errors into the one that Inspect prints and ends on.

    Raises:
        PrerequisiteError: For a UserError, and for a judge that takes no call at all.
    """
    try:
        yield
    except (UserError, JudgeRefusal) as error:
        raise PrerequisiteError(escape(f"rankshift: {error}")) from None
