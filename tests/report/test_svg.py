import re
import xml.etree.ElementTree as ElementTree

import altair as alt

from rankshift.report.svg import (
    INKS,
    NARROW,
    WIDE,
    Figure,
    Spec,
    hold,
    layer,
    make_png,
    paint,
    paint_ramp,
    render,
    stand_alone,
)

HOSTILE = '</svg><script>alert("1")</script>'


def draw(tip: str = "a point") -> Figure:
    values = hold([{"x": 1, "y": 2, "tip": tip}, {"x": 2, "y": 3, "tip": tip}])

    def build(width: int) -> Spec:
        chart = alt.Chart(values).encode(alt.X("x:Q"), alt.Y("y:Q"), description="tip:N")
        points = chart.mark_point(color=paint("task"), fill=paint_ramp(0.25))
        return layer(points) | {"width": width, "height": 50}

    return render(build, f"Two points {HOSTILE}")


def test_a_chart_takes_its_colours_from_the_page():
    assert 'stroke="var(--task)"' in draw().wide
    assert 'fill="color-mix(in oklab, var(--ramp-last) 25%, var(--ramp-first))"' in draw().wide
    assert paint("task") not in draw().wide


def test_every_colour_has_a_placeholder_of_its_own():
    ramp = {paint_ramp(percent / 100) for percent in range(101)}
    assert len(ramp | {paint(ink) for ink in INKS}) == 101 + len(INKS)


def test_a_chart_is_laid_out_for_both_widths():
    wide, narrow = (ElementTree.fromstring(svg) for svg in (draw().wide, draw().narrow))
    assert float(wide.attrib["width"]) - float(narrow.attrib["width"]) == WIDE - NARROW


def test_a_chart_has_a_text_alternative_and_its_marks_have_titles():
    root = ElementTree.fromstring(draw().wide)
    assert (root.attrib["role"], root.attrib["aria-label"]) == ("img", f"Two points {HOSTILE}")
    titles = [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["a point", "a point"]


def test_hostile_names_stay_text():
    svg = draw(tip=HOSTILE).wide
    assert "<script" not in svg
    assert svg.count("</svg>") == 1
    root = ElementTree.fromstring(svg)
    assert [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")] == [HOSTILE] * 2


def test_what_is_invisible_in_a_name_is_written_out():
    titles = [
        e.text
        for e in ElementTree.fromstring(draw(tip="a\u202eb").wide).iter(
            "{http://www.w3.org/2000/svg}title"
        )
    ]
    assert titles == ["a[U+202E]b"] * 2


def test_a_chart_that_stands_alone_has_colours_of_its_own_and_a_ground():
    alone = stand_alone(draw().wide)
    assert not re.search(r"var\(|color-mix", alone)
    assert 'stroke="#c2410c"' in alone
    assert '<rect width="100%" height="100%" fill="#ffffff"' in alone
    ElementTree.fromstring(alone)


def test_a_png_is_twice_as_wide_as_its_chart_and_the_same_every_time():
    alone = stand_alone(draw().wide)
    png = make_png(alone)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width = float(ElementTree.fromstring(alone).attrib["width"])
    assert abs(int.from_bytes(png[16:20], "big") - 2 * width) <= 2
    assert make_png(alone) == png
