"""What others wrote in this conversation: the user's texts and tool results. A call that stands there is a quotation."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from ...parsing.strict_json import StrictJsonError, loads
from ..markers import K2, K3, TAGS
from ..result import WrittenCall

MAX_OBJECTS = 2_000
"""JSON values that are read in one foreign text."""
MAX_FAILURES = 64
"""Braces that open no JSON; beyond them only the spelling is compared."""
MAX_OBJECT = 1 << 16
"""Characters of one JSON value."""
MAX_LEAVES = 256
"""Values of calls that are looked for in one conversation's texts; beyond them a call is in doubt."""

_CODE_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})")
_LINE_ESCAPE = re.compile(r"\\+[nrt]")
_LOOSE = re.compile(r"[\s\\\u00ad\u200b-\u200f\u2060\ufeff]+")
_MARK_TEXT = re.compile("|".join(re.escape(mark.decode()) for mark in (*K2, *K3, *TAGS)))
_AROUND_NAME = re.compile(r"\A(?:functions\.)+|:\d{1,9}\Z")
_DECODER = json.JSONDecoder()


def flat(text: str) -> str:
    """The text without white space, escapes and lookalikes: so a quotation is found again however it was encoded."""
    text = unicodedata.normalize("NFKC", html.unescape(text))
    text = _CODE_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return _LOOSE.sub("", _LINE_ESCAPE.sub("", text))


def canonical(value: Any) -> str:
    """One spelling for equal JSON values: sorted keys, no white space; `1`, `1.0` and `true` stay different."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


class Foreign:
    """The foreign texts of one conversation, prepared once."""

    def __init__(self, texts: Sequence[str] = (), last_user: str | None = None) -> None:
        everything = [*texts, last_user or ""]
        self._text = flat("\n".join(everything))
        self._objects = {canonical(value) for text in everything for value in _objects(text)}
        self._leaves_left = MAX_LEAVES
        self._has_marks = any(_MARK_TEXT.search(part) for text in everything for part in (text, html.unescape(text)))

    def holds(self, written: str, calls: Sequence[WrittenCall]) -> bool:
        """Whether a piece of the answer, or a call of it, stands in a foreign text, however it is laid out there."""
        if not self._text:
            return False
        return flat(written) in self._text or any(self._holds(call) for call in calls)

    def _holds(self, call: WrittenCall) -> bool:
        name = _AROUND_NAME.sub("", (call.name or "").strip())
        if flat(name) not in self._text:
            return False
        arguments = _value(call.arguments)
        if self._has_marks and self._tells(arguments):
            return True
        if not isinstance(arguments, dict):
            return False
        if canonical({"name": name, "arguments": arguments}) in self._objects:
            return True
        spelt = flat(json.dumps(arguments, ensure_ascii=False))
        return bool(arguments) and (canonical(arguments) in self._objects or spelt in self._text)

    def _tells(self, arguments: Any) -> bool:
        """Whether every value of the arguments stands in the foreign texts, in whatever form; broken ones may.

        Asked only where others wrote marks of calls: there a call may come back in another dialect than theirs.
        """
        if not isinstance(arguments, dict):
            return True
        leaves = list(islice(_leaves(arguments), self._leaves_left + 1))
        self._leaves_left = max(0, self._leaves_left - len(leaves))
        return self._leaves_left == 0 or all(flat(leaf) in self._text for leaf in leaves)


def _leaves(value: Any) -> Iterator[str]:
    """The scalars in a JSON value, as they are spelt."""
    level = [value]
    while level:
        node = level.pop()
        if isinstance(node, (dict, list)):
            level.extend(node.values() if isinstance(node, dict) else node)
        else:
            yield node if isinstance(node, str) else json.dumps(node)


def _value(given: Any) -> Any:
    """Arguments as a JSON value, also where they are encoded twice; None where they are no strict JSON."""
    for _ in range(2):
        if not isinstance(given, str):
            break
        try:
            given = loads(given)
        except StrictJsonError:
            return None
    return given


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
