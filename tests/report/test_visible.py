import sys

import pytest

from rankshift.report.visible import INVISIBLE, SPACES, is_hidden, reveal


def test_every_control_and_format_character_of_unicode_is_written_out():
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if is_hidden(character):
            assert reveal(character) == f"[U+{number:04X}]"


def test_text_that_can_be_seen_stays():
    seen = (
        "\u00fc \u05e2\u05d1\u05e8 \u0627\u0644 \u4e2d\u6587 \U0001f600 e\u0301 \u2764\ufe0f \u00a0"
    )
    assert reveal(seen + SPACES) == seen + SPACES


@pytest.mark.parametrize("character", ["\u200b", "\u202e", "\u2066", "\ufeff", "\u3164", "\u2028"])
def test_what_hides_or_turns_words_is_written_out(character: str):
    assert reveal(f"a{character}b") == f"a[U+{ord(character):04X}]b"


def test_the_letters_that_show_nothing_are_found_by_their_ranges():
    assert "\u180b-\u180f" in INVISIBLE
    assert reveal("\u180c\U000e0101") == "[U+180C][U+E0101]"
