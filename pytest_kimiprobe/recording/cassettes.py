"""vcrpy's cassettes as plain data: read event by event, so that no file can make the reader recurse, build or expand.

Only what vcrpy writes is read: mappings, sequences, text, and bytes as `!!binary`. Dates stay text. Aliases and every
other tag are refused, nesting and size are capped.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from typing import TYPE_CHECKING, Any, NoReturn

from routing.errors import ConfigError
from routing.transport.limits import MAX_BODY

if TYPE_CHECKING:
    import yaml

MAX_DEPTH = 64
_TAGS = frozenset({None, "tag:yaml.org,2002:str", "tag:yaml.org,2002:python/unicode", "!"})
_BINARY = "tag:yaml.org,2002:binary"
_INT = re.compile(r"-?[0-9]{1,18}")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_GZIP, _ZLIB, _RAW = 31, 15, -15


class RecordingError(ConfigError):
    """A recording cannot be read. The message names file and line."""


class Unreadable(ValueError):
    """One recorded exchange cannot be read; the message says which field and why. `reason` is a reason code."""

    def __init__(self, message: str, reason: str = "not_recorded") -> None:
        super().__init__(message)
        self.reason = reason


def load_json(text: str | bytes) -> Any:
    """JSON within bounds. Raises Unreadable."""
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise Unreadable(f"is nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"is not JSON: {error.msg} (column {error.colno})") from None
    except Unreadable:
        raise
    except ValueError:  # not UTF-8, or a number of thousands of digits
        raise Unreadable("is not JSON: a byte or number that no reader takes") from None
    if _depth_of(data) > MAX_DEPTH:
        raise Unreadable(f"is nested deeper than {MAX_DEPTH} levels")
    return data


def load_yaml(data: bytes, where: str) -> Any:
    """One YAML document as dict, list, str, bytes, int, bool and None. Raises RecordingError with file and line."""
    import yaml

    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    builder = _Builder(where)
    try:
        for event in yaml.parse(data, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        place = f"{where}:{mark.line + 1}" if mark else where
        raise RecordingError(f"is not YAML: {problem.problem or problem.context}", where=place) from None
    except (yaml.YAMLError, UnicodeError) as problem:
        raise RecordingError(f"is not YAML: {type(problem).__name__}", where=where) from None
    return builder.root


def decoded(body: bytes, encoding: str) -> bytes:
    """The body without its content encoding; vcrpy may have taken it off already. Raises Unreadable."""
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"} or _looks_plain(body):
        return body
    if encoding in {"gzip", "x-gzip"}:
        return _inflated(body, _GZIP, encoding)
    if encoding == "deflate":
        try:
            return _inflated(body, _ZLIB, encoding)
        except Unreadable as problem:
            if problem.reason == "body_too_large":
                raise
            return _inflated(body, _RAW, encoding)
    told = f"content-encoding {encoding[:20]!r} is not read here; record with vcrpy's decode_compressed_response=True"
    raise Unreadable(told, "other_protocol")


def as_mapping(value: Any, field: str) -> dict[str, Any]:
    """A mapping. Raises Unreadable."""
    if not isinstance(value, dict):
        raise Unreadable(f"{field} is missing" if value is None else f"{field} must be an object")
    return value


def as_text(value: Any, field: str) -> str:
    """A text. Raises Unreadable."""
    if not isinstance(value, str):
        raise Unreadable(f"{field} is missing" if value is None else f"{field} must be text")
    return value


def as_status(value: Any, field: str) -> int:
    """An HTTP status. Raises Unreadable."""
    if value is None:
        raise Unreadable(f"{field} is missing")
    if type(value) is not int or not 100 <= value <= 599:
        raise Unreadable(f"{field} must be an HTTP status")
    return value


def as_bytes(value: Any, field: str) -> bytes:
    """A body as vcrpy keeps it: text, bytes, or a mapping with `string` or `base64_string`. Raises Unreadable."""
    if isinstance(value, dict):
        if isinstance(coded := value.get("base64_string"), str):
            try:
                return base64.b64decode(coded)
            except (binascii.Error, ValueError):
                raise Unreadable(f"{field}.base64_string is not base64") from None
        value = value.get("string")
    if value is None:
        return b""
    if not isinstance(value, (str, bytes)):
        raise Unreadable(f"{field} must be text or bytes")
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def first_value(value: Any) -> str:
    """A header's first value, of a list or alone."""
    value = value[0] if isinstance(value, list) and value else value
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _inflated(body: bytes, window: int, encoding: str) -> bytes:
    inflater = zlib.decompressobj(window)
    try:
        plain = inflater.decompress(body, MAX_BODY + 1)
    except zlib.error:
        raise Unreadable(f"response.body declares {encoding}, but is not", "bad_encoding") from None
    if len(plain) > MAX_BODY:
        raise Unreadable(f"response.body unfolds to more than {MAX_BODY} bytes", "body_too_large")
    if not inflater.eof:
        raise Unreadable(f"response.body: the {encoding} data ends early", "bad_encoding")
    return plain


def _looks_plain(body: bytes) -> bool:
    """Whether it is JSON or an event stream as it stands; no compressed body begins so."""
    start = body[:64].lstrip()
    return not body or start.startswith((b"{", b"[", b"data:", b"event:", b"id:", b": "))


def _refuse_constant(word: str) -> NoReturn:
    raise Unreadable(f"is not JSON: {word} is no number")


def _depth_of(data: Any) -> int:
    """How deep lists and mappings nest, counted without recursion."""
    depth, level = 0, [data]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        if depth > MAX_DEPTH:
            break
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


class _Builder:
    """Data out of events, with an explicit stack of open collections and the keys that they wait for a value of."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.root: Any = None
        self.stack: list[tuple[dict[str, Any] | list[Any], list[str]]] = []
        self.documents = 0

    def take(self, event: yaml.Event) -> None:
        import yaml

        if isinstance(event, yaml.ScalarEvent):
            self.add(self.scalar(event), event)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(self.stack) >= MAX_DEPTH:
                self.refuse(f"is nested deeper than {MAX_DEPTH} levels", event)
            if event.tag is not None:
                self.refuse(f"the tag {_shown(event.tag)} is not read here", event)
            self.stack.append(({} if isinstance(event, yaml.MappingStartEvent) else [], []))
        elif isinstance(event, yaml.CollectionEndEvent):
            self.add(self.stack.pop()[0], event)
        elif isinstance(event, yaml.AliasEvent):
            self.refuse(f"the alias {_shown(event.anchor)} is not read here: write out what it stands for", event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.refuse("a second document; a cassette is one", event)

    def add(self, value: Any, event: yaml.Event) -> None:
        if not self.stack:
            self.root = value
            return
        target, keys = self.stack[-1]
        if isinstance(target, list):
            target.append(value)
        elif keys:
            target[keys.pop()] = value
        elif isinstance(value, (str, int)):
            keys.append(str(value))
        else:
            self.refuse("a key that is no text", event)

    def scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        if event.tag == _BINARY:
            try:
                return base64.b64decode("".join(text.split()), validate=True)
            except (binascii.Error, ValueError):
                self.refuse("!!binary is not base64", event)
        if event.tag not in _TAGS:
            self.refuse(f"the tag {_shown(event.tag)} is not read here", event)
        if event.style or event.tag:
            return text
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        return int(text) if _INT.fullmatch(text) else text

    def refuse(self, message: str, event: yaml.Event) -> NoReturn:
        mark = event.start_mark
        raise RecordingError(message, where=f"{self.where}:{mark.line + 1}" if mark else self.where)


def _shown(text: str | None) -> str:
    return ascii((text or "")[:40])
