"""Characters that show nothing, or turn what is around them, become marks that can be seen.

Whoever wrote an answer could else hide words in it, or make a reader see them in another order
(Boucher and Anderson 2021, "Trojan Source", arXiv:2111.00169).
"""

import re
import unicodedata

SPACES = "\t\n"
"""Control characters that a reader expects."""

INVISIBLE = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2028\u2029\u3164\ufe00-\ufe0e\uffa0"
    "\U000e0100-\U000e01ef"
)
"""Invisible and of no control category: joiners, fillers, separators, variation selectors but for
U+FE0F, which every emoji may carry."""

CONTROLS = (
    "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
"""Unicode's controls and formats, but for tab and newline."""

_SEARCH = re.compile(f"[{CONTROLS}{INVISIBLE}]")


def reveal(text: str) -> str:
    """Write invisible characters as `[U+202E]`; tabs and ends of lines stay."""
    return _SEARCH.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def is_hidden(character: str) -> bool:
    """Say whether Unicode holds a character for a control or a format, but for tab and newline.

    Categories Cc and Cf of the Unicode Character Database, as Python's `unicodedata` has it; what
    `reveal` finds is at least these.
    """
    return unicodedata.category(character) in ("Cc", "Cf") and character not in SPACES
