"""Server side of one HTTP/1.1 connection.

h11 parses the requests and frames the responses. asyncio's streams read and write the bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

import h11

from ..http_types import CutConnection, Request, Response, json_response

MAX_HEAD = 64 * 1024
"""Limit in bytes: h11 refuses a request whose head (request line and headers) exceeds it and is still incomplete."""
MAX_BODY = 32 * 1024 * 1024
"""Largest allowed body of a request, in bytes: Anthropic's limit, which is the highest of the simulated providers."""
_READ = 16 * 1024
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class HttpConnection:
    """One connection of a client to the server. `handler` makes the response to each request."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    handler: Handler

    async def serve(self) -> None:
        """Answer the connection's requests in order, until the client, a response or an error ends the connection."""
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        try:
            while (request := await self._request(http)) is not None:
                await self._send(http, await self.handler(request), head_only=request.method == "HEAD")
                if (http.our_state, http.their_state) != (h11.DONE, h11.DONE):
                    break
                http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            with suppress(ConnectionError):
                await self._refuse(http, error)
        except (CutConnection, ConnectionError):
            self.writer.transport.abort()
        finally:
            self.writer.close()

    async def _request(self, http: h11.Connection) -> Request | None:
        """Read the next request; None if the client closed the connection instead.

        Raises h11.RemoteProtocolError if the request is malformed or too large.
        """
        event = await self._event(http)
        if not isinstance(event, h11.Request):
            return None
        if http.they_are_waiting_for_100_continue:
            self._write(http, h11.InformationalResponse(status_code=100, headers=[], reason=_PHRASES[100]))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        if int(headers.get("content-length", 0)) > MAX_BODY:
            raise _too_large()
        body = bytearray()
        while isinstance(data := await self._event(http), h11.Data):
            body += data.data
            if len(body) > MAX_BODY:
                raise _too_large()
        try:
            path = unquote(urlsplit(event.target.decode("latin-1")).path)
        except ValueError:  # an unclosed bracket of an IPv6 address
            raise h11.RemoteProtocolError("the request's target is not a URL") from None
        return Request(event.method.decode("latin-1"), path, headers, bytes(body))

    async def _event(self, http: h11.Connection) -> object:
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(await self.reader.read(_READ))
        return event

    def _write(self, http: h11.Connection, event: h11.Event) -> None:
        self.writer.write(http.send(event) or b"")

    async def _send(self, http: h11.Connection, response: Response, *, head_only: bool = False) -> None:
        headers = dict(response.headers)
        if response.chunks is None:
            length = len(response.body) if response.declared_length is None else response.declared_length
            headers["content-length"] = str(length)
        phrase = _PHRASES.get(response.status, b"Status")
        self._write(http, h11.Response(status_code=response.status, headers=list(headers.items()), reason=phrase))
        if response.chunks is None:
            self._write(http, h11.Data(data=b"" if head_only else response.body))
        else:
            async for chunk in response.chunks:
                self._write(http, h11.Data(data=chunk))
                await self.writer.drain()
        if response.declared_length is None:
            self._write(http, h11.EndOfMessage())
        await self.writer.drain()

    async def _refuse(self, http: h11.Connection, error: h11.RemoteProtocolError) -> None:
        """Send an error response to a malformed or oversized request, unless a response has already begun."""
        if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = {"error": {"message": str(error), "type": "invalid_request_error"}}
            await self._send(http, json_response(body, error.error_status_hint))


def _too_large() -> h11.RemoteProtocolError:
    return h11.RemoteProtocolError(f"request body over {MAX_BODY} bytes", error_status_hint=413)
