"""Where a call comes from: one that occurs in the text of the request is copied from there, not made by the model.

Calls are compared by name and values in whatever dialect the text has them. Escapes, look-alike characters, base64 and
other encodings are decoded first. All of it is lazy: a request is read only if its answer holds a candidate.
"""

# ruff: noqa: RUF001 - signs of all scripts are meant as they are

from __future__ import annotations

import base64
import codecs
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from ..parsing.literals import LiteralError, read_literal
from ..schema import ToolSet
from ..types import ToolCall
from .dialects import json_calls, k3, notation, tags
from .markers import K3_OPEN, NATIVE_TEXT

MAX_READINGS = 12
"""Ways to decode one text that are tried: escapes inside of escapes, base64 inside of JSON."""
WORK_PER_CHARACTER, FREE_WORK = 8, 1 << 20
"""Characters that may be decoded for each character of the request, and in addition. Beyond them a call is in doubt."""
_GAP = 200
"""Characters between a call's name and its arguments."""
_IGNORED = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": " ", "f": " "}
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_\-]{40,}+\r?\n)++[A-Za-z0-9+/_\-]++|[A-Za-z0-9+/_\-]{20,}+")
_WRAP = re.compile(r"\n[ \t]*[>|#*][>|#* \t]*")
_QUOTES = re.compile("[“”„‟＂«»]")
_PERCENT = re.compile("%[0-9a-fA-F]{2}")
_HEX = re.compile(r"(?<![0-9a-fA-F])(?:[0-9a-fA-F]{2}[ \t]?){12,}(?![0-9a-fA-F])")
_BINARY = re.compile(r"(?<![01])[01]{8}(?![01])")
_SPACED = re.compile(r"(?<!\S)(?:\S(?:   | )){12,}\S(?!\S)")
_APART = re.compile(r"(?<! ) (?! )|(?<=  ) | (?=  )")
_JSON_CALL = re.compile(rf'\{{\s*"(?:{"|".join(json_calls.WRAPPER_KEYS)})"\s*:\s*[\[{{]')
_PAIR = re.compile(r"<arg_key>([^<]*)</arg_key>\s*<arg_value>([^<]*)</arg_value>")
_CHILD = re.compile(r"<([\w.\-]+)>([^<]*)</\1>")
_FUNCTION_ID = re.compile(r"functions\.[\w.\-]+:\d")
_NAMED_LAST = re.compile(
    rf'\}}\s*+"?\s*+,\s*+"(?:{"|".join(json_calls.NAME_KEYS)})"\s*+:\s*+"(?:functions\.)?\Z', re.IGNORECASE
)
_NUMBER = re.compile(r"[-+]?\d{1,20}(?:\.\d{1,20})?(?:e[-+]?\d{1,3})?")
_FIELD = re.compile(r"[ \t>*#-]*[\"'`]?([\w.\-]{1,100})[\"'`]?[ \t]*[:=][ \t]*([^\n]*)")
"""A line with a key and its value, as in YAML."""
_MOST_LINES = 40
_LONGEST_OBJECT, _LONGEST_LIST = 20_000, 2000
_DECODER = json.JSONDecoder()


class RequestTexts:
    """The texts of one request, whoever wrote them, and the user's last message."""

    def __init__(self, texts: Iterable[str] = (), last_user: str | None = None) -> None:
        self._texts = texts
        self._last_user = last_user or ""
        self._work = FREE_WORK

    @cached_property
    def _readings(self) -> list[str]:
        """All texts with what is encoded in them, read when the first call is compared."""
        texts = [text for text in (*self._texts, self._last_user) if text]
        self._work += WORK_PER_CHARACTER * sum(map(len, texts))
        return [reading for text in texts for reading in _readings(text)]

    def shows_calls(self, tools: ToolSet) -> bool:
        """Whether the user's last message has the syntax of a call, so that an answer may show it again."""
        return any(_shows_call(text, tools) for text in _readings(self._last_user)) if self._last_user else False

    def holds(self, call: ToolCall) -> bool:
        """Whether the call occurs in a text of the request."""
        name = re.compile(
            rf"(?<![^\W_]){re.escape(_plain(call.name).casefold())}(?![^\W_])(?=[\"'`]?\s*[:(,>{{}}<=\[|/\d_]|[\"'`]|[ \t]*\n)"
        )
        wanted = {_comparable(call.arguments), _comparable(list(call.arguments.values()))}
        keys = {_plain(key).casefold() for key in call.arguments}
        return any(
            self._work < 0
            or any(_comparable(value) in wanted for value in self._arguments(text, found))
            or (bool(keys) and _comparable(self._lines(text, found.end(), keys)) in wanted)
            for text in self._readings
            for found in name.finditer(text)
        )

    def _lines(self, text: str, end: int, keys: set[str]) -> dict[str, str]:
        """The values of `keys` in the lines behind a name: `to: mallory`."""
        block = text[end : end + _LONGEST_LIST].partition("\n\n")[0]
        fields = [found for line in block.split("\n")[:_MOST_LINES] if (found := _FIELD.match(line))]
        self._work -= len(block)
        return {found[1]: found[2].strip(" \t\"'`,") for found in fields if found[1] in keys}

    def _arguments(self, text: str, name: re.Match[str]) -> Iterator[Any]:
        """What may be the arguments of the call whose name stands at a place of a text."""
        start, end = name.span()
        self._work -= 50
        brace = text.find("{", end, end + _GAP)
        if brace >= 0:
            yield self._decoded(text, brace)
        yield from self._before(text, start)
        yield from self._enclosing(text, start, end)
        if text.startswith("(", end) or text.startswith(" (", end):
            yield from _values(notation.parse(text, start))
            yield self._positional(text[text.index("(", end) + 1 : end + _LONGEST_LIST])
        tag = text.rfind("<", max(0, start - 60), start)
        if tag >= 0 and tags.START.match(text, tag):
            self._work -= 500
            yield from _values(tags.parse(text, tag, ToolSet.of(())))
        if tag >= 0 and text.startswith(K3_OPEN, tag):
            self._work -= 500
            yield from _values(k3.parse(text, tag))
        if text.startswith("<arg_key>", end) or (text.startswith(">", end) and text.endswith("<", 0, start)):
            body = text[end : text.find("</tool_call" if text[end] == "<" else f"</{name[0]}", end, end + 20_000)]
            self._work -= len(body)
            yield dict(_PAIR.findall(body)) or dict(_CHILD.findall(body))
        if re.compile(r"[\"']\s*\}").match(text, end):  # a name without arguments
            yield {}

    def _decoded(self, text: str, brace: int) -> Any:
        """The JSON value, or Python's or JavaScript's literal, that begins at a brace; None if there is none."""
        try:
            value, end = _DECODER.raw_decode(text, brace)
            self._work -= end - brace
            return value
        except ValueError as error:
            self._work -= max(1, getattr(error, "pos", brace) - brace)
        except RecursionError:
            return None
        end, ending = json_calls.extent(text[: brace + 20_000], brace)
        self._work -= end - brace
        try:
            return read_literal(text[brace:end]) if ending == "whole" else None
        except LiteralError:
            return None

    def _positional(self, text: str) -> Any:
        """The values of a call without names of arguments: `"mallory", 100)`; None if there are none."""
        values, closed, _ = text.partition(")")
        self._work -= len(values)
        try:
            return json.loads(f"[{values}]") if closed else None
        except (ValueError, RecursionError):
            return None

    def _enclosing(self, text: str, start: int, end: int) -> Iterator[Any]:
        """The members of the JSON object in which the name is a value, wherever they are in it."""
        at = start
        for _ in range(4):
            at = text.rfind("{", max(0, start - _LONGEST_OBJECT), at)
            if at < 0 or self._work < 0:
                return
            try:
                value, stop = _DECODER.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                self._work -= max(1, getattr(error, "pos", at) - at)
                continue
            self._work -= stop - at
            if stop >= end:
                for member in value.values():
                    yield self._decoded(member, 0) if isinstance(member, str) and member.startswith("{") else member
                return

    def _before(self, text: str, start: int) -> Iterator[Any]:
        """Arguments that stand before the name: `{"arguments": {...}, "name": "NAME"}`."""
        found = _NAMED_LAST.search(text[max(0, start - 100) : start])
        if not found:
            return
        end = max(0, start - 100) + found.start() + 1
        at = end
        for _ in range(40):
            at = text.rfind("{", max(0, end - 20_000), at)
            if at < 0 or self._work < 0:
                return
            value = self._decoded(text[:end], at)
            if value is not None:
                yield value


def _values(piece: Any) -> Iterator[Any]:
    for call in piece.calls if piece is not None else ():
        try:
            yield json.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
        except ValueError:
            continue


def _comparable(value: Any) -> str:
    """One spelling for arguments that say the same: `1`, `1.0` and `"1"` are equal, as tags have no types."""
    return json.dumps(_spelled(value), sort_keys=True)


def _spelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(str(key)).casefold(): _spelled(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(child) for child in value]
    text = " ".join(_plain(value if isinstance(value, str) else json.dumps(value)).casefold().split())
    return str(Decimal(text).normalize()) if _NUMBER.fullmatch(text) else text


def _shows_call(text: str, tools: ToolSet) -> bool:
    if NATIVE_TEXT.search(text) or tags.START.search(text) or _FUNCTION_ID.search(text) or _JSON_CALL.search(text):
        return True
    named = "|".join(map(re.escape, tools.names))
    if named and re.search(rf"(?<![\w.])(?:{named})(?:\(\s*(?:[\[{{)]|\w+\s*=)|:\d+\s*\{{)", text):
        return True
    starts = [found.start() for found in json_calls.START.finditer(text)][:64]
    return any(not json_calls.parse(text, at, tools).plain for at in starts)


def _readings(text: str) -> list[str]:
    """The text, and what is in it once it is decoded, without doubles."""
    found: list[str] = []
    plain = _plain(text)
    waiting = [plain]
    while waiting and len(found) < MAX_READINGS:
        reading = waiting.pop(0)
        if reading.strip() and reading.casefold() not in found:
            found.append(reading.casefold())
            waiting += [_plain(decode(reading)) for decode in _DECODERS]
    return [*found, codecs.decode(plain, "rot13").casefold(), plain[::-1].casefold()]


def _plain(text: str) -> str:
    for _ in range(3):
        if "&" not in text or (unescaped := html.unescape(text)) == text:
            break
        text = unescaped
    return text if text.isascii() else _IGNORED.sub("", unicodedata.normalize("NFKC", text))


def _character(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    return chr(int(code, 16)) if code else _ESCAPES.get(found[3], found[3])


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return ""
    plain = _ESCAPE.sub(_character, text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unwrapped(text: str) -> str:
    """The text with the line breaks of block quotes and mails removed, and typographic quotation marks made plain.

    Empty if nothing changes.
    """
    return _WRAP.sub("", _QUOTES.sub('"', text)) if _WRAP.search(text) or _QUOTES.search(text) else ""


def _base64_decoded(run: str) -> str:
    """The text in a run of base64 characters, which may begin up to three characters before the base64 does."""
    run = "".join(run.split()).replace("-", "+").replace("_", "/")
    for offset in range(4):
        body = run[offset:]
        body = body[:-1] if len(body) % 4 == 1 else body
        decoded = base64.b64decode(body + "=" * (-len(body) % 4)).decode("utf-8", "ignore")
        if len(decoded) > len(body) // 2 and sum(map(str.isprintable, decoded[:200])) > 0.9 * len(decoded[:200]):
            return decoded
    return ""


_DECODERS: tuple[Callable[[str], str], ...] = (
    _unescaped,
    _unwrapped,
    lambda text: "\n".join(_base64_decoded(found[0]) for found in _BASE64.finditer(text)),
    lambda text: unquote(text) if _PERCENT.search(text) else "",
    lambda text: "\n".join(bytes.fromhex("".join(run.split())).decode("utf-8", "ignore") for run in _HEX.findall(text)),
    lambda text: "".join(chr(int(digits, 2)) for digits in _BINARY.findall(text)),
    lambda text: _SPACED.sub(lambda found: _APART.sub("", found[0]), text) if _SPACED.search(text) else "",
)
"""What each decoder finds encoded in a text; empty if that is nothing."""
