"""Shape of an answer: its fields, their types, and the values on which this package branches. Pure.

A shape contains no text of a model. It maps names of facts to values, for example `choices[].message.content` to
`text`. Fields that are null are left out, because every reader here takes null as absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from routing.errors import ExchangeError
from routing.exchange import Exchange
from routing.parsing.kimi_ids import is_kimi_id
from routing.transport import is_event_stream
from routing.types import Answer, RawToolCall
from routing.wire.sse import Decoder, Event

from ..recording.cassettes import Unreadable, load_json
from ..safe_text import one_line

Shape: TypeAlias = dict[str, str]
_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "request-id", "x-generation-id")
_VALUES = frozenset({"type", "code", "finish_reason", "stop_reason", "status"})
"""JSON members whose value decides how an answer is read."""
_CONTENT = frozenset({"input", "arguments"})
"""JSON members whose own members are content: arguments of calls, and requests that are echoed."""
_OUTCOME = ("HTTP status", "content type", "read as")
_MOST = 500
_ID = re.compile(r"(?:call|toolu|chatcmpl-tool|functions)[_.-]")


def shape_of(done: Exchange, headers: Mapping[str, str], model_id: str = "") -> Shape:
    """The shape of one exchange: its status, headers and body, and what the wire read from them.

    With `model_id`, the body is a list of models, of which only this one counts.
    """
    found: dict[str, set[str]] = {}
    for name, value in (*_outcome(done, headers), *_of_body(done, model_id)):
        if len(found) < _MOST or name in found:
            found.setdefault(one_line(name, 90), set()).add(one_line(value, 160))
    return {name: " or ".join(sorted(values)[:6]) for name, values in found.items()}


def differences(host: Shape, simulated: Shape) -> tuple[tuple[str, str, str], ...]:
    """Facts that differ: name, value at the host, value at the simulator; `-` if the fact is absent.

    If only one of both is an error, its other facts follow from that, and only those of the host's error count.
    """
    answered = [shape.get("read as") is None for shape in (host, simulated)]
    names = dict.fromkeys((*host, *simulated))
    if answered[0] != answered[1]:
        names = dict.fromkeys(_OUTCOME if answered[0] else (*_OUTCOME, *host))
    slow = {"stream comments"} - host.keys()  # hosts send them only while they wait
    pairs = ((name, host.get(name, "-"), simulated.get(name, "-")) for name in names if name not in slow)
    return tuple(pair for pair in pairs if pair[1] != pair[2])


def _outcome(done: Exchange, headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if done.status is not None:
        yield "HTTP status", "2xx" if 200 <= done.status < 300 else str(done.status)
        yield "content type", done.content_type.partition(";")[0].strip().lower()
    yield from ((f"header {name}", "sent") for name in _HEADERS if name in headers)
    if done.error is not None:
        yield "read as", f"{done.error.reason} ({done.error.error_class})"
    elif done.answer is not None:
        yield from _of_answer(done.answer)


def _of_answer(answer: Answer) -> Iterator[tuple[str, str]]:
    """Facts of an answer as the wire read it."""
    yield "finish reason", answer.finish_reason or "none"
    yield from (("call id", _id_form(call)) for call in answer.tool_calls)
    if answer.usage is not None:
        yield "usage", "counted" if answer.usage.counted else "0 tokens"
    for name in ("tool_calls", "reported_cost_usd", "upstream", "tried"):
        if getattr(answer, name):
            yield f"read: {name}", "yes"
    yield from ((f"note {note.partition(':')[0]}", "yes") for note in answer.notes)


def _id_form(call: RawToolCall) -> str:
    if is_kimi_id(call.id or "", call.name or ""):
        return "functions.NAME:N"
    found = _ID.match(call.id or "")
    return f"{found[0]}..." if found else "another form" if call.id else "none"


def _of_body(done: Exchange, model_id: str) -> Iterator[tuple[str, str]]:
    if is_event_stream(done.status or 0, {"content-type": done.content_type}):
        yield from _of_stream(done.body)
        return
    try:
        page = load_json(done.body or b"null")
    except Unreadable:
        yield "body", "not JSON"
        return
    rows = page.get("data") if isinstance(page, dict) else page
    if model_id and isinstance(rows, list):
        page = [row for row in rows if isinstance(row, dict) and row.get("id") == model_id]
        yield "this model", "listed" if page else "not listed"
    yield from _fields(page)


def _of_stream(body: bytes) -> Iterator[tuple[str, str]]:
    """Facts of a stream: the fields of all its chunks, and the order in which kinds of events first came."""
    if any(line.startswith(b":") for line in body.splitlines()):
        yield "stream comments", "sent"
    order: dict[str, None] = {}
    with suppress(ExchangeError):
        for event in Decoder().feed(body):
            data = None
            with suppress(Unreadable):  # `[DONE]`, and Replicate's events, which are text
                data = load_json(event.data)
            order[_kind(event, data)] = None
            yield from _fields(data)
    yield "stream events", ", ".join(name for name in order if name != "ping")


def _kind(event: Event, data: Any) -> str:
    if not isinstance(data, dict) or event.name != "message":
        return "[DONE]" if event.data.strip() == "[DONE]" else event.name
    choices = data.get("choices")
    ends = isinstance(choices, list) and any(isinstance(one, dict) and one.get("finish_reason") for one in choices)
    parts = {"finish": ends, "usage": data.get("usage"), "error": data.get("error")}
    return "+".join(name for name, there in parts.items() if there) or "delta"


def _fields(value: Any, path: str = "", name: str = "") -> Iterator[tuple[str, str]]:
    """Each field of a JSON value with its type, or with its value if this package branches on it."""
    if isinstance(value, dict) and name not in _CONTENT:
        for key, each in value.items():
            yield from _fields(each, f"{path}.{key}" if path else key, key)
    elif isinstance(value, list):
        for each in value:
            yield from _fields(each, f"{path}[]", name)
    elif value is not None and path:
        kinds = {bool: "flag", str: "text", dict: "object"}
        yield path, str(value) if name in _VALUES else kinds.get(type(value), "number")
