"""A chart as inline SVG that takes its colours from the page, so light and dark both fit.

Vega knows colours as numbers only. Charts are drawn with placeholder colours, and each placeholder
then becomes the page's own CSS variable. No script is left in a chart.
"""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from rankshift.report.colours import mix, read_palette
from rankshift.report.visible import reveal

WIDE, NARROW = 860, 340
"""Widths in CSS pixels for which every chart is laid out: a desktop's and a phone's."""

NAMESPACE = "http://www.w3.org/2000/svg"
INKS = (
    *("ink", "muted", "grid", "paper", "task", "twin"),
    *("aligned", "misaligned", "incoherent", "refusal", "code", "unscored"),
)
"""CSS variables of the page that charts may use."""

GUIDES = ("axis", "title")
"""What Vega describes besides marks; a reader sees those words already."""

FONT = "system-ui, sans-serif"


Spec = dict[str, Any]
"""A chart as Vega-Lite's JSON."""


@dataclass(frozen=True)
class Figure:
    """One chart for two widths, and its text alternative."""

    wide: str
    narrow: str
    description: str


def paint(ink: str) -> str:
    """Give the placeholder of one of the page's colours."""
    return f"#0100{INKS.index(ink):02x}"


def paint_ramp(position: float) -> str:
    """Give the placeholder of a place on the page's ramp, 0 its first colour, 1 its last."""
    return f"#0200{round(100 * position):02x}"


def hold(values: list[dict[str, Any]]) -> alt.NamedData:
    """Give a chart its rows: as one text, for Altair copies rows with every step of a chart."""
    return alt.NamedData(name=json.dumps(values))


def write_spec(chart: alt.Chart) -> Spec:
    """Write one chart as Vega-Lite's JSON, its rows in it."""
    # Altair has checked every part as it was made; checking the whole again takes half the time.
    spec = chart.to_dict(validate=False)
    spec["data"] = {"values": json.loads(spec["data"]["name"])}
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}


def layer(*charts: alt.Chart) -> Spec:
    """Lay charts over each other. Altair's own layers copy every part at every step."""
    return {"layer": [write_spec(chart) for chart in charts]}


def render(build: Callable[[int], Spec], description: str) -> Figure:
    """Draw one chart at both widths.

    Args:
        build: Width in pixels to a chart; its colours come from `paint` and `paint_ramp`.
        description: What a reader who cannot see the chart is told.
    """
    wide, narrow = (_restyle(_draw(build(width)), description) for width in (WIDE, NARROW))
    return Figure(wide, narrow, description)


def stand_alone(svg: str) -> str:
    """Give a chart its colours as numbers and a white ground, for use outside the page."""
    palette = read_palette()
    ramp = r"color-mix\(in oklab, var\(--ramp-last\) (\d+)%, var\(--ramp-first\)\)"
    first, last = palette["ramp-first"], palette["ramp-last"]
    svg = re.sub(ramp, lambda found: mix(first, last, int(found[1]) / 100), svg)
    svg = re.sub(r"var\(--([a-z-]+)\)", lambda found: palette[found[1]], svg)
    start, end = svg.split(">", 1)
    return f'{start}><rect width="100%" height="100%" fill="#ffffff"/>{end}'


def make_png(svg: str) -> bytes:
    """Draw a chart that stands alone with two pixels for each of CSS."""
    return vl_convert.svg_to_png(svg, scale=2)


def _draw(content: Spec) -> str:
    axis = {
        "labelColor": paint("muted"),
        "labelFontSize": 12,
        "titleColor": paint("muted"),
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": paint("grid"),
        "domainColor": paint("muted"),
        "tickColor": paint("muted"),
        "labelPadding": 5,
        "titlePadding": 8,
    }
    title = {"color": paint("ink"), "fontSize": 13, "fontWeight": "normal", "anchor": "start"}
    style = {"axis": axis, "title": title, "font": FONT, "background": "transparent"}
    content = {"$schema": alt.SCHEMA_URL, "config": style | {"view": {"stroke": None}}} | content
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return vl_convert.vegalite_to_svg(content, vl_version=version)


def _restyle(svg: str, description: str) -> str:
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.fromstring(svg)
    for element in list(root.iter()):
        tip = element.attrib.pop("aria-label", None)
        kind = element.attrib.pop("aria-roledescription", "")
        is_mark = element.attrib.pop("role", None) == "graphics-symbol" and kind not in GUIDES
        element.attrib.pop("aria-hidden", None)
        if is_mark and tip:
            title = ElementTree.SubElement(element, f"{{{NAMESPACE}}}title")
            title.text = reveal(tip)
        if element.text:
            element.text = reveal(element.text)
        for name in ("fill", "stroke"):
            if name in element.attrib:
                element.set(name, _find_paint(element.attrib[name]))
    root.set("role", "img")
    root.set("aria-label", reveal(description))
    return ElementTree.tostring(root, encoding="unicode")


def _find_paint(colour: str) -> str:
    """Turn a placeholder into what the page paints; other values stay."""
    match = re.fullmatch(r"#0([12])00([0-9a-f]{2})", colour)
    if match is None:
        return colour
    number = int(match[2], 16)
    if match[1] == "1":
        return f"var(--{INKS[number]})"
    return f"color-mix(in oklab, var(--ramp-last) {number}%, var(--ramp-first))"
