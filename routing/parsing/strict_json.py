"""Strict JSON parser for tool arguments: a text has one meaning, or it is an error.

The standard library's parser is fast but lenient. It accepts duplicate keys (the last one wins), NaN, numbers that
overflow to infinity, and halves of surrogate pairs. Each of these can make the checked value differ from the one that
is executed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

MAX_DEPTH = 200
"""The most levels of nested arrays and objects in a JSON text."""
MAX_CHARS = 1 << 20
"""The most characters of a JSON text."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+\\?+(?:"|\Z)|[{}\[\],:]|[^\s"{}\[\],:]++', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_LONG_INTEGER = re.compile(r"-?[0-9]{4301}")
"""An integer of more digits than `int()` reads (CPython's guard against quadratic conversion)."""


class StrictJsonError(ValueError):
    """The text is not strict JSON.

    `reason` is one line that quotes nothing of the text; `position` is a character index.
    """

    def __init__(self, reason: str, position: int = 0) -> None:
        super().__init__(f"{reason} (at character {position})")
        self.reason = reason
        self.position = position


class _Refused(Exception):
    """A hook of the parser refuses a token.

    The arguments are the reason and the token; a hook does not know the position.
    """


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refused("duplicate key", "")
    return value


def _constant(text: str) -> NoReturn:
    raise _Refused("NaN and Infinity are not JSON", text)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Refused("number too large", text)
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
_LAX_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, strict=False)


def loads(text: str, *, control_characters: bool = False) -> Any:
    """Parse one JSON value: at most `MAX_CHARS` characters and `MAX_DEPTH` levels; integers stay exact.

    `control_characters` allows unescaped tabs and line ends in strings (and no other control character). Raises
    StrictJsonError for everything that RFC 8259 does not allow. It also raises for what the RFC leaves open: duplicate
    keys, lone surrogates, numbers beyond a double's range, integers of more than 4300 digits.
    """
    if len(text) > MAX_CHARS:
        raise StrictJsonError(f"longer than {MAX_CHARS} characters", MAX_CHARS)
    if control_characters and (found := _CONTROL.search(text)):
        raise StrictJsonError("control character", found.start())
    value = _parse(text, _LAX_DECODER if control_characters else _DECODER)
    _refuse_surrogates(text)
    if text.count("[") + text.count("{") > MAX_DEPTH and deeper_than(value, MAX_DEPTH):
        raise StrictJsonError(f"nested deeper than {MAX_DEPTH} levels", _locate(text, _too_deep()))
    return value


def _parse(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text)
    except _Refused as error:
        reason, refused = error.args
        is_it = (lambda part: part.startswith(refused)) if refused else _duplicate()
        raise StrictJsonError(reason, _locate(text, is_it)) from None
    except json.JSONDecodeError as error:
        raise StrictJsonError(_reason(error), error.pos) from None
    except RecursionError:
        raise StrictJsonError(f"nested deeper than {MAX_DEPTH} levels", _locate(text, _too_deep())) from None
    except ValueError:  # int() refuses more than 4300 digits
        raise StrictJsonError("integer too long", _locate(text, lambda part: bool(_LONG_INTEGER.match(part)))) from None


def _reason(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc):
        return "the text ends too early" if error.doc.strip() else "empty"
    return error.msg[:1].lower() + error.msg[1:].removesuffix(" at")


def deeper_than(value: Any, limit: int) -> bool:
    """Whether dicts and lists in `value` are nested more than `limit` levels deep; never recurses."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(limit):
        if not level:
            return False
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
    return bool(level)


def _refuse_surrogates(text: str) -> None:
    raw = None if text.isascii() else _SURROGATE.search(text)
    if raw:
        raise StrictJsonError("half of a surrogate pair", raw.start())
    if not _SURROGATE_ESCAPE.search(text):
        return
    high_ends_at = -1
    high_at = -1
    for escape in _ESCAPE.finditer(text):
        code = int(escape[1], 16) if escape[1] else 0
        is_low = 0xDC00 <= code < 0xE000
        if is_low != (high_ends_at == escape.start()) or (high_at >= 0 and not is_low):
            raise StrictJsonError("half of a surrogate pair", escape.start() if high_at < 0 else high_at)
        high_at, high_ends_at = (escape.start(), escape.end()) if 0xD800 <= code < 0xDC00 else (-1, -1)
    if high_at >= 0:
        raise StrictJsonError("half of a surrogate pair", high_at)


# A hook does not know its position. After it refuses, the text is read again token by token to find the position.


def _locate(text: str, is_it: Callable[[str], bool]) -> int:
    return next((found.start() for found in _TOKEN.finditer(text) if is_it(found[0])), 0)


def _too_deep() -> Callable[[str], bool]:
    depth = 0

    def is_it(part: str) -> bool:
        nonlocal depth
        depth += (part in "[{") - (part in "]}")
        return depth > MAX_DEPTH

    return is_it


def _duplicate() -> Callable[[str], bool]:
    seen: list[set[str] | None] = []
    before = ""

    def is_it(part: str) -> bool:
        nonlocal before
        previous, before = before, part
        if part in "{[":
            seen.append(set() if part == "{" else None)
        elif part in "}]":
            seen.pop()
        elif part[0] == '"' and seen and seen[-1] is not None and previous in "{,":
            key = json.loads(part)
            if key in seen[-1]:
                return True
            seen[-1].add(key)
        return False

    return is_it
