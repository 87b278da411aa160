"""Reads vcrpy's cassettes as plain data, event by event: no file can cause recursion, build objects or expand aliases.

Only what vcrpy writes is read: mappings, lists, text, and bytes as `!!binary`. Dates stay text. Aliases and all other
tags are refused; nesting and size are capped.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from typing import TYPE_CHECKING, Any, NoReturn

from routing.errors import ConfigError
from routing.parsing.strict_json import deeper_than
from routing.parsing.strict_yaml import MAX_DEPTH, PLAIN, Mark, YamlReader, mark_of, shown
from routing.transport.limits import MAX_BODY

from ..engine.capture import CapturedRequest

if TYPE_CHECKING:
    import yaml

_TEXT_TAGS = frozenset({None, "tag:yaml.org,2002:str", "tag:yaml.org,2002:python/unicode", "!"})
_BINARY = "tag:yaml.org,2002:binary"
_INT = re.compile(r"-?[0-9]{1,18}")


class RecordingError(ConfigError):
    """A recording cannot be read. The message names file and line."""


class Unreadable(ValueError):
    """One recorded exchange cannot be read; the message says which field and why. `reason` is a reason code."""

    def __init__(self, message: str, reason: str = "not_recorded") -> None:
        super().__init__(message)
        self.reason = reason


def load_json(text: str | bytes) -> Any:
    """Parse JSON. Raises Unreadable for JSON that is invalid or nested too deeply, and for NaN and Infinity."""
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
    if deeper_than(data, MAX_DEPTH):
        raise Unreadable(f"is nested deeper than {MAX_DEPTH} levels")
    return data


def load_yaml(data: bytes, where: str) -> Any:
    """One YAML document as dict, list, str, bytes, int, bool and None. Raises RecordingError with file and line."""
    cassette = _Cassette(where, RecordingError)
    cassette.build(data)
    return cassette.root


def step_of(row: Any) -> CapturedRequest:
    """Convert one interaction of a cassette to a request with its answer. Raises Unreadable."""
    row = as_mapping(row, "an interaction")
    request, response = as_mapping(row.get("request"), "request"), as_mapping(row.get("response"), "response")
    url = as_text(request.get("uri"), "request.uri")
    content = _as_bytes(request.get("body"), "request.body")
    headers = _headers(response, "response.headers")
    # Older versions of vcrpy store httpx responses as `status_code` and `content`.
    status = response.get("status_code") or as_mapping(response.get("status"), "response.status").get("code")
    body = _as_bytes(response.get("body", response.get("content")), "response.body")
    return CapturedRequest(
        method=str(request.get("method")),
        url=url,
        headers=_headers(request, "request.headers"),
        content=content,
        status=as_status(status, "response.status.code"),
        answer_headers=headers,
        body=_decoded(body, headers.get("content-encoding", "")),
    )


def as_mapping(value: Any, field: str) -> dict[str, Any]:
    """The value of a field if it is a mapping. Raises Unreadable for any other value."""
    if not isinstance(value, dict):
        raise _wrong(value, field, "an object")
    return value


def as_text(value: Any, field: str) -> str:
    """The value of a field if it is text. Raises Unreadable for any other value."""
    if not isinstance(value, str):
        raise _wrong(value, field, "text")
    return value


def as_status(value: Any, field: str) -> int:
    """The value of a field if it is an HTTP status, 100 to 599. Raises Unreadable for any other value."""
    if type(value) is not int or not 100 <= value <= 599:
        raise _wrong(value, field, "an HTTP status")
    return value


def _wrong(value: Any, field: str, wanted: str) -> Unreadable:
    return Unreadable(f"{field} is missing" if value is None else f"{field} must be {wanted}")


def _headers(row: dict[str, Any], field: str) -> dict[str, str]:
    return {str(name).lower(): _first(value) for name, value in as_mapping(row.get("headers") or {}, field).items()}


def _as_bytes(value: Any, field: str) -> bytes:
    """Bytes of a body that vcrpy stored as text, as bytes, or as a mapping with `string` or `base64_string`.

    Raises Unreadable for any other value.
    """
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


def _first(value: Any) -> str:
    """A header's value as text: the first of a list, or the single value; empty for other types."""
    value = value[0] if isinstance(value, list) and value else value
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _decoded(body: bytes, encoding: str) -> bytes:
    """The body without its content encoding, which vcrpy may have removed already. Raises Unreadable."""
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"} or _looks_plain(body):
        return body
    if encoding in {"gzip", "x-gzip"}:
        return _inflated(body, 31, encoding)
    if encoding == "deflate":  # zlib's format, which begins with a head, or without that head
        headed = body[0] & 15 == 8 and int.from_bytes(body[:2]) % 31 == 0
        return _inflated(body, 15 if headed else -15, encoding)
    advice = "record with vcrpy's decode_compressed_response=True"
    raise Unreadable(f"content-encoding {encoding[:20]!r} is not read here; {advice}", "other_protocol")


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
    """Whether the body is JSON or an event stream without decoding; no compressed body begins like that."""
    start = body[:64].lstrip()
    return not body or start.startswith((b"{", b"[", b"data:", b"event:", b"id:", b": "))


def _refuse_constant(word: str) -> NoReturn:
    raise Unreadable(f"is not JSON: {word} is not a number")


class _Cassette(YamlReader):
    """YAML reader for what vcrpy writes: mappings, lists, text and `!!binary`. Of two equal keys, the later is kept."""

    documents_error = "a second document; a cassette is one"

    def scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        if event.tag == _BINARY:
            try:
                return base64.b64decode("".join(text.split()), validate=True)
            except (binascii.Error, ValueError):
                self.refuse("!!binary is not base64", mark_of(event))
        if event.tag not in _TEXT_TAGS:
            self.refuse(f"the tag {shown(event.tag)} is not read here", mark_of(event))
        if event.style or event.tag:
            return text
        if text.lower() in PLAIN:
            return PLAIN[text.lower()]
        return int(text) if _INT.fullmatch(text) else text

    def key(self, key: Any, event: yaml.Event, mapping: dict[str, Any]) -> str:  # noqa: ARG002 - the base's signature
        if not isinstance(key, str | int):
            self.refuse("a key that is not text", mark_of(event))
        return str(key)

    def collection(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            self.refuse(f"the tag {shown(event.tag)} is not read here", mark_of(event))

    def alias(self, event: yaml.AliasEvent) -> None:
        self.refuse(f"the alias {shown(event.anchor)} is not read here: repeat the value", mark_of(event))

    def document(self, event: yaml.DocumentStartEvent) -> None:
        """Accept YAML directives."""

    def refuse(self, message: str, mark: Mark | None) -> NoReturn:
        raise RecordingError(message, where=f"{self._source.where}:{mark[0]}" if mark else self._source.where)
