"""One exchange as text: the request and the response, without keys and control characters. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from routing.exchange import Exchange
from routing.types import Answer

from ..safe_text import one_line, redact

_SHOWN = 4000
_STREAM_SHOWN = 400


def exchange_lines(name: str, done: Exchange, environment: Mapping[str, str]) -> Iterator[str]:
    """One exchange as lines of text without keys, as `--kimiprobe-verbose` prints it."""
    request = json.dumps(done.request, ensure_ascii=False)
    body = done.body.decode("utf-8", "replace")
    first = f", first token {done.first_token_ms:.0f} ms" if done.first_token_ms is not None else ""
    yield f"--- {name}"
    yield f"> {one_line(redact(request, environment), _SHOWN)}"
    if body:
        shown = _SHOWN if done.first_token_ms is None else _STREAM_SHOWN
        yield f"< HTTP {done.status}: {one_line(redact(body, environment), shown)}"
    if done.answer is not None and done.first_token_ms is not None:
        yield f"= {one_line(redact(_assembled(done.answer), environment), _SHOWN)}"
    if done.error is not None:
        yield f"! {one_line(redact(str(done.error), environment), _SHOWN)}"
    yield f"  {done.total_ms:.0f} ms{first}"


def _assembled(answer: Answer) -> str:
    """The answer that was assembled from a stream, as text."""
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in answer.tool_calls]
    whole = {"text": answer.text, "tool_calls": calls, "finish_reason": answer.finish_reason}
    return json.dumps(whole, ensure_ascii=False, default=str)
