"""Recorded exchanges: a `.jsonl` of rows, or vcrpy cassettes, read one by one into what the judge takes.

A row: `{"id", "provider", "url_path", "model", "stream", "request", "response": {"status", "content_type", "body"}}`.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from routing.errors import ConfigError, ExchangeError, ProviderFailure
from routing.exchange import Exchange
from routing.types import Answer, JsonObject, Tool
from routing.wire import wire_named

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
"""Types of Anthropic's own tools that the caller runs; only Anthropic knows their schemas."""


class RecordingError(ConfigError):
    """A recording cannot be read. The message names file and line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded exchange."""

    id: str
    provider: str
    path: str
    model: str
    stream: bool
    request: JsonObject
    status: int
    content_type: str
    body: bytes

    @property
    def protocol(self) -> str:
        """The protocol that was spoken, read from the URL path."""
        return next((name for ending, name in _PROTOCOLS if self.path.rstrip("/").endswith(ending)), self.path)

    @property
    def endpoint(self) -> str:
        """Endpoint id of the row."""
        return f"{self.provider}/{self.model}"

    @property
    def tools(self) -> list[Tool]:
        """The tools that the caller runs, in OpenAI's shape; those that run at the provider are none of them."""
        tools = self.request.get("tools")
        found = (_tool(tool) for tool in (tools if isinstance(tools, list) else []) if isinstance(tool, Mapping))
        return [tool for tool in found if tool is not None]

    def exchange(self) -> Exchange:
        """The exchange, parsed by the same wire that production uses; times are unknown."""
        answer: Answer | None = None
        error: ExchangeError | None = None
        try:
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


def read(path: Path) -> Iterator[Row]:
    """All rows of a `.jsonl` file or a cassette. Raises RecordingError naming file and line."""
    if path.suffix == ".jsonl":
        return _jsonl(path)
    if path.suffix in {".yaml", ".yml"}:
        return _cassette(path)
    raise RecordingError("a recording is a .jsonl file or a vcrpy cassette (.yaml)", where=str(path))


def files(path: Path) -> list[Path]:
    """The recordings at `path`: itself, or all below a folder in order of their names."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, and pytest does not
    if not path.exists():
        raise RecordingError("not there", where=str(path))
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix in {".jsonl", ".yaml", ".yml"} and file.is_file())
    if not found:
        raise RecordingError("no .jsonl file and no cassette (.yaml) in this folder", where=str(path))
    return found


def _tool(tool: Mapping[str, Any]) -> Tool | None:
    if isinstance(tool.get("function"), Mapping):
        return tool
    kind, name = str(tool.get("type") or "custom"), tool.get("name")
    if not isinstance(name, str) or not (kind == "custom" or kind.startswith(_CLIENT_TOOLS)):
        return None
    schema = tool.get("input_schema", {"type": "object"})
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield _row(json.loads(line), f"{path.stem}#{number}")
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    raise RecordingError(f"{type(error).__name__}: {error}", where=f"{path}:{number}") from None


def _row(data: Mapping[str, Any], fallback_id: str) -> Row:
    response, request = data["response"], data.get("request") or {}
    body = response["body"]
    return Row(
        id=str(data.get("id") or fallback_id),
        provider=str(data.get("provider") or "unknown"),
        path=str(data["url_path"]),
        model=str(data.get("model") or request.get("model") or "unknown"),
        stream=bool(data.get("stream")),
        request=dict(request),
        status=int(response["status"]),
        content_type=str(response.get("content_type") or ""),
        body=body.encode("utf-8", "surrogatepass") if isinstance(body, str) else json.dumps(body).encode(),
    )


def _cassette(path: Path) -> Iterator[Row]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506 - a safe loader
        interactions = data["interactions"]
    except (yaml.YAMLError, OSError, KeyError, TypeError) as error:
        raise RecordingError(f"not a cassette: {type(error).__name__}", where=str(path)) from None
    for number, interaction in enumerate(interactions, 1):
        try:
            yield _interaction(interaction, f"{path.stem}#{number}")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RecordingError(f"interaction {number}: {type(error).__name__}: {error}", where=str(path)) from None


def _interaction(row: Mapping[str, Any], row_id: str) -> Row:
    request, response = row["request"], row["response"]
    body = json.loads(_bytes(request.get("body")) or b"{}")
    parts = urlsplit(str(request["uri"]))
    headers = {str(name).lower(): _first(value) for name, value in (response.get("headers") or {}).items()}
    content = response["body"]
    return Row(
        id=row_id,
        provider=_HOSTS.get(parts.hostname or "", parts.hostname or "unknown"),
        path=parts.path,
        model=str(body.get("model") or "unknown"),
        stream=bool(body.get("stream")),
        request=body,
        status=int(response["status"]["code"]),
        content_type=headers.get("content-type", ""),
        body=_bytes(content.get("string", content.get("base64_string")) if isinstance(content, Mapping) else content),
    )


def _bytes(value: Any) -> bytes:
    if isinstance(value, Mapping):
        value = value.get("string") or base64.b64decode(value.get("base64_string") or "")
    return value.encode() if isinstance(value, str) else bytes(value or b"")


def _first(value: Any) -> str:
    return str(value[0]) if isinstance(value, list) and value else str(value)
