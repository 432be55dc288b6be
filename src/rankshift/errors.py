"""What is said to a user, in one line: what is wrong, where, and the fix."""


class UserError(ValueError):
    """Something a user wrote cannot be done (exit code 2).

    The message is one line that names the file and line or key, the value it met and the nearest
    value that would work.
    """

    def __init__(self, message: str) -> None:
        super().__init__(join_lines(message))


class WorkError(RuntimeError):
    """Something that was rightly asked for failed (exit code 1); what was finished is kept."""

    def __init__(self, message: str) -> None:
        super().__init__(join_lines(message))


def join_lines(message: str) -> str:
    """Make one line of a message: what it repeats of a file may have breaks of its own."""
    return " ".join(message.splitlines())
