"""K3's XTML: `<|open|>tools<|sep|><|open|>call tool="NAME" index="1"<|sep|><|open|>argument key="K" type="string"<|sep|>...`.

Only the markers are special; names and attributes are ordinary text. A `string` value is raw, the other types are JSON.
If a host swallowed a marker, a value holds what belongs elsewhere: every order of markers that the format does not
have refuses the call.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ...parsing.strict_json import StrictJsonError, loads
from ..markers import ANCHOR, K3_CLOSE, K3_OPEN, K3_SEP, NATIVE_MARK, skip_space
from ..result import MAX_CALLS, Piece, WrittenCall

_TAG = re.compile(r'([a-z_]*+)((?:[ \t]++[\w.\-]{1,32}+[ \t]*+=[ \t]*+"[^"<>\r\n]{0,512}+")*+)[ \t]*+')
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
_CUT = "the call is cut"


@dataclass(frozen=True, slots=True)
class _Tag:
    """`<|open|>name key="value"<|sep|>`. `whole`: the separator was there. `cut`: the text ended inside."""

    opens: bool
    name: str
    attributes: dict[str, str]
    end: int
    whole: bool = True
    cut: bool = False


class _Corrupt(Exception):
    """The call is not in the format: a reason code and a detail."""

    def __init__(self, detail: str, reason: str = "leaked_call") -> None:
        super().__init__(detail)
        self.reason = reason


def parse(text: str, start: int) -> Piece:
    """What begins with the mark at `start`: a tools channel, a call, or marks alone."""
    piece = Piece("k3", start, start + len(K3_SEP))
    if text.startswith(K3_SEP, start):
        piece.void = True
        return piece
    tag = _tag(text, start)
    if tag.opens and tag.name in {"tools", "call"} and (tag.whole or tag.name == "tools"):
        _calls(text, piece, start if tag.name == "call" else tag.end)
        return piece
    piece.end = tag.end
    piece.void = tag.name in _CHANNELS and not (tag.opens and tag.cut)
    piece.tangled = not piece.void and not tag.cut
    piece.flaw = "" if piece.void else "the markers of a call stand in a wrong order"
    piece.cut = tag.cut
    return piece


def _tag(text: str, start: int) -> _Tag:
    """The tag whose mark is at `start`."""
    opens = text.startswith(K3_OPEN, start)
    at = start + len(K3_OPEN if opens else K3_CLOSE)
    opened = _TAG.match(text, at)
    end, name, attributes = (opened.end(), opened[1], opened[2]) if opened else (at, "", "")
    whole = text.startswith(K3_SEP, end)
    word = name if whole or name in _CHANNELS or attributes else ""
    if whole:
        end += len(K3_SEP)
    elif not attributes:
        end = at + len(word)
    found = _ATTRIBUTE.findall(attributes)
    pairs = {key: _unescaped(value) for key, value in found} if len(dict(found)) == len(found) else {}
    return _Tag(opens, word, pairs, end, whole, cut=end >= len(text) and not whole)


def _unescaped(value: str) -> str:
    return value.replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _calls(text: str, piece: Piece, at: int) -> None:
    """The calls of a tools channel, or without one; noise between them is dropped."""
    channel = at != piece.start
    piece.end = at
    while (tag := _next_tag(text, at, anywhere=channel)) is not None:
        if tag.opens and tag.name == "call":
            at = piece.end = _call(text, piece, tag)
        elif not tag.opens and tag.name == "tools":
            piece.end = tag.end
            break
        elif channel and tag.name == "tools":
            at = piece.end = tag.end
        else:
            break
    if not piece.holds_calls:
        piece.void = text.endswith("<|close|>tools<|sep|>", piece.start, piece.end)
        piece.flaw = "" if piece.void else "a tools channel holds no call"
        piece.cut = piece.end >= len(text)


def _next_tag(text: str, at: int, *, anywhere: bool) -> _Tag | None:
    found = ANCHOR.search(text, at) if anywhere else NATIVE_MARK.match(text, skip_space(text, at))
    return _tag(text, found.start()) if found and found[0] in {K3_OPEN, K3_CLOSE} else None


def _call(text: str, piece: Piece, tag: _Tag) -> int:
    """One call: its arguments until its own close; what breaks the order refuses it and skips to the next."""
    name = tag.attributes.get("tool", "")
    try:
        at, arguments = _arguments(text, tag)
    except _Corrupt as error:
        piece.refused.append((name, error.reason, str(error)))
        piece.cut = str(error) == _CUT
        piece.tangled = piece.tangled or (error.reason == "leaked_call" and not piece.cut)
        close = text.find("<|close|>call<|sep|>", tag.end)
        return close + len("<|close|>call<|sep|>") if close >= 0 else len(text)
    if len(piece.calls) <= MAX_CALLS:
        piece.calls.append(WrittenCall(name, json.dumps(arguments, ensure_ascii=False)))
    return at


def _arguments(text: str, call: _Tag) -> tuple[int, Any]:
    at = call.end
    arguments: dict[str, Any] = {}
    while True:
        tag = _next_tag(text, at, anywhere=False)
        if tag is None:
            raise _Corrupt("text between the arguments of a call" if skip_space(text, at) < len(text) else _CUT)
        if not tag.opens and tag.name == "call":
            return tag.end, arguments
        if not tag.opens or not tag.whole or tag.name not in {"argument", "json"}:
            raise _Corrupt(_CUT if tag.cut else "the markers of a call stand in a wrong order")
        at, value = _value(text, tag)
        if tag.name == "json":
            arguments = value if isinstance(value, dict) and not arguments else _corrupt("two bodies in one call")
        else:
            key = tag.attributes.get("key", "")
            arguments[key] = value if key and key not in arguments else _corrupt("an argument without its own key")


def _corrupt(reason: str) -> Any:
    raise _Corrupt(reason)


def _value(text: str, opening: _Tag) -> tuple[int, Any]:
    """The value between an argument's open and close tags, by its type."""
    found = NATIVE_MARK.search(text, opening.end)
    if found is None:
        raise _Corrupt(_CUT)
    if found[0] != K3_CLOSE:
        raise _Corrupt("a marker inside a value")
    closing = _tag(text, found.start())
    if closing.name != opening.name or not closing.whole:
        raise _Corrupt(_CUT if closing.cut else "a value without its own close")
    kind = opening.attributes.get("type", "object" if opening.name == "json" else "string")
    return closing.end, _typed(text[opening.end : found.start()], kind)


def _typed(text: str, kind: str) -> Any:
    if kind not in _TYPES:  # string, or an unknown type
        return text if not _SWALLOWED.search(text) else _corrupt("a value holds the tag of another")
    try:
        value = loads(text)
    except StrictJsonError as error:
        raise _Corrupt(f"a value of type {kind} is not JSON: {error.reason}", "arguments_not_json") from None
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind in {"number", "integer"}):
        raise _Corrupt(f"a value is not of its type {kind}")
    return value
