import xml.etree.ElementTree as ElementTree

import altair as alt

from rankshift.report.svg import INKS, NARROW, WIDE, Figure, paint, paint_ramp, render

HOSTILE = '</svg><script>alert("1")</script>'


def draw(tip: str = "a point") -> Figure:
    values = alt.Data(values=[{"x": 1, "y": 2, "tip": tip}, {"x": 2, "y": 3, "tip": tip}])

    def build(width: int) -> alt.Chart:
        chart = alt.Chart(values).encode(alt.X("x:Q"), alt.Y("y:Q"), description="tip:N")
        return chart.mark_point(color=paint("task"), fill=paint_ramp(0.25)).properties(
            width=width, height=50
        )

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
