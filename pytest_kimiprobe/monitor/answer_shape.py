"""Shape of an answer: its fields, their types, and the values on which this package branches. Pure.

A shape contains no text of a model. It is a set of facts, such as `choices[].message.content` with the value `text`.
Fields that are null are left out, because every reader here takes null as absent.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, TypeAlias

from routing.errors import ExchangeError
from routing.exchange import Exchange
from routing.parsing.kimi_ids import is_kimi_id
from routing.transport import is_event_stream
from routing.types import Answer, RawToolCall
from routing.wire.sse import Decoder, Event

from ..recording.cassettes import Unreadable, load_json
from ..safe_text import one_line

Fact: TypeAlias = tuple[str, str]
Shape: TypeAlias = dict[Fact, None]
"""Facts in the order in which they were found: name and value. Names of what was read from an answer have a space."""
_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "request-id", "x-generation-id")
_VALUES = frozenset({"type", "code", "finish_reason", "stop_reason", "status"})
"""JSON members whose value decides how an answer is read."""
_CONTENT = frozenset({"input", "arguments"})
"""JSON members whose own members are content: arguments of calls, and requests that are echoed."""
_OUTCOME = ("HTTP status", "content type", "read as")
_COMMENTS = ("stream comments", "sent")
_MOST = 500
_ID = re.compile(r"(?:call|toolu|chatcmpl-tool|functions)[_.-]")


def shape_of(done: Exchange, headers: Mapping[str, str], model_id: str = "") -> Shape:
    """The shape of one exchange: its status, headers and body, and what the wire read from them.

    With `model_id`, the body is a list of models, of which only this one counts.
    """
    facts = islice(dict.fromkeys(_facts(done, headers, model_id)), _MOST)
    return {(one_line(name, 90), one_line(value, 160)): None for name, value in facts}


def kind_of(shape: Shape) -> str:
    """`stream`, `plain`, `page`, or `error`. Answers of one kind have the same fields, except for errors."""
    names = {name for name, _ in shape}
    kinds = {"read as": "error", "stream events": "stream", "finish reason": "plain"}
    return next((kind for name, kind in kinds.items() if name in names), "page")


def value_of(shape: Shape, name: str) -> str:
    """The values of a fact, joined; `-` if it is absent."""
    return " or ".join(sorted(value for known, value in shape if known == name)[:6]) or "-"


def differences(
    host: Shape, simulated: Shape, host_elsewhere: Collection[Fact] = (), simulated_elsewhere: Collection[Fact] = ()
) -> list[tuple[str, str, str]]:
    """Facts that differ: name, value at the host, value at the simulator.

    A field does not count if other answers of the same kind have it (`..._elsewhere`), because its absence is content.
    If only one side is an error, the other facts follow from that, and only those of the host's error count.
    """
    new = [fact for fact in host if fact not in simulated and (" " in fact[0] or fact not in simulated_elsewhere)]
    gone = [fact for fact in simulated if fact not in host and (" " in fact[0] or fact not in host_elsewhere)]
    names = dict.fromkeys(name for name, _ in [*new, *(fact for fact in gone if fact != _COMMENTS)])
    failed = kind_of(host) == "error"
    if failed != (kind_of(simulated) == "error"):
        names = dict.fromkeys([*_OUTCOME, *(name for name, _ in host)] if failed else _OUTCOME)
    found = [(name, value_of(host, name), value_of(simulated, name)) for name in names]
    return [difference for difference in found if difference[1] != difference[2]]


def _facts(done: Exchange, headers: Mapping[str, str], model_id: str) -> Iterator[Fact]:
    if done.status is not None:
        yield "HTTP status", "2xx" if 200 <= done.status < 300 else str(done.status)
        yield "content type", done.content_type.partition(";")[0].strip().lower()
    yield from ((f"header {name}", "sent") for name in _HEADERS if name in headers)
    if done.error is not None:
        yield "read as", f"{done.error.reason} ({done.error.error_class})"
    elif done.answer is not None:
        yield from _of_answer(done.answer)
    if is_event_stream(done.status or 0, {"content-type": done.content_type}):
        yield from _of_stream(done.body)
    else:
        yield from _of_document(done.body, model_id)


def _of_answer(answer: Answer) -> Iterator[Fact]:
    """Facts of an answer as the wire read it."""
    yield "finish reason", answer.finish_reason or "none"
    yield from (("call id", _id_form(call)) for call in answer.tool_calls)
    if answer.usage is not None:
        yield "usage read", "counted" if answer.usage.counted else "0 tokens"
    yield from (
        (f"{name} read", "yes")
        for name in ("tool_calls", "reported_cost_usd", "upstream", "tried")
        if getattr(answer, name)
    )
    yield from ((f"note {note.partition(':')[0]}", "yes") for note in answer.notes)


def _id_form(call: RawToolCall) -> str:
    if is_kimi_id(call.id or "", call.name or ""):
        return "functions.NAME:N"
    found = _ID.match(call.id or "")
    return f"{found[0]}..." if found else "another form" if call.id else "none"


def _of_document(body: bytes, model_id: str) -> Iterator[Fact]:
    try:
        page = load_json(body or b"null")
    except Unreadable:
        yield "body read", "not JSON"
        return
    rows = page.get("data") if isinstance(page, dict) else page
    if model_id and isinstance(rows, list):
        page = [row for row in rows if isinstance(row, dict) and row.get("id") == model_id]
        yield "this model", "listed" if page else "not listed"
    yield from _fields(page)


def _of_stream(body: bytes) -> Iterator[Fact]:
    """Facts of a stream: the order in which kinds of events first came, and the fields of all its chunks."""
    if any(line.startswith(b":") for line in body.splitlines()):
        yield _COMMENTS
    order, fields = dict[str, None](), Shape()
    with suppress(ExchangeError):
        for event in Decoder().feed(body):
            data = None
            with suppress(Unreadable):  # `[DONE]`, and Replicate's events, which are text
                data = load_json(event.data)
            order[_event_kind(event, data)] = None
            fields |= dict.fromkeys(_fields(data))
    yield "stream events", ", ".join(name for name in order if name != "ping")
    yield from fields


def _event_kind(event: Event, data: Any) -> str:
    if not isinstance(data, dict) or event.name != "message":
        return "[DONE]" if event.data.strip() == "[DONE]" else event.name
    choices = data.get("choices")
    ends = isinstance(choices, list) and any(isinstance(one, dict) and one.get("finish_reason") for one in choices)
    parts = {"finish": ends, "usage": data.get("usage"), "error": data.get("error")}
    return "+".join(name for name, there in parts.items() if there) or "delta"


def _fields(value: Any, path: str = "", name: str = "") -> Iterator[Fact]:
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
