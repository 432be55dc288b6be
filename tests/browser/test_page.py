import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from rankshift.analysis.results import summarize
from rankshift.report.page import write_page
from tests.synthetic_run import make_study, write_run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

Browser: TypeAlias = Any
Page: TypeAlias = Any
"""Playwright's own types: it is not installed where the other tests are checked."""

CHROMIUM = shutil.which(os.environ.get("CHROMIUM", "chromium"))

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: set CHROMIUM to its path"),
]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><script>document.title=1</script>"

VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]

FIND_OVERLAPS = """() => {
  const shown = [...document.querySelectorAll("header *, section > *, figure > *, nav li, label")]
    .filter((e) => !e.closest("svg") && e.checkVisibility() && e.getBoundingClientRect().height);
  const overlaps = (a, b) => {
    const [p, q] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
    return p.left < q.right - 1 && q.left < p.right - 1
      && p.top < q.bottom - 1 && q.top < p.bottom - 1;
  };
  return shown.flatMap((a, at) => shown.slice(at + 1)
    .filter((b) => !a.contains(b) && overlaps(a, b))
    .map((b) => `${a.outerHTML.slice(0, 60)} / ${b.outerHTML.slice(0, 60)}`));
}"""

FIND_OVERLAPPING_LABELS = """() => [...document.querySelectorAll("svg")]
  .filter((svg) => svg.checkVisibility())
  .flatMap((svg) => {
    const labels = [...svg.querySelectorAll("text")]
      .filter((t) => t.textContent && getComputedStyle(t).opacity !== "0"
        && t.getAttribute("opacity") !== "0");
    return labels.flatMap((a, at) => labels.slice(at + 1).filter((b) => {
      const [p, q] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
      return p.left < q.right && q.left < p.right && p.top + 2 < q.bottom && q.top + 2 < p.bottom;
    }).map((b) => `${a.textContent} / ${b.textContent}`));
  })"""


@dataclass
class Visit:
    """A page that is open in the browser, and what it said and asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("runs"), make_study((1, 2, 4, 8, 16, 64, 128, 256)))
    write_page(run, summarize(run))
    return run.report_path


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("runs"), make_study((1,), (1,)), text=HOSTILE)
    write_page(run, summarize(run))
    return run.report_path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


def visit(browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> Visit:
    size = {"width": width, "height": 900}
    page = browser.new_page(viewport=size, color_scheme=scheme)
    seen = Visit(page)
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(path.as_uri())
    return seen


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_page_opens_from_disk_without_a_request_or_a_complaint(
    browser: Browser, report: Path, width: int, scheme: str
):
    seen = visit(browser, report, width, scheme)
    assert seen.requests == [report.as_uri()]
    assert seen.complaints == []
    seen.page.close()


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_nothing_overlaps_and_nothing_is_wider_than_the_screen(
    browser: Browser, report: Path, width: int, scheme: str
):
    page = visit(browser, report, width, scheme).page
    for opened in (False, True):
        page.evaluate(
            "on => document.querySelectorAll('details').forEach((d) => { d.open = on; })", opened
        )
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(FIND_OVERLAPS) == []
        assert page.evaluate(FIND_OVERLAPPING_LABELS) == []
    page.close()


@pytest.mark.parametrize(
    ("width", "shown", "hidden"), [(1280, "wide", "narrow"), (390, "narrow", "wide")]
)
def test_one_of_the_two_layouts_of_a_chart_is_shown(
    browser: Browser, report: Path, width: int, shown: str, hidden: str
):
    page = visit(browser, report, width).page
    assert page.locator(f"#rank figure .{shown} svg").first.is_visible()
    assert not page.locator(f"#rank figure .{hidden} svg").first.is_visible()
    page.close()


def read_contrast(page: Page, selector: str) -> float:
    """Give WCAG's contrast of an element's text with the page, 1..21."""

    def luminance(colour: str) -> float:
        channels = [int(c) / 255 for c in colour.strip("rgb()").split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    read = "(s, name) => getComputedStyle(document.querySelector(s))[name]"
    ink = page.evaluate(f"s => ({read})(s, 'color')", selector)
    paper = page.evaluate(f"s => ({read})('body', 'backgroundColor')", selector)
    bright, dim = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_colour_schemes(browser: Browser, report: Path, scheme: str):
    page = visit(browser, report, scheme=scheme).page
    for selector in ("h1", ".lead", ".legend", "summary", ".eyebrow", "nav a"):
        assert read_contrast(page, selector) >= 4.5, selector
    page.close()


def test_the_two_colour_schemes_differ_in_their_charts_too(browser: Browser, report: Path):
    colours = set()
    for scheme in ("light", "dark"):
        page = visit(browser, report, scheme=scheme).page
        mark = "#rank .wide [fill='var(--task)']"
        colours.add(page.locator(mark).first.evaluate("e => getComputedStyle(e).fill"))
        page.close()
    assert len(colours) == 2


def test_answers_are_filtered_with_the_keyboard_alone(browser: Browser, report: Path):
    page = visit(browser, report).page
    before = page.locator("#answer-count").inner_text()
    page.locator("select[name=arm]").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "outcome"
    page.keyboard.type("refusal")
    assert page.locator("select[name=outcome]").input_value() == "refusal"
    assert page.locator("#answer-count").inner_text() != before
    badges = page.locator("#answer-list .badge").all_inner_texts()
    assert set(badges) == {"refusal"}
    page.close()


def test_more_answers_are_listed_on_request_and_focus_goes_to_them(browser: Browser, report: Path):
    page = visit(browser, report).page
    few = page.locator("#answer-list article").count()
    page.locator("#answer-more").focus()
    page.keyboard.press("Enter")
    assert page.locator("#answer-list article").count() == 2 * few
    listed = "[...document.querySelectorAll('#answer-list article')]"
    assert page.evaluate(f"{listed}.indexOf(document.activeElement)") == few
    page.close()


def test_details_open_and_tables_scroll_with_the_keyboard(browser: Browser, report: Path):
    page = visit(browser, report, width=390).page
    page.locator("#outcomes summary").focus()
    page.keyboard.press("Enter")
    table = page.locator("#outcomes .scroll")
    assert table.is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)  # it scrolls smoothly; waiting for a condition would need eval
    assert table.evaluate("table => table.scrollLeft") > 0
    page.close()


def test_hostile_answers_are_shown_and_do_nothing(browser: Browser, hostile_report: Path):
    seen = visit(browser, hostile_report)
    page = seen.page
    assert page.title() == "tiny: rankshift"
    assert page.locator("img").count() == 0
    assert HOSTILE in page.locator("#answer-list .answer").first.inner_text()
    assert seen.requests == [hostile_report.as_uri()]
    assert seen.complaints == []
    page.close()


def test_the_policy_stops_a_script_that_got_in_after_all(
    browser: Browser, report: Path, tmp_path: Path
):
    text = report.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace("<main>", "<main><script>document.title = 1</script>"))
    seen = visit(browser, broken)
    assert seen.page.title() == "tiny: rankshift"
    assert any("Content Security Policy" in complaint for complaint in seen.complaints)
    seen.page.close()
