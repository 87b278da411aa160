"""Object literals as Python and JavaScript write them, rewritten as JSON: exactly, or refused.

Models that know these languages better than JSON write single quotes, `True`, a trailing comma or an unquoted key.
None of that is ambiguous. Nothing is guessed: what the grammar does not cover raises LiteralError.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .strict_json import MAX_CHARS, StrictJsonError, loads

_TOKEN = re.compile(
    r"""[ \t\r\n]*+(?:
      (?P<string>"(?:[^"\\\x00-\x1f]++|\\.)*+"|'(?:[^'\\\x00-\x1f]++|\\.)*+')
    | (?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?(?![\w.]))
    | (?P<word>[A-Za-z_$][\w$]*+)
    | (?P<mark>[{}\[\](),:=])
    | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", "'": "'", '"': '"'}
_WORDS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}


class LiteralError(ValueError):
    """The text is not one literal of this grammar."""


def read_literal(text: str) -> Any:
    """The value of one literal. Raises LiteralError."""
    return _loaded(_tokens(text))


def read_call(text: str) -> dict[str, Any]:
    """The arguments of `(...)`: `({"a": 1})`, `(a=1, b='x')` or `()`. Raises LiteralError."""
    tokens = _tokens(text)
    if tokens[:1] != ["("] or tokens[-1] != ")":
        raise LiteralError("expected ( and )")
    inside = tokens[1:-1]
    if inside[:1] == ["{"]:
        value = _loaded(inside[:-1] if inside[-1] == "," else inside)
    else:
        value = _loaded(["{", *_with_colons(inside), "}"])
    if not isinstance(value, dict):
        raise LiteralError("expected an object")
    return value


def _tokens(text: str) -> list[str]:
    """Split a literal into tokens, each rewritten as JSON. An unquoted key becomes a string."""
    if len(text) > MAX_CHARS:
        raise LiteralError("too long")
    tokens: list[str] = []
    at, kind, end = 0, "", len(text)
    while kind != "end":
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise LiteralError("unexpected character")
        kind, token, at = found.lastgroup, found[found.lastgroup], found.end()
        if kind == "string":
            token = json.dumps(unquoted(token))
        elif kind == "word":
            is_key = text[at : at + 64].lstrip(" \t\r\n")[:1] in {":", "="} if at < end else False
            token = json.dumps(token) if is_key else _WORDS.get(token, "")
            if not token:
                raise LiteralError("unexpected token")
        if kind != "end":
            tokens.append(token)
    return tokens


def _with_colons(tokens: list[str]) -> list[str]:
    """The tokens with each `key=value` outside of brackets rewritten as `key: value`."""
    depth, changed = 0, []
    for at, token in enumerate(tokens):
        depth += (token in {"{", "["}) - (token in {"}", "]"})
        if depth == 0 and token == ":":
            raise LiteralError("expected =")
        changed.append(":" if depth == 0 and token == "=" and at else token)
    return changed


def _loaded(tokens: list[str]) -> Any:
    """Parse JSON tokens. A comma before a closing bracket is allowed."""
    kept = [
        token
        for at, token in enumerate(tokens)
        if token != "," or tokens[at + 1 : at + 2] not in (["}"], ["]"]) or tokens[at - 1 : at] in (["{"], ["["], [","])
    ]
    try:
        return loads(" ".join(kept))
    except StrictJsonError as error:
        raise LiteralError(error.reason) from None


def unquoted(token: str) -> str:
    """The content of a quoted string; an escape that JSON does not know (as in a Windows path) is refused."""

    def replaced(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        if found[2] not in _ESCAPES:
            raise LiteralError("unknown escape")
        return _ESCAPES[found[2]]

    content = _ESCAPE.sub(replaced, token[1:-1])
    return content.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") if "\\u" in token else content
