"""Text for Markdown, escaped unless it says that it is Markdown already.

Names of studies, datasets, questions and judges come from files that strangers write.
"""

import re
import unicodedata

TAME = re.compile(r"[\w .,:/=+()%@-]+")
"""Between backticks none of these means anything in CommonMark, in GitHub's tables or in HTML."""

LONGEST = 200
"""Characters of a name that are kept."""

NOTHING = "\N{EN DASH}"


class Markdown(str):
    """Text that is Markdown already: not to be escaped again."""

    __slots__ = ()


def to_markdown(value: object) -> str:
    """Write a value of a template: Markdown and numbers as they are, all other text escaped."""
    if value is None:
        return NOTHING
    if isinstance(value, Markdown | int | float):
        return str(value)
    assert isinstance(value, str), type(value)
    return code_span(value)


def code_span(text: str) -> Markdown:
    """Write text in code type on one line, so that it says what it says and does nothing.

    Tame text goes between backticks. In other text every sign becomes a character reference, which
    CommonMark never takes for structure (spec 0.31, section 2.5), a table's bar and a backtick
    included.
    """
    line = clean_line(text)
    if not line:
        return Markdown(NOTHING)
    if TAME.fullmatch(line):
        return Markdown(f"`{line}`")
    letters = (c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in line)
    return Markdown(f"<code>{''.join(letters)}</code>")


def clean_line(text: str) -> str:
    """Give text as one line: breaks, control and invisible signs become spaces, long text ends."""
    visible = (" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    line = " ".join("".join(visible).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def fence(code: str, language: str) -> Markdown:
    """Put code into a block that nothing within it can close."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    marks = "`" * max(3, longest + 1)
    return Markdown(f"{marks}{language}\n{code.rstrip()}\n{marks}")
