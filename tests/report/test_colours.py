import pytest

from rankshift.report.colours import STYLE, mix, read_palette
from rankshift.report.svg import INKS


def test_every_ink_of_a_chart_is_a_colour_of_the_pages_light_scheme():
    palette = read_palette()
    assert {*INKS, "ramp-first", "ramp-last"} <= palette.keys()
    light = STYLE.read_text(encoding="utf-8").index(palette["task"])
    assert light < STYLE.read_text(encoding="utf-8").index("prefers-color-scheme: dark")


@pytest.mark.parametrize("colour", ["#000000", "#ffffff", "#d97706", "#3f2b8c", "#00ff00"])
def test_a_colour_mixed_with_itself_is_itself(colour: str):
    assert mix(colour, colour, 0.3) == colour
    assert mix(colour, "#123456", 0.0) == colour
    assert mix("#123456", colour, 1.0) == colour


def test_red_and_blue_mix_as_browsers_mix_them():
    # Chromium: color-mix(in oklab, red, blue) is oklab(0.539985 0.0962 -0.0928), rgb(140 83 162).
    assert mix("#ff0000", "#0000ff", 0.5) == "#8c53a2"
