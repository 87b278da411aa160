"""Model output in pull requests and issues is shown, never acted on; judged by GitHub's own Markdown renderer."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import cmarkgfm  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kimiprobe.reporting.markdown import cell, code, fence, table

HOSTILE = [
    "@octocat please look",
    "fixes #1, closes octo/repo#2",
    "Co-authored-by: Eve <eve@example.com>",
    "![x](https://evil.example/pixel.png)",
    "[click](javascript:alert(1))",
    "<https://evil.example>",
    "https://evil.example/?q=1 www.evil.example",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<!-- kimiprobe:flag=x from=0 to=100 evidence=0 v=1 -->",
    "</details></summary><h1>merged</h1>",
    "```\n# heading\n```",
    "````\n@octocat\n````",
    "~~~\n@octocat\n~~~",
    "a | b | c",
    "\\| a \\",
    "`code` ``more`` `",
    "`",
    "``",
    "- [ ] task\n- [x] done",
    "> quote\n1. list\n# title",
    "\x1b[31mred\x1b[0m\x07",
    "abc\u202egnp.exe",
    "zero\u200bwidth\u2060joiner",
    "line\u2028separator\rreturn",
    "::error::boom\n::set-output name=x::y",
    "```suggestion\nrm -rf /\n```",
    "&lt;b&gt; &amp;",
    "$$\\href{javascript:alert(1)}{x}$$",
    "",
    "   ",
]
OURS = {"p", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}


class Rendered(HTMLParser):
    """Which elements and attributes came out, and the text that stands outside code."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.outside = ""
        self.inside = ""
        self._depth = 0
        self.feed(cmarkgfm.github_flavored_markdown_to_html(markdown, options=cmarkgfm.cmark.Options.CMARK_OPT_UNSAFE))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._depth += tag in {"code", "pre"}

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag in {"code", "pre"}

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.inside += data
        else:
            self.outside += data

    def handle_comment(self, data: str) -> None:
        self.tags.append(f"comment {data}")


def as_code(text: str) -> str:
    return f"Before {code(text)} after"


def as_cell(text: str) -> str:
    return table(["a", "b"], [[cell(text), "1"], ["`x`", "2"]])


def as_fence(text: str) -> str:
    return f"Before\n\n{fence(text.splitlines() or [text])}\n\nafter"


@pytest.mark.parametrize("shown", [as_code, as_cell, as_fence])
@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_it_leaves_the_code(shown: Callable[[str], str], text: str) -> None:
    """No link, image, heading, comment, mention or cell comes of a stranger's text."""
    page, harmless = Rendered(shown(text)), Rendered(shown("harmless"))
    assert set(page.tags) <= OURS
    assert page.tags.count("td") == harmless.tags.count("td")
    assert [name for name, _ in page.attributes if name not in {"lang", "class"}] == []
    assert page.outside.split() == harmless.outside.split()


@pytest.mark.parametrize("shown", [as_code, as_cell, as_fence])
@given(text=st.text(alphabet="`|\\~<>@#[]()!*_-&\n\r\t ab\x00\u202e", max_size=40))
def test_no_arrangement_of_marks_leaves_the_code(shown: Callable[[str], str], text: str) -> None:
    """Whatever the order of backticks, pipes and brackets."""
    page, harmless = Rendered(shown(text)), Rendered(shown("harmless"))
    assert page.outside.split() == harmless.outside.split()
    assert page.tags.count("td") == harmless.tags.count("td")


@pytest.mark.parametrize(
    "text", ["![x](https://e.example/p.png)", "<img src=x>", "# h", "https://e.example", "a\n\n- b"]
)
def test_the_judge_sees_what_gets_out(text: str) -> None:
    """Unguarded, the same renderer makes links, images and headings of it."""
    assert not set(Rendered(text).tags) <= OURS


@pytest.mark.parametrize("text", ["plain", "a `b` c", "x|y", "`", "a``b"])
def test_it_still_reads_as_it_was(text: str) -> None:
    """Inert is not mangled: printable text comes out as it went in."""
    assert Rendered(as_code(text)).inside == text
    assert text in Rendered(as_cell(text)).inside
    assert text in Rendered(as_fence(text)).inside


def test_keys_and_controls_are_taken_out_and_long_text_is_cut() -> None:
    """A stranger's text that echoes a key, an escape or a novel stays short and clean."""
    shown = code("Bearer sk-or-v1-0123456789abcdef \x1b[31m " + "y" * 999)
    assert "0123456789abcdef" not in shown
    assert len(shown) <= 202
    assert re.fullmatch(r"[\x20-\x7e…]+", shown)
