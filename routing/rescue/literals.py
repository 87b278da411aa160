"""Object literals as Python and JavaScript write them: one bounded grammar, read exactly or refused.

Models that know these languages better than JSON write single quotes, `True`, a trailing comma or an unquoted key.
None of that is ambiguous. Nothing is guessed: what the grammar does not cover raises LiteralError.
"""

from __future__ import annotations

import re
from typing import Any

from ..parsing.strict_json import MAX_CHARS, MAX_DEPTH, loads

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
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


class LiteralError(ValueError):
    """The text is not one literal of this grammar."""


class _Reader:
    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARS:
            raise LiteralError("too long")
        self.text = text
        self.at = 0
        self.kind = ""
        self.value = ""
        self.take()

    def take(self) -> str:
        """The current token; the next one becomes current."""
        taken = self.value
        found = _TOKEN.match(self.text, self.at)
        if found is None or found.lastgroup is None:
            raise LiteralError("unexpected character")
        self.kind, self.value, self.at = found.lastgroup, found[found.lastgroup], found.end()
        return taken

    def eat(self, mark: str) -> bool:
        """Take `mark` if it is the current token."""
        if self.kind != "mark" or self.value != mark:
            return False
        self.take()
        return True

    def expect(self, mark: str) -> None:
        if not self.eat(mark):
            raise LiteralError(f"expected {mark}")

    def read(self, depth: int = 0) -> Any:
        """One value: string, number, word, list or object."""
        if depth > MAX_DEPTH:
            raise LiteralError("nested too deeply")
        if self.kind == "string":
            return unquoted(self.take())
        if self.kind == "number":
            return loads(self.take())
        if self.kind == "word" and self.value in _WORDS:
            return _WORDS[self.take()]
        if self.eat("["):
            return self._items("]", depth)
        if self.eat("{"):
            return self._pairs("}", ":", depth)
        raise LiteralError("unexpected token")

    def _items(self, close: str, depth: int) -> list[Any]:
        items: list[Any] = []
        while not self.eat(close):
            items.append(self.read(depth + 1))
            if not self.eat(","):
                self.expect(close)
                break
        return items

    def _pairs(self, close: str, between: str, depth: int) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        while not self.eat(close):
            if self.kind not in {"string", "word"}:
                raise LiteralError("expected a key")
            key = unquoted(self.take()) if self.kind == "string" else self.take()
            self.expect(between)
            if key in pairs:
                raise LiteralError("duplicate key")
            pairs[key] = self.read(depth + 1)
            if not self.eat(","):
                self.expect(close)
                break
        return pairs

    def call(self) -> dict[str, Any]:
        """What stands between the parentheses of a call: nothing, one object, or `key=value` pairs."""
        self.expect("(")
        if self.kind == "mark" and self.value == "{":
            value = self.read()
            self.eat(",")
            self.expect(")")
        else:
            value = self._pairs(")", "=", 0)
        if not isinstance(value, dict):
            raise LiteralError("expected an object")
        return value

    def finish(self) -> None:
        if self.kind != "end":
            raise LiteralError("extra text")


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


def read_literal(text: str) -> Any:
    """The value of one literal. Raises LiteralError."""
    return _guarded(text, lambda reader: reader.read())


def read_call(text: str) -> dict[str, Any]:
    """The arguments of `(...)`: `({"a": 1})`, `(a=1, b='x')` or `()`. Raises LiteralError."""
    value: dict[str, Any] = _guarded(text, lambda reader: reader.call())
    return value


def _guarded(text: str, read: Any) -> Any:
    try:
        reader = _Reader(text)
        value = read(reader)
        reader.finish()
    except (RecursionError, UnicodeError):
        raise LiteralError("unreadable") from None
    except LiteralError:
        raise
    except ValueError:  # a number that the strict reader refuses
        raise LiteralError("number too large") from None
    return value
