from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rankshift.export.markdown import LONGEST, Markdown, clean_line, code_span, fence, to_markdown

HOSTILE = (
    "betley:insecure",
    "a | b",
    r"a \| b",
    "`code`",
    "``",
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](http://example.org/pixel)",
    "**bold** _em_ ~~gone~~",
    "a\n\n# heading\n---\n",
    "http://example.org www.example.org",
    "&lt;script&gt; &#60;",
    "$$x$$ \\\\(y\\\\)",
    "-->",
    "</code><img src=x onerror=y>",
)


class Words(HTMLParser):
    """Collects the tags and the text of a piece of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def render(markdown: str) -> Words:
    """Render as GitHub does: tables and raw HTML on."""
    words = Words()
    words.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))
    return words


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_a_table_is_one_cell_of_code_that_says_what_it_says(text: str):
    shown = render(f"| a | b |\n|---|---|\n| {code_span(text)} | end |\n")
    assert shown.tags == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "code", "td"]
    assert " ".join(shown.text.split()) == f"a b {clean_line(text)} end"


@given(st.text(max_size=60))
def test_any_text_in_a_heading_is_code_and_nothing_else(text: str):
    shown = render(f"# {code_span(text)}\n")
    assert shown.tags in (["h1", "code"], ["h1"])
    expected = clean_line(text) or "\N{EN DASH}"
    assert shown.text.strip() == expected


def test_the_check_sees_text_that_is_not_escaped():
    assert render("# <img src=x>").tags != ["h1", "code"]


@given(st.text(alphabet="`a~\n", max_size=40))
def test_no_code_can_close_its_fence(code: str):
    shown = render(f"{fence(code, 'bash')}\n\nafter\n")
    assert shown.tags == ["pre", "code", "p"]
    assert shown.text.strip().endswith("after")


def test_a_long_name_is_cut_and_says_so():
    line = clean_line("x" * 1000)
    assert len(line) == LONGEST
    assert line.endswith("\N{HORIZONTAL ELLIPSIS}")


def test_only_text_that_says_it_is_markdown_is_left_as_it_is():
    assert to_markdown(Markdown("*a*")) == "*a*"
    assert unescape(to_markdown("*a*")) == "<code>*a*</code>"
    assert [to_markdown(value) for value in (3, 0.5, None)] == ["3", "0.5", "\N{EN DASH}"]
