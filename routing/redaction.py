"""Removes API keys from everything that comes from outside, or that goes into a log, an error or a file.

There are two tools for two kinds of text. `Secrets` removes known keys, in any form in which a host may echo them,
and nothing else: it is safe for answers. `redact` also removes whatever looks like a key: for errors, logs and reports.
"""

from __future__ import annotations

import base64
import codecs
import functools
import html
import json
import logging
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from .types import Answer, RawToolCall, UpstreamAttempt

REDACTED = "[redacted]"
_REDACTED = REDACTED.encode()
for _name in ("utf-16-le", "utf-16-be"):
    codecs.lookup(_name)  # reads a file; later there may be no free descriptor
_SHORTEST = 8
"""The shortest value that is removed. Shorter ones are placeholders (`EMPTY`, `test`); removing them would damage
answers.
"""
# Prefixes of the providers' and GitHub's keys; below, the value after a word such as "token" in a header or body.
_KEYS = re.compile(
    r"\b(?:sk|gsk|r8|tgp|ghp|gho|ghu|ghs|ghr|xox[abp])[-_][A-Za-z0-9_-]{8,}"
    r"|\bgithub_pat_\w{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
)
_HOOK = re.compile(r"(hooks\.slack\.com/(?:services|workflows|triggers)/)[\w/+-]+")
_AFTER_WORD = re.compile(
    r"(?i)\b(bearer|basic|api[-_ ]?key|authorization|token)(\W{1,4})(?=[a-z_+/=.-]{0,99}\d)([\w+/=.-]{16,})"
)
_USERINFO = re.compile(r"(?<=://)[^\s/?#@\"'<>]+(?:@[^\s/?#@\"'<>]+)*@")
_QUERY_SECRET = re.compile(
    r"(?i)([?&;](?:[\w.-]*(?:sig|signature|token|secret|password|passwd|pwd|credential)|(?:api|access|auth)?[-_]?key|auth)=)"
    r"[^\s&;#\"'<>\[]+"
)
_SECRET_NAME = re.compile(r"(?:_KEY|_TOKEN|_SECRET|_PASSWORD|_WEBHOOK_URL)(?:_[0-9]+)?$")


class HiddenText(str):
    """A secret text whose repr hides it: a traceback that shows local variables does not show the secret."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED


_UNPREFIXED = re.compile(r"(?:[A-Za-z0-9]{1,6}[-_]){1,3}+([A-Za-z0-9_-]{16,})")
"""A key with a prefix such as `sk-or-v1-`, and the rest, which is all that is secret of it."""


class ApiKey(HiddenText):
    """An API key, hidden in every repr."""

    __slots__ = ()


class Secrets:
    """Known keys in every form in which a host may echo them.

    Forms: plain, without its prefix (`sk-`), base64 at any alignment, percent-encoded, JSON- and HTML-escaped,
    hexadecimal, UTF-16.
    """

    __slots__ = ("_forms", "_letters")

    def __init__(self, values: Iterable[str]) -> None:
        long = [value for value in values if len(value) >= _SHORTEST]
        forms = {form for value in long for form in _forms(value)}
        forms |= {found[1].encode() for value in long if (found := _UNPREFIXED.fullmatch(value))}
        self._forms = tuple(sorted(forms, key=len, reverse=True))
        self._letters = bytes(set(b"".join(self._forms)))

    def __repr__(self) -> str:
        return "Secrets(...)"

    def data(self, data: bytes) -> bytes:
        """`data` with each known key replaced by `[redacted]`."""
        for form in self._forms:
            if form in data:
                data = data.replace(form, _REDACTED)
        return data

    def text(self, text: str) -> str:
        """`text` with each known key replaced by `[redacted]`."""
        raw = text.encode("utf-8", "surrogatepass")
        clean = self.data(raw)
        return text if clean is raw else clean.decode("utf-8", "surrogatepass")

    def answer(self, answer: Answer) -> Answer:
        """The answer without known keys, also those that the host had cut into several pieces of a stream."""
        text = _all_text(answer)
        if text is not None and self.text(text) is text:
            return answer
        clean: Answer = self._clean(answer)
        return clean

    def _clean(self, value: Any) -> Any:
        """The value with the keys removed from all its texts, whatever its type."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, tuple):
            return tuple(map(self._clean, value))
        if isinstance(value, Answer | RawToolCall | UpstreamAttempt):
            return replace(value, **{part.name: self._clean(getattr(value, part.name)) for part in fields(value)})
        if not isinstance(value, dict | list):
            return value
        try:
            text = json.dumps(value, ensure_ascii=False)
        except RecursionError:
            return REDACTED  # nested too deeply for any tool
        found = self.text(text)
        return value if found == text else json.loads(found)

    def stream(self) -> SecretStream:
        """A redactor for bytes that come in pieces; it also finds a key that is cut in two."""
        return SecretStream(self)

    def begun(self, data: bytes) -> int:
        """The number of bytes at the end of `data` that may be the beginning of a key."""
        start = len(data.rstrip(self._letters))
        longest = 0
        for form in self._forms if start < len(data) else ():
            at = data.find(form[:1], max(start, len(data) - len(form) + 1))
            while 0 <= at < len(data) - longest:
                if form.startswith(data[at:]):
                    longest = len(data) - at
                at = data.find(form[:1], at + 1)
        return longest


class SecretStream:
    """Removes known keys from bytes that come in pieces.

    It holds back only bytes that may be the beginning of a key.
    """

    __slots__ = ("_held", "_secrets")

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Add a chunk, and return the bytes that are safe to pass on now."""
        clean = self._secrets.data(self._held + chunk)
        held = self._secrets.begun(clean)
        self._held = clean[len(clean) - held :]
        return clean[: len(clean) - held]

    def finish(self) -> bytes:
        """End the stream, and return the bytes that were held back."""
        held, self._held = self._held, b""
        return held


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text without keys (`redact_keys`) and without credentials in URLs: user, password, secret query values."""
    text = redact_keys(text, environment)
    if "://" not in text:
        return text
    return _QUERY_SECRET.sub(rf"\1{REDACTED}", _USERINFO.sub(f"{REDACTED}@", text))


def shown_url(url: str) -> str:
    """The URL for a message or status: without user, password, fragment and the values of its query.

    Of a text that is not a URL only the scheme is shown, because any part of it may be a password.
    """
    try:
        urlsplit(url).port  # noqa: B018 - raises for `user:password` without a host
    except ValueError:
        return f"{escaped(redact(url.partition('://')[0]))}://{REDACTED}"
    base, mark, query = url.partition("#")[0].partition("?")
    names = [part.partition("=") for part in query.split("&")]
    hidden = "&".join(f"{name}={REDACTED}" if equals else REDACTED for name, equals, _ in names)
    return escaped(redact(base)) + (f"?{escaped(redact(hidden))}" if mark else "")


def redact_keys(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text without anything that looks like a key, and without the values of `environment_secrets`."""
    if not text:
        return text
    text = _KEYS.sub(REDACTED, environment_secrets(environment).text(text))
    return _AFTER_WORD.sub(rf"\1\2{REDACTED}", _HOOK.sub(rf"\1{REDACTED}", text))


def escaped(text: str) -> str:
    """The text made safe to print: control, format and unassigned characters, except the line feed, become escapes."""
    if text.isprintable():
        return text
    return "".join(char if _is_shown(char) else ascii(char)[1:-1] for char in text)


def _is_shown(char: str) -> bool:
    return char == "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}


def environment_secrets(environment: Mapping[str, str] | None = None) -> Secrets:
    """The values of all environment variables whose name marks them as secret, such as `..._KEY` or `..._TOKEN`."""
    environment = os.environ if environment is None else environment
    values = [environment.get(name, "").strip() for name in environment if _SECRET_NAME.search(name)]
    parts = (part.strip() for value in values if "," in value for part in value.split(","))  # several keys in one
    return known(frozenset((*values, *parts)))


class LogFilter(logging.Filter):
    """Removes keys from the records of another library's logger: the environment's keys, and those given to `learn`."""

    def __init__(self) -> None:
        super().__init__()
        self._values: frozenset[str] = frozenset()
        self._secrets = Secrets(())

    def learn(self, values: frozenset[str]) -> None:
        """Remove these values from later records as well."""
        if not values <= self._values:
            self._values |= values
            self._secrets = Secrets(self._values)

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove keys from the record; no record is dropped."""
        record.msg, record.args = redact(self._secrets.text(record.getMessage())), None
        return True


@functools.lru_cache(maxsize=64)
def known(values: frozenset[str]) -> Secrets:
    """`Secrets(values)`, cached."""
    return Secrets(values)


def _all_text(answer: Answer) -> str | None:
    """All text of an answer, joined so that it can be searched in one pass.

    None if a call's arguments are a JSON value instead of a string: then each field must be searched alone.
    """
    told = [answer.text, answer.reasoning, answer.finish_reason, answer.model, answer.upstream, answer.generation_id]
    for call in answer.tool_calls:
        if call.arguments is not None and not isinstance(call.arguments, str):
            return None
        told += (call.id, call.name, call.arguments)
    return "\n".join([*filter(None, told), *answer.notes, *(tried.upstream for tried in answer.tried)])


def _forms(value: str) -> Iterator[bytes]:
    raw = value.encode("utf-8", "surrogatepass")
    yield raw
    yield from _base64(raw)
    for text in (*_escaped(value), *_spelled(raw)):
        yield text.encode("utf-8", "surrogatepass")
    yield value.encode("utf-16-le", "surrogatepass")
    yield value.encode("utf-16-be", "surrogatepass")


def _base64(raw: bytes) -> Iterator[bytes]:
    """Base64 forms of the value, one for each alignment within longer data, in both alphabets.

    Each form holds only the characters that depend on the value alone.
    """
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw)
        core = text[(0, 2, 3)[before] : (before + len(raw)) * 8 // 6]
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))


def _escaped(value: str) -> Iterator[str]:
    """The value escaped as in URLs, HTML and JSON. Only characters that need an escape are escaped."""
    for percent in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield percent
        yield re.sub("%..", lambda pair: pair[0].lower(), percent)
    for escaped in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        yield escaped
        yield escaped.replace("/", r"\/")
    yield html.escape(value)


def _spelled(raw: bytes) -> Iterator[str]:
    """The value in hexadecimal, and with every byte escaped as in URLs and JSON."""
    for pairs in (f"{raw.hex()}", f"{raw.hex().upper()}"):
        each = [pairs[at : at + 2] for at in range(0, len(pairs), 2)]
        yield pairs
        yield "%" + "%".join(each)
        yield r"\u00" + r"\u00".join(each)
