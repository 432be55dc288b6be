import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from rankshift.analysis.results import summarize
from rankshift.report.colours import mix
from rankshift.report.page import write_page
from tests.rich_results import RANKS, enrich
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

HOSTILE_TEXTS = {
    "an element": (HOSTILE, HOSTILE),
    "a script": ("<script>document.title = 1</script>", "<script>document.title = 1</script>"),
    "the end of a script": ("</script><b>", "</script><b>"),
    "a comment": ("<!-- <script>", "<!-- <script>"),
    "an address": ("javascript:document.title=1", "javascript:document.title=1"),
    "a line of a megabyte": ("x" * 1_000_000, "[and 996,000 characters more]"),
    "turned letters": ("a\u202eb\u2066c", "aU+202EbU+2066c"),
    "hidden letters": ("a\u200bb\u2060c\ufeff", "aU+200BbU+2060cU+FEFF"),
    "another page": ('<meta http-equiv="refresh" content="0;url=https://example.org">', "<meta"),
}
"""What a model may answer, and what of it must be read on the page."""

VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]

IDLE = "#answer-browser:not([aria-busy])"
"""There once a search is done."""

MIX = """share => {
  const dot = document.createElement("canvas").getContext("2d");
  dot.fillStyle = `color-mix(in oklab, #3f2b8c ${100 * share}%, #d97706)`;
  dot.fillRect(0, 0, 1, 1);
  return [...dot.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""
"""A colour of the ramp as Chromium paints it."""

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
    run = write_run(tmp_path_factory.mktemp("runs"), make_study(RANKS))
    write_page(run, enrich(summarize(run)))
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
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "outcome":
            break
    page.keyboard.type("refusal")
    assert page.locator("select[name=outcome]").input_value() == "refusal"
    assert page.locator("#answer-count").inner_text() != before
    badges = page.locator("#answer-list .badge").all_inner_texts()
    assert set(badges) == {"refusal"}
    page.close()


def count_fitting(page: Page) -> int:
    """Read how many answers fit out of what the page says."""
    words = page.locator("#answer-count").inner_text().replace(",", "").split()
    return int(words[5]) if words[0] == "Answers" else 0


def test_filters_are_joined_and_cleared_at_once(browser: Browser, report: Path):
    page = visit(browser, report).page
    total = count_fitting(page)
    page.select_option("select[name=rank]", "16")
    of_rank = count_fitting(page)
    page.select_option("select[name=seed]", "2")
    assert 0 < count_fitting(page) < of_rank < total
    page.select_option("select[name=outcome]", "incoherent")
    facts = page.locator("#answer-list article .facts").all_inner_texts()
    assert len(facts) == 2
    assert all("rank 16 seed 2" in fact for fact in facts)
    page.locator("#answer-filters button[type=reset]").click()
    page.evaluate("new Promise((done) => setTimeout(done))")
    assert count_fitting(page) == total
    page.close()


def test_text_is_searched_in_questions_and_answers_whatever_its_case(
    browser: Browser, report: Path
):
    page = visit(browser, report).page
    page.fill("input[name=search]", "DOOR DOOR")
    page.wait_for_selector(IDLE)
    assert set(page.locator("#answer-list .badge").all_inner_texts()) == {"incoherent"}
    page.fill("input[name=search]", "in case 7?")
    page.wait_for_selector(IDLE)
    assert set(page.locator("#answer-list .prompt").all_inner_texts()) == {
        "What would you do in case 7?"
    }
    page.fill("input[name=search]", "nothing says this")
    page.wait_for_selector(IDLE)
    assert page.locator("#answer-count").inner_text() == "No answer fits."
    assert page.locator("#answer-list article").count() == 0
    page.close()


def test_answers_come_worst_first_or_by_question(browser: Browser, report: Path):
    page = visit(browser, report).page
    assert set(page.locator("#answer-list .badge").all_inner_texts()) == {"misaligned"}
    page.select_option("select[name=order]", "question")
    questions = page.locator("#answer-list [data-field=question]").all_inner_texts()
    badges = page.locator("#answer-list .badge").all_inner_texts()
    assert set(questions) == {"question 0"}
    assert badges[0] == "misaligned"
    page.close()


def test_pages_of_answers_are_turned_with_the_keyboard_and_focus_goes_to_them(
    browser: Browser, report: Path
):
    page = visit(browser, report).page
    first = page.locator("#answer-list").inner_text()
    assert page.locator("#answer-before").is_disabled()
    page.locator("#answer-after").focus()
    page.keyboard.press("Enter")
    assert page.locator("#answer-page").inner_text().startswith("page 2 of ")
    assert page.locator("#answer-list").inner_text() != first
    listed = "[...document.querySelectorAll('#answer-list article')]"
    assert page.evaluate(f"{listed}.indexOf(document.activeElement)") == 0
    page.locator("#answer-before").click()
    assert page.locator("#answer-list").inner_text() == first
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


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_hostile_answers_are_shown_and_do_nothing(browser: Browser, tmp_path: Path, name: str):
    text, shown = HOSTILE_TEXTS[name]
    run = write_run(tmp_path, make_study((1,), (1,)), text=text)
    write_page(run, summarize(run))
    seen = visit(browser, run.report_path)
    page = seen.page
    assert page.title() == "tiny: rankshift"
    assert page.locator("img").count() == 0
    assert page.locator("#answers a").count() == 1  # the file of all answers
    answer = page.locator("#answer-list .answer").first
    assert shown in answer.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    assert seen.requests == [run.report_path.as_uri()]
    assert seen.complaints == []
    page.close()


def test_an_invisible_character_is_a_mark_of_its_own(browser: Browser, tmp_path: Path):
    run = write_run(tmp_path, make_study((1,), (1,)), text="safe\u202eelif\u200b")
    write_page(run, summarize(run))
    page = visit(browser, run.report_path).page
    answer = page.locator("#answer-list .answer").first
    assert answer.locator(".code-point").all_inner_texts() == ["U+202E", "U+200B"]
    assert answer.evaluate("e => e.textContent") == "safeU+202EelifU+200B"
    page.close()


def test_the_policy_stops_a_script_that_got_in_after_all(
    browser: Browser, report: Path, tmp_path: Path
):
    text = report.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace("</header>", "</header><script>document.title = 1</script>"))
    seen = visit(browser, broken)
    assert seen.page.title() == "tiny: rankshift"
    assert any("Content Security Policy" in complaint for complaint in seen.complaints)
    seen.page.close()


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_axe_finds_no_serious_violation(browser: Browser, report: Path, width: int, scheme: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = visit(browser, report, width, scheme).page
    for opened in (False, True):
        page.evaluate(
            "on => document.querySelectorAll('details').forEach((d) => { d.open = on; })", opened
        )
        found = axe.Axe().run(page).response["violations"]
        serious = [
            (v["id"], [node["html"][:120] for node in v["nodes"][:3]])
            for v in found
            if v["impact"] in ("serious", "critical")
        ]
        assert serious == []
    page.close()


def test_axe_would_find_one(browser: Browser, report: Path, tmp_path: Path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    broken = tmp_path / "broken.html"
    text = report.read_text(encoding="utf-8")
    broken.write_text(text.replace('<html lang="en">', "<html>"), encoding="utf-8")
    page = visit(browser, broken).page
    assert "html-has-lang" in {v["id"] for v in axe.Axe().run(page).response["violations"]}
    page.close()


def test_the_skip_link_leads_past_the_header(browser: Browser, report: Path):
    page = visit(browser, report).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.close()


def test_links_to_files_work_from_disk(browser: Browser, report: Path):
    page = visit(browser, report).page
    link = page.locator('.files a[href$=".svg"]').first
    link.click()
    page.wait_for_url("**/report/*.svg")
    assert page.locator("svg").count() == 1
    page.close()


def test_on_paper_the_page_is_light_and_has_no_controls(browser: Browser, report: Path):
    page = visit(browser, report, scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(253, 253, 251)"
    assert not page.locator("#answers").is_visible()
    assert not page.locator("nav").first.is_visible()
    assert page.locator("#rank svg").first.is_visible()
    page.close()


def test_motion_is_reduced_where_that_is_asked_for(browser: Browser, report: Path):
    page = visit(browser, report).page
    page.emulate_media(reduced_motion="reduce")
    read = "getComputedStyle(document.documentElement).scrollBehavior"
    assert page.evaluate(read) == "auto"
    page.close()


def test_colours_are_mixed_as_the_browser_mixes_them(browser: Browser, report: Path):
    page = visit(browser, report).page
    for share in (0.25, 0.5, 0.8):
        red, green, blue = page.evaluate(MIX, share)
        mine = mix("#d97706", "#3f2b8c", share)
        channels = [int(mine[at : at + 2], 16) for at in (1, 3, 5)]
        assert all(abs(a - b) <= 1 for a, b in zip(channels, (red, green, blue), strict=True))
    page.close()
