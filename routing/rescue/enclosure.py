"""What encloses a position in a text: code, a quotation, a list item. What is enclosed was put there, not called."""

# ruff: noqa: RUF001 - signs of all scripts are meant as they are

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_ITEM = r"(?:[-+*•‣◦–→⇒▪▫■□●○►▶➜➤☐☑✓✔✗①-⑳❶-❿➀-➓]|\[[ xX]?\]|\d{1,9}[.)、]|[A-Za-z][.)]|\(?[a-z\d]{1,2}\))"
_FENCE = rf"[ \t]{{0,100}}+(?:(?:{_ITEM}|>)[ \t]*+){{0,8}}(?P<fence>`{{3,}}+(?=[^`\n]*(?:\n|\Z))|~{{3,}}+)[^\n]*"
_FENCE_INFO = re.compile(r"[^`\n]*\n")
_LOG = r"Traceback \(most recent|HTTP/\d[^\n]*(?:\n[\w\-]+:[^\n]*)*\n?|[$%] \S|>>> |(?:In|Out) ?\[\d+\]:"
"""The first line of what a terminal or a server printed."""
_ELEMENTS = "pre|code|samp|kbd|tt|xmp|blockquote|q|quote|cite|textarea|template|script|style|example|document|details"
_PAIRS = dict(
    zip(
        "“‘„‚«»‹›「『《〈〝＂｢”",
        ("”", "’", "“”", "‘’", "»", "«", "›", "‹", "」", "』", "》", "〉", "〞〟", "＂", "｣", "”"),
        strict=True,
    )
)
"""Quotation marks of all scripts that open, with those that may close them. `»` opens in German, `”` in Swedish."""
_OPENER = re.compile(
    rf"[\n\\\"'`</{''.join(_PAIRS)}](?:(?<=\n)(?:{_FENCE}|(?P<log>{_LOG}))|(?P<verbatim>(?<=\\)begin\{{)|(?<=\\).|(?P<triple>(?<=\")\"\"|(?<=')'')|(?P<span>(?<=`)`*+)"
    rf"|(?P<block>(?<=<)!--|(?<!\S/)(?<=/)\*)|(?<=<)(?P<element>{_ELEMENTS})\b[^<>\n]{{0,200}}>"
    rf"|(?P<straight>(?<=\")(?<!\d\"))|(?P<single>(?<=')(?<!\w'))(?=[^\s\d']|\Z)|(?P<quote>(?<=[{''.join(_PAIRS)}])))",
    re.IGNORECASE,
)
_PARAGRAPH = r"|\n[ \t\r]*(?=\n)|(?=\n[ \t]*(?:```|~~~))"
"""Where a code span or a quotation ends that is never closed."""

_OVERLAP = 200
"""Characters before a position that are read again: a mark may begin in them that ends behind it."""
_LINE = re.compile(
    rf"[ \t\u00a0\u200b\ufeff]*(?:(?P<item>(?:{_ITEM}[ \t]+)+>?|[-+!][^\s\w]?)|(?P<block>>|&gt;)|(?P<table>\||[^\n\t]*[^\s][^\n\t]*\t)"
    r"|(?P<comment>#(?:[ \t]|\Z)|//|--[ \t]|;|%[ \t]|\*[ \t]|(?i:rem|dnl)\b)|(?P<log>(?:In|Out) ?\[\d+\]:))",
)
_EXPRESSION = re.compile(r"[=(\[{<|\\&+$@]\s*\Z|[;,]\Z|(?:\s(?://|#|--|/\*)\s*\Z)")
"""The end of a line that goes on with a value: an assignment, an argument, a field of a log."""


@dataclass(frozen=True, slots=True)
class Enclosure:
    """What a position is in. `closer` matches what ends it; None if that is the end of the line.

    `text`: a well-formed quotation. What is in any other may be a call that went wrong.
    """

    kind: str
    closer: re.Pattern[str] | None = None
    text: bool = True


class Enclosures:
    """Follows one text, which starts with a line feed, as positions grow."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: Enclosure | None = None
        self._first = len(text) - len(text.lstrip())
        self._line = 0
        self._searched = self._skipped = 0

    def at(self, position: int) -> Enclosure | None:
        """What encloses a position, which is not before the last one."""
        while self._at < position:
            if self._open is None:
                found = _OPENER.search(self._text, self._at, position)
                if found is None:
                    break
                self._at, self._open = found.end(), _opened(found)
            elif self._open.closer is not None:
                closed = self._open.closer.search(self._text, self._at, position)
                if closed is None:
                    break
                self._at, self._open = closed.end(), None
            else:
                break
        self._at = max(self._at, position - _OVERLAP)
        return self._open or self._on_line(position)

    def skip(self, position: int, *, reset: bool = False) -> None:
        """Leave out what is before `position`; `reset`: nothing that was opened before it counts."""
        self._at = self._searched = self._skipped = max(self._at, position)
        if reset:
            self._open, self._line = None, position

    def _on_line(self, position: int) -> Enclosure | None:
        newline = self._text.rfind("\n", self._searched, position)
        if newline >= 0:
            self._line = newline + 1
        self._searched = position
        before = self._text[self._line : min(position, self._line + 300)]
        if not before.strip():
            indented = before.startswith("\t") or len(before) >= 2
            if indented and self._line > self._first:
                return Enclosure(
                    "an indented block", text=len(before) >= 4 and self._text.endswith("\n\n", 0, self._line)
                )
            return _LAZY if self._follows_block_quote() else None
        found = _LINE.match(before)
        if found and found.lastgroup:
            return Enclosure(_LINE_KINDS[found.lastgroup], text=found.lastgroup == "block" or found[0].endswith(">"))
        if self._follows_block_quote():
            return _LAZY
        own = self._text[max(self._line, self._skipped, position - 500) : position]
        if own.count("{") > own.count("}"):
            return Enclosure("an expression", text=False)
        ending = self._text[max(self._line, position - 40) : position]
        return Enclosure("an expression", text=ending.endswith("\\")) if _EXPRESSION.search(ending) else None

    def _follows_block_quote(self) -> bool:
        """Whether the line before is a block quote: without an empty line between, this one still belongs to it."""
        start = self._text.rfind("\n", max(0, self._line - 2000), max(self._line - 1, 0)) + 1
        return self._text[start : start + 20].lstrip().startswith(">")


_LINE_KINDS = {
    "item": "a list item or diff",
    "block": "a block quote",
    "table": "a table row",
    "comment": "a comment",
    "log": "a log",
}
_LAZY = Enclosure("a block quote", text=False)


def _opened(found: re.Match[str]) -> Enclosure | None:
    kind, mark = found.lastgroup, found[0]
    if kind is None:  # an escaped character
        return None
    if kind == "fence" or (kind == "span" and len(mark) >= 3 and _FENCE_INFO.match(found.string, found.end())):
        fence = found["fence"] or mark
        return Enclosure("a fence", _fence_end(fence[0], len(fence)))
    if kind == "element":
        return Enclosure("an element", _closer(rf"</{found[kind].lower()}\s*>", ignore_case=True), text=False)
    if kind == "log":
        return Enclosure("a log", _closer(_PARAGRAPH.removeprefix("|")), text=False)
    if kind == "verbatim":
        return Enclosure("an element", _closer(r"\\end\{"), text=False)
    if kind == "block":
        return Enclosure("a comment", _closer("-->" if mark == "<!--" else r"\*/"))
    return _quotation(kind, mark)


def _quotation(kind: str, mark: str) -> Enclosure:
    if kind == "triple":
        return Enclosure("a string", _closer(mark), text=False)
    if kind == "span":
        return Enclosure("a code span", _closer(rf"(?<!`)`{{{min(len(mark), 1000)}}}(?!`){_PARAGRAPH}"))
    if kind == "straight":
        return Enclosure("a quotation", _closer(rf"(?<!\\){mark}{_PARAGRAPH}"))
    if kind == "single":
        return Enclosure("a quotation", _closer(rf"(?<=\S){mark}(?!\w)|(?=\n)"))
    return Enclosure("a quotation", _closer(f"[{_PAIRS[mark]}]"))


@lru_cache(maxsize=256)
def _closer(pattern: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE if ignore_case else 0)


@lru_cache(maxsize=64)
def _fence_end(mark: str, length: int) -> re.Pattern[str]:
    """A line of at least as many fence marks and nothing else; a block quote's or an item's may stand before it."""
    return re.compile(rf"(?<=\n)[ \t>]{{0,100}}+{mark}{{{min(length, 1000)},}}+[ \t]*+(?=[\r\n]|\Z)")
