"""The page's colours as numbers, for charts that stand alone: those of its light scheme."""

import re
from functools import cache
from pathlib import Path

Rgb = tuple[float, float, float]

STYLE = Path(__file__).parent / "page.css"

# Ottosson 2020, "A perceptual color space for image processing": linear sRGB to cone responses, and
# the cube roots of those to Oklab.
_TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_OKLAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
_FROM_OKLAB = (
    (1.0, 0.3963377774, 0.2158037573),
    (1.0, -0.1055613458, -0.0638541728),
    (1.0, -0.0894841775, -1.2914855480),
)
_FROM_CONES = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)


@cache
def read_palette() -> dict[str, str]:
    """Give the light scheme's CSS variables that are colours: name to `#rrggbb`."""
    first_block = STYLE.read_text(encoding="utf-8").split("}", 1)[0]
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", first_block))


def mix(first: str, last: str, share: float) -> str:
    """Mix two colours as CSS `color-mix(in oklab, ...)` does; share 0..1 is of the last."""
    start, end = _to_oklab(first), _to_oklab(last)
    return _from_oklab(tuple(a + share * (b - a) for a, b in zip(start, end, strict=True)))  # type: ignore[arg-type]


def _to_oklab(colour: str) -> Rgb:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    cones = _apply(_TO_CONES, linear)
    return _apply(_TO_OKLAB, [cone ** (1 / 3) for cone in cones])


def _from_oklab(colour: Rgb) -> str:
    cones = [root**3 for root in _apply(_FROM_OKLAB, colour)]
    linear = [min(max(c, 0.0), 1.0) for c in _apply(_FROM_CONES, cones)]
    channels = [12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055 for c in linear]
    return "#" + "".join(f"{round(255 * c):02x}" for c in channels)


def _apply(matrix: tuple[Rgb, Rgb, Rgb], vector: Rgb | list[float]) -> Rgb:
    rows = [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]
    return rows[0], rows[1], rows[2]
