"""Removes account data from recorded exchanges: only headers that a wire reads or writes are kept. Pure.

`routing.captures.account_data` cleans the bodies of answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from routing.captures.account_data import clean_body, without_ids

from ..engine.capture import CapturedExchange, CapturedRequest

ASKED = frozenset({"accept", "anthropic-version", "cancel-after", "content-type", "prefer", "x-openrouter-metadata"})
ANSWERED = frozenset({"content-type", "retry-after", "retry-after-ms", "x-should-retry"})
"""Headers that are kept: request headers that wires write (`ASKED`), response headers that they read (`ANSWERED`)."""
_SHORTEST_URL = len("http://a")


def scrubbed(captured: CapturedExchange, base_url: str, public_url: str) -> CapturedExchange:
    """The captured exchange without account data. The provider's `base_url` is replaced by its `public_url`."""
    steps = tuple(_step(step, base_url, public_url) for step in captured.steps)
    return replace(captured, steps=steps)


def _step(step: CapturedRequest, base_url: str, public_url: str) -> CapturedRequest:
    headers = {name: _public(value, base_url, public_url) for name, value in _kept(step.answer_headers, ANSWERED)}
    body = _public_bytes(step.body, base_url, public_url)
    return replace(
        step,
        url=_public(step.url, base_url, public_url),
        headers=dict(_kept(step.headers, ASKED)),
        answer_headers={name: without_ids(value) for name, value in headers.items()},
        body=clean_body(body, step.status, step.answer_headers.get("content-type", "")),
    )


def _kept(headers: Mapping[str, str], allowed: frozenset[str]) -> Iterator[tuple[str, str]]:
    return ((name.lower(), value) for name, value in sorted(headers.items()) if name.lower() in allowed)


def _public(text: str, base_url: str, public_url: str) -> str:
    return _public_bytes(text.encode("utf-8", "surrogatepass"), base_url, public_url).decode("utf-8", "surrogatepass")


def _public_bytes(data: bytes, base_url: str, public_url: str) -> bytes:
    """Replace `base_url`, which may be an address of this machine or a private gateway, by `public_url`."""
    if len(base_url) <= _SHORTEST_URL or base_url == public_url:
        return data
    for one, other in ((base_url, public_url), (base_url.replace("/", r"\/"), public_url.replace("/", r"\/"))):
        data = data.replace(one.encode(), other.encode())
    return data
