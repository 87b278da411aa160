"""A small HTTP/1.1 server on asyncio streams: keep-alive, Content-Length and chunked bodies, size caps.

Written for one purpose: a handler decides byte by byte how an answer goes wrong.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

MAX_HEAD = 64 * 1024
MAX_BODY = 32 * 1024 * 1024
"""Anthropic's cap on a request; the largest of the providers spoken here."""


class CutConnection(Exception):
    """Raised by a handler or a body: close the connection at once, without finishing the answer."""


class BadRequest(Exception):
    """What came is not HTTP, or too large. `status` is what is answered before the connection closes."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are lower case; `path` is without query and decoded."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    query: str = ""
    keep_alive: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """One answer: `body` goes out with Content-Length, or `chunks` go out chunked as they come."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunks: AsyncIterator[bytes] | None = None
    declared_length: int | None = None
    """A Content-Length other than the body's own: the answer is cut there."""


Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
Busy: TypeAlias = Callable[[], AbstractContextManager[None]]


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, body)


async def serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler, busy: Busy
) -> None:
    """Serve one connection until the peer or an answer ends it; `busy` is held from a request to its answer's end."""
    try:
        while (request := await _next_request(reader, writer)) is not None:
            with busy():
                response = await handler(request)
                await _send(writer, request, response)
            if not request.keep_alive or response.declared_length is not None:
                break
    except (CutConnection, ConnectionError, asyncio.IncompleteReadError):
        writer.transport.abort()
    finally:
        writer.close()


async def _next_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    try:
        return await _read_request(reader, writer)
    except BadRequest as error:
        refusal = json_response({"error": {"message": str(error), "type": "invalid_request_error"}}, error.status)
        await _send(writer, Request("GET", "/", {}, keep_alive=False), refusal)
        return None


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise BadRequest(400, "incomplete request head") from None
        return None
    except asyncio.LimitOverrunError:
        raise BadRequest(431, f"request head over {MAX_HEAD} bytes") from None
    method, target, version, headers = _parse_head(head.decode("latin-1"))
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    connection = headers.get("connection", "").lower()
    keep_alive = connection != "close" if version == "HTTP/1.1" else connection == "keep-alive"
    url = urlsplit(target)
    body = await _read_body(reader, headers)
    return Request(method, unquote(url.path), headers, body, url.query, keep_alive)


def _parse_head(head: str) -> tuple[str, str, str, dict[str, str]]:
    first, *lines = head.split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(400, "not an HTTP/1.1 request line")
    headers: dict[str, str] = {}
    for line in filter(None, lines):
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise BadRequest(400, "malformed header")
        headers[name.lower()] = value.strip()
    return parts[0], parts[1], parts[2], headers


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunked(reader)
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit():
        raise BadRequest(400, "malformed Content-Length")
    if int(length) > MAX_BODY:
        raise BadRequest(413, f"request body over {MAX_BODY} bytes")
    return await reader.readexactly(int(length))


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        try:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        except (ValueError, asyncio.LimitOverrunError):
            raise BadRequest(400, "malformed chunk") from None
        if len(body) + size > MAX_BODY:
            raise BadRequest(413, f"request body over {MAX_BODY} bytes")
        body += (await reader.readexactly(size + 2))[:size]
        if size == 0:
            return bytes(body)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


async def _send(writer: asyncio.StreamWriter, request: Request, response: Response) -> None:
    length = len(response.body) if response.declared_length is None else response.declared_length
    framing = {"transfer-encoding": "chunked"} if response.chunks is not None else {"content-length": str(length)}
    connection = {} if request.keep_alive else {"connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**response.headers, **framing, **connection}.items())
    writer.write(f"HTTP/1.1 {response.status} {_phrase(response.status)}\r\n{head}\r\n".encode("latin-1"))
    if response.chunks is None:
        writer.write(response.body)
    else:
        async for chunk in response.chunks:
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
    await writer.drain()
