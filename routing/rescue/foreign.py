"""What others wrote in this conversation: the user's texts and tool results. A call that stands there is a quotation."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..strict_json import StrictJsonError, loads
from .found import WrittenCall
from .markers import NATIVE_TEXT, TAGS

MAX_OBJECTS = 2_000
"""JSON values that are read in one foreign text."""
MAX_FAILURES = 64
"""Braces that open no JSON; beyond them only the spelling is compared."""
MAX_OBJECT = 1 << 16
"""Characters of one JSON value."""

_LINE_ESCAPE = re.compile(r"\\+[nrt]")
_LOOSE = re.compile(r"[\s\\]+")
_TAG_TEXT = re.compile("|".join(re.escape(tag.decode()) for tag in TAGS))
_AROUND_NAME = re.compile(r"\A(?:functions\.)+|:\d{1,9}\Z")
_DECODER = json.JSONDecoder()


def flat(text: str) -> str:
    """The text without white space and escapes: so a quotation is found again however it was laid out or encoded."""
    return _LOOSE.sub("", _LINE_ESCAPE.sub("", html.unescape(text)))


def canonical(value: Any) -> str:
    """One spelling for equal JSON values: sorted keys, no white space; `1`, `1.0` and `true` stay different."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


class Foreign:
    """The foreign texts of one conversation, prepared once."""

    def __init__(self, texts: Sequence[str] = (), last_user: str | None = None) -> None:
        everything = [*texts, last_user or ""]
        self._text = flat("\n".join(everything))
        self._objects = {canonical(value) for text in everything for value in _objects(text)}
        self.has_marks = any(NATIVE_TEXT.search(html.unescape(text)) for text in everything) or any(
            _TAG_TEXT.search(html.unescape(text)) for text in texts
        )
        """Whether somebody else wrote marks of calls: then no mark in the answer is certainly its own."""

    def holds(self, written: str, calls: Sequence[WrittenCall]) -> bool:
        """Whether a piece of the answer, or a call of it, stands in a foreign text, however it is laid out there."""
        if not self._text:
            return False
        return self.has_marks or flat(written) in self._text or any(self._holds(call) for call in calls)

    def _holds(self, call: WrittenCall) -> bool:
        name = _AROUND_NAME.sub("", (call.name or "").strip())
        arguments = _value(call.arguments)
        if flat(name) not in self._text or not isinstance(arguments, dict):
            return False
        if canonical({"name": name, "arguments": arguments}) in self._objects:
            return True
        spelt = flat(json.dumps(arguments, ensure_ascii=False))
        return bool(arguments) and (canonical(arguments) in self._objects or spelt in self._text)


def _value(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return loads(given)
    except StrictJsonError:
        return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in a text, also those inside others; broken ones are skipped, a bounded number of them."""
    at, failures = text.find("{"), 0
    for _ in range(MAX_OBJECTS):
        if at < 0 or failures >= MAX_FAILURES:
            return
        try:
            value, length = _DECODER.raw_decode(text[at : at + MAX_OBJECT])
            yield from _inner(value)
        except (ValueError, RecursionError):
            failures, length = failures + 1, 1
        at = text.find("{", at + length)


def _inner(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _inner(child)
