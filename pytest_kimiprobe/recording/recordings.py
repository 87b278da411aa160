"""Reads recorded exchanges, from a `.jsonl` file or a vcrpy cassette, into rows that the judge accepts.

A row: `{"id", "provider", "url_path", "model", "stream", "request", "response": {"status", "content_type", "body"}}`.
A row that cannot be read does not affect the others: it becomes an item that says why.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from routing.errors import ExchangeError, ProviderFailure, error_type
from routing.exchange import Exchange
from routing.parsing.safe_read import read_regular
from routing.types import Answer, ChatRequest, JsonObject, Tool, ToolChoice
from routing.verify import RequestExpectations, expectations_of
from routing.wire import wire_named

from ..safe_text import one_line
from .cassettes import RecordingError, Unreadable, as_mapping, as_status, as_text, load_json, load_yaml, step_of

__all__ = ["RecordedRow", "RecordingError", "files", "read"]

MAX_JSONL, MAX_CASSETTE = 256 << 20, 32 << 20
"""Maximum bytes of one `.jsonl` file and of one cassette."""
_ID, _NAME = 200, 80
_PROTOCOLS = (
    ("/chat/completions", "openai"),
    ("/v1/messages", "anthropic"),
    ("/predictions", "replicate"),
    ("/responses", "openai responses"),
    ("/count_tokens", "anthropic token counting"),
)
_HOSTS = {
    "openrouter.ai": "openrouter",
    "api.moonshot.ai": "moonshot",
    "api.moonshot.cn": "moonshot",
    "api.groq.com": "groq",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "api.replicate.com": "replicate",
    "api.anthropic.com": "anthropic",
}
_CLIENT_TOOLS = ("computer_", "bash_", "text_editor_", "memory_")
"""Type prefixes of Anthropic's predefined tools that the caller runs; only Anthropic knows their schemas."""


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """One recorded exchange. `problem` says why it cannot be read, `reason` is the reason code for that."""

    id: str
    provider: str
    path: str
    model: str
    stream: bool
    request: JsonObject
    status: int
    content_type: str
    body: bytes
    problem: str = ""
    reason: str = ""

    @property
    def protocol(self) -> str:
        """Name of the protocol, derived from the URL path."""
        return next((name for ending, name in _PROTOCOLS if self.path.rstrip("/").endswith(ending)), self.path)

    @property
    def endpoint(self) -> str:
        """Endpoint id of the row."""
        return f"{self.provider}/{self.model}"

    @property
    def asked(self) -> RequestExpectations:
        """The parts of the request that the answer is checked against, as in a live run."""
        return _expected(self.request, self.tools)

    @property
    def tools(self) -> list[Tool]:
        """The tools that the caller runs, in OpenAI's form; tools that run at the provider are left out."""
        tools = self.request.get("tools")
        found = (_tool(tool) for tool in (tools if isinstance(tools, list) else []) if isinstance(tool, Mapping))
        return [tool for tool in found if tool is not None]

    def exchange(self) -> Exchange:
        """The exchange, parsed by the wire that production uses; its times are unknown."""
        answer: Answer | None = None
        error: ExchangeError | None = None
        try:
            if self.problem:
                raise error_type(self.reason)(self.reason, self.problem)
            answer = self._parsed()
            if not answer.complete:
                raise ProviderFailure("stream_cut", "the stream ended without a finish reason", phase="body")
        except ExchangeError as failure:
            answer, error = None, failure
        return Exchange(
            endpoint=self.endpoint,
            request=self.request,
            status=self.status,
            content_type=self.content_type,
            body=self.body,
            answer=answer,
            error=error,
            cost_usd=answer.reported_cost_usd if answer else None,
            cost_origin="reported" if answer and answer.reported_cost_usd is not None else "unknown",
        )

    def _parsed(self) -> Answer:
        wire = wire_named(self.protocol)
        if self.status == 200 and self.content_type.startswith("text/event-stream"):
            stream = wire.stream()
            stream.feed(self.body)
            return stream.finish()
        return wire.parse(self.status, {}, self.body)


def read(path: Path) -> list[RecordedRow]:
    """All rows of a `.jsonl` file or a cassette, with unique ids.

    Raises RecordingError with file and line if the file has another format, or no row can be read.
    """
    if path.suffix == ".jsonl":
        rows = _jsonl(path)
    elif path.suffix in {".yaml", ".yml", ".json"}:
        rows = _cassette(path)
    else:
        raise RecordingError("a recording is a .jsonl file or a vcrpy cassette (.yaml, .json)", where=str(path))
    if rows and all(row.problem and row.reason == "not_recorded" for row in rows):
        raise RecordingError(str(path.parent / rows[0].problem))
    return _with_unique_ids(rows)


def files(path: Path) -> list[Path]:
    """The recordings at `path`: the file itself, or all below the folder, sorted. Raises RecordingError if none."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, and pytest does not
    if not path.exists():
        raise RecordingError("not there; --kimiprobe-record FOLDER records a run", where=str(path))
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if _is_recording(file))
    if not found:
        raise RecordingError("no .jsonl file and no cassette (.yaml, .json) in this folder", where=str(path))
    return found


def _is_recording(file: Path) -> bool:
    if not file.is_file():
        return False
    if file.suffix == ".json":  # most .json files are not cassettes
        with file.open("rb") as head:
            return b'"interactions"' in head.read(200)
    return file.suffix in {".jsonl", ".yaml", ".yml"}


def _tool(tool: Mapping[str, Any]) -> Tool | None:
    if isinstance(tool.get("function"), Mapping):
        return tool
    kind, name = str(tool.get("type") or "custom"), tool.get("name")
    if not isinstance(name, str) or not (kind == "custom" or kind.startswith(_CLIENT_TOOLS)):
        return None
    schema = tool.get("input_schema", {"type": "object"})
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def _with_unique_ids(rows: Iterable[RecordedRow]) -> list[RecordedRow]:
    """Make ids unique: the second row of an id gets `#2`. Ids are node ids, and results are stored by them."""
    named: dict[str, RecordedRow] = {}
    seen: Counter[str] = Counter()
    for row in rows:
        name = row.id
        while name in named:
            seen[row.id] += 1
            name = f"{row.id}#{seen[row.id] + 1}"
        named[name] = replace(row, id=name)
    return list(named.values())


def _jsonl(path: Path) -> list[RecordedRow]:
    lines = read_regular(path, error=RecordingError, max_bytes=MAX_JSONL).split(b"\n")
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            fallback = one_line(f"{path.stem}#{number}", _ID)
            rows.append(_row_or_problem(lambda raw: _row(load_json(raw)), line, fallback, f"{path.name}:{number}"))
    return rows


def document_of(path: Path) -> Any:
    """Read a cassette as plain data. Raises RecordingError."""
    data = read_regular(path, error=RecordingError, max_bytes=MAX_CASSETTE)
    if path.suffix == ".json":
        try:
            return load_json(data)
        except Unreadable as problem:
            raise RecordingError(str(problem), where=str(path)) from None
    return load_yaml(data, str(path))


def _cassette(path: Path) -> list[RecordedRow]:
    cassette = document_of(path)
    interactions = cassette.get("interactions") if isinstance(cassette, dict) else None
    if not isinstance(interactions, list):
        raise RecordingError("not a cassette: no list `interactions`", where=str(path))
    return [
        _row_or_problem(_interaction, row, one_line(f"{path.stem}#{number}", _ID), f"{path.name}: interaction {number}")
        for number, row in enumerate(interactions, 1)
    ]


def unreadable(
    row_id: str, why: str, reason: str = "not_recorded", *, endpoint: str = "unknown/unknown"
) -> RecordedRow:
    """Create a row without an exchange, which says why there is nothing to judge."""
    provider, _, model = endpoint.partition("/")
    return RecordedRow(row_id, provider, "", model, False, {}, 0, "", b"", one_line(why, _ID), reason)


def _row_or_problem(read_one: Callable[[Any], RecordedRow], raw: Any, fallback_id: str, where: str) -> RecordedRow:
    """Read one row. If that fails, return a row that says why it cannot be read."""
    try:
        row = read_one(raw)
    except Unreadable as problem:
        return unreadable(fallback_id, f"{where}: {problem}", problem.reason)
    return replace(row, id=row.id or fallback_id)


def _row(data: Any) -> RecordedRow:
    row = as_mapping(data, "the row")
    response, request = as_mapping(row.get("response"), "response"), as_mapping(row.get("request") or {}, "request")
    body = response.get("body")
    if not isinstance(body, (str, dict, list)):
        raise Unreadable("response.body must be text or JSON")
    return RecordedRow(
        id=_name(row.get("id"), _ID),
        provider=_name(row.get("provider")) or "unknown",
        path=_name(as_text(row.get("url_path"), "url_path")),
        model=_name(row.get("model") or request.get("model")) or "unknown",
        stream=row.get("stream") is True,
        request=request,
        status=as_status(response.get("status"), "response.status"),
        content_type=_name(response.get("content_type")),
        body=body.encode("utf-8", "surrogatepass") if isinstance(body, str) else json.dumps(body).encode(),
    )


def _interaction(data: Any) -> RecordedRow:
    step = step_of(as_mapping(data, "it"))
    try:
        parts = urlsplit(step.url)
        host = parts.hostname or ""
    except ValueError:
        raise Unreadable("request.uri is not a URL") from None
    asked = _asked(step.content)
    return RecordedRow(
        id="",
        provider=_HOSTS.get(host, _name(host) or "unknown"),
        path=_name(parts.path),
        model=_name(asked.get("model")) or "unknown",
        stream=asked.get("stream") is True,
        request=asked,
        status=step.status,
        content_type=_name(step.answer_headers.get("content-type")),
        body=step.body,
    )


def _asked(body: bytes) -> JsonObject:
    """The JSON object in the body of a request; empty for any other body, which no supported protocol sends."""
    try:
        asked = load_json(body or b"{}")
    except Unreadable:
        return {}
    return asked if isinstance(asked, dict) else {}


def _name(value: Any, limit: int = _NAME) -> str:
    """A value of a recording as one short line for ids and reports; empty unless it is text or a number."""
    return one_line(str(value), limit) if isinstance(value, (str, int)) else ""


def _expected(body: JsonObject, tools: Sequence[Tool]) -> RequestExpectations:
    """What a request demands of its answer: by its conversation, tools, `tool_choice` and `parallel_tool_calls`."""
    messages = body.get("messages")
    choice = body.get("tool_choice")
    parallel = body.get("parallel_tool_calls")
    if isinstance(choice, Mapping) and choice.get("disable_parallel_tool_use") is True:
        parallel = False
    read = [message for message in messages if isinstance(message, Mapping)] if isinstance(messages, list) else []
    return expectations_of(
        ChatRequest(
            messages=read,
            tools=tools,
            tool_choice=_tool_choice(choice),
            parallel_tool_calls=parallel if isinstance(parallel, bool) else None,
            response_format=body["response_format"] if isinstance(body.get("response_format"), dict) else None,
        )
    )


def _tool_choice(choice: Any) -> ToolChoice | None:
    """`tool_choice` in OpenAI's form, translated from Anthropic's `{"type": "any"}` or `{"type": "tool", ...}`."""
    if isinstance(choice, str):
        return choice if choice in {"auto", "none", "required"} else None
    if not isinstance(choice, Mapping):
        return None
    kind, name = choice.get("type"), choice.get("name")
    if kind == "tool" and isinstance(name, str):
        return {"type": "function", "function": {"name": name}}
    if kind == "function" and isinstance(choice.get("function"), Mapping):
        return choice
    return {"any": "required", "none": "none", "auto": "auto"}.get(str(kind))
