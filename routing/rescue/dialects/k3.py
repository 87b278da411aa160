"""K3's XTML: `<|open|>tools<|sep|><|open|>call tool="NAME" index="1"<|sep|><|open|>argument key="K" type="string"<|sep|>...`.

Only the four markers are special; names and attributes are ordinary text. A `string` value is raw, the other types
are JSON. Where a host swallowed a marker, a value holds what belongs elsewhere: every order of markers that the
format does not know refuses the call.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ...parsing.strict_json import StrictJsonError, loads
from ..buffer import Source, Wait, search, skip_space
from ..markers import K3_CLOSE, K3_OPEN, K3_SEP, NATIVE_MARK
from ..result import MAX_CALLS, Piece, WrittenCall

_TAG = re.compile(rb'([a-z_]*+)((?:[ \t]++[\w.\-]{1,32}+[ \t]*+=[ \t]*+"[^"<>\r\n]{0,512}+")*+)[ \t]*+')
_TAG_OVER = re.compile(rb"[^<>\r\n]*+(?:[>\r\n]|<(?:[^|]|\|[^s]|.{6}))", re.DOTALL)
_LONGEST_TAG = 4096
_ATTRIBUTE = re.compile(r'([\w.\-]+)\s*=\s*"([^"]*)"')
_CHANNELS = frozenset({"think", "response", "message", "tools", ""})
_SWALLOWED = re.compile(r'argument key="|call tool="|(?:argument|call)\s*\Z')
_TYPES: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
}


@dataclass(frozen=True, slots=True)
class _Tag:
    """`<|open|>name key="value"<|sep|>`; `whole` where the separator was there, `cut` where the message ended."""

    opens: bool
    name: str
    attributes: dict[str, str]
    end: int
    whole: bool = True
    cut: bool = False


class _Corrupt(Exception):
    """The call is not as the format has it: a reason code and a detail."""

    def __init__(self, detail: str, reason: str = "leaked_call") -> None:
        super().__init__(detail)
        self.reason = reason


def parse(source: Source, start: int) -> Wait[tuple[Piece, str]]:
    """What begins with the open or close marker at `start`, and the channel that it opens (`think`) if it opens one."""
    piece = Piece("k3", start, start)
    tag = yield from _tag(source, start)
    piece.mark_end = tag.end
    if tag.opens and tag.name in {"tools", "call"} and (tag.whole or tag.name == "tools"):
        yield from _calls(source, piece, start if tag.name == "call" else tag.end)
        return piece, ""
    piece.end = tag.end
    piece.void = tag.name in _CHANNELS and not (tag.opens and tag.cut)
    piece.tangled = not piece.void and not tag.cut
    piece.flaw = "" if piece.void else "the markers of a call stand in a wrong order"
    piece.cut = tag.cut
    return piece, "think" if tag.opens and tag.name == "think" else ""


def _tag(source: Source, start: int) -> Wait[_Tag]:
    """The tag whose marker stands at `start`."""
    opens = source.peek(start, len(K3_OPEN)) == K3_OPEN
    at = start + len(K3_OPEN if opens else K3_CLOSE)
    while not source.closed and len(source.data) - at < _LONGEST_TAG and not _TAG_OVER.match(source.data, at):
        yield
    found = _TAG.match(source.data, at)
    end = found.end() if found else at
    name, attributes = (found[1], found[2]) if found else (b"", b"")
    rest = source.peek(end, len(K3_SEP))
    whole = rest == K3_SEP
    word = name.decode() if whole or name.decode() in _CHANNELS or attributes else ""
    if whole:
        end += len(K3_SEP)
    elif not attributes:
        end = at + len(word)
    pairs = {key: _unescaped(value) for key, value in _ATTRIBUTE.findall(attributes.decode("utf-8", "surrogatepass"))}
    return _Tag(opens, word, pairs, end, whole, cut=source.closed and end >= len(source.data) and not whole)


def _unescaped(value: str) -> str:
    return value.replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _calls(source: Source, piece: Piece, at: int) -> Wait[None]:
    """The calls of a tools channel, or without one; noise between them is dropped."""
    channel = at != piece.start
    piece.end = at
    while True:
        found = yield from _next_tag(source, at, anywhere=channel)
        if found is None:
            break
        tag = found
        if tag.opens and tag.name == "call":
            at = yield from _call(source, piece, tag)
            piece.end = at
        elif not tag.opens and tag.name == "tools":
            piece.end = tag.end
            break
        elif channel and tag.name == "tools":
            at = piece.end = tag.end
        else:
            break
    if not piece.calls and not piece.refused:
        inside = source.text(piece.start, piece.end)
        piece.void = inside.endswith("<|close|>tools<|sep|>")
        piece.flaw = "" if piece.void else "a tools channel holds no call"
        piece.cut = source.closed and piece.end >= len(source.data)


def _next_tag(source: Source, at: int, *, anywhere: bool) -> Wait[_Tag | None]:
    if anywhere:
        found = yield from search(source, NATIVE_MARK, at)
        at = found.start if found else len(source.data)
    else:
        at = yield from skip_space(source, at)
        while not source.closed and _may_open(source.peek(at, len(K3_CLOSE))):
            yield
    if source.peek(at, len(K3_OPEN)) != K3_OPEN and source.peek(at, len(K3_CLOSE)) != K3_CLOSE:
        return None
    return (yield from _tag(source, at))


def _may_open(tail: bytes) -> bool:
    return any(len(tail) < len(mark) and mark.startswith(tail) for mark in (K3_OPEN, K3_CLOSE))


def _call(source: Source, piece: Piece, tag: _Tag) -> Wait[int]:
    """One call: its arguments until its own close; what breaks the order refuses it and skips to the next."""
    name = tag.attributes.get("tool", "")
    try:
        at, arguments = yield from _arguments(source, tag)
    except _Corrupt as error:
        piece.refused.append((name, error.reason, str(error)))
        piece.cut = str(error) == _CUT
        piece.tangled = piece.tangled or (error.reason == "leaked_call" and not piece.cut)
        return (yield from _after_call(source, tag.end))
    if len(piece.calls) <= MAX_CALLS:
        piece.calls.append(WrittenCall(name, json.dumps(arguments, ensure_ascii=False)))
    return at


_CUT = "the call is cut"


def _arguments(source: Source, call: _Tag) -> Wait[tuple[int, Any]]:
    at = call.end
    arguments: dict[str, Any] = {}
    while True:
        found = yield from _next_tag(source, at, anywhere=False)
        if found is None:
            raise _Corrupt(
                _CUT if source.closed and not source.data[at:].strip() else "text between the arguments of a call"
            )
        tag = found
        if not tag.opens and tag.name == "call":
            return tag.end, arguments
        if not tag.opens or not tag.whole or tag.name not in {"argument", "json"}:
            raise _Corrupt(_CUT if tag.cut else "the markers of a call stand in a wrong order")
        at, value = yield from _value(source, tag)
        if tag.name == "json":
            arguments = value if isinstance(value, dict) and not arguments else _corrupt("two bodies in one call")
        else:
            key = tag.attributes.get("key", "")
            arguments[key] = value if key and key not in arguments else _corrupt("an argument without a key of its own")


def _corrupt(reason: str) -> Any:
    raise _Corrupt(reason)


def _value(source: Source, opening: _Tag) -> Wait[tuple[int, Any]]:
    """The value between an argument's open and close tags, by its type."""
    found = yield from search(source, NATIVE_MARK, opening.end)
    if found is None:
        raise _Corrupt(_CUT)
    text = source.text(opening.end, found.start)
    if source.peek(found.start, len(K3_CLOSE)) != K3_CLOSE:
        raise _Corrupt("a marker inside a value")
    closing = yield from _tag(source, found.start)
    if closing.name != opening.name or not closing.whole:
        raise _Corrupt(_CUT if closing.cut else "a value without its own close")
    kind = opening.attributes.get("type", "object" if opening.name == "json" else "string")
    return closing.end, _typed(text, kind)


def _typed(text: str, kind: str) -> Any:
    if kind not in _TYPES:  # string, or a type that nobody knows
        return text if not _SWALLOWED.search(text) else _corrupt("a value holds the tag of another")
    try:
        value = loads(text)
    except StrictJsonError as error:
        raise _Corrupt(f"a value of type {kind} is not JSON: {error.reason}", "arguments_not_json") from None
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind in {"number", "integer"}):
        raise _Corrupt(f"a value is not of its type {kind}")
    return value


_CALL_CLOSE = re.compile(rb"<\|close\|>call<\|sep\|>")


def _after_call(source: Source, at: int) -> Wait[int]:
    """After a corrupt call nothing of its own may be read as a call: go on behind its close, else at the end."""
    found = yield from search(source, _CALL_CLOSE, at)
    return found.end if found else len(source.data)
