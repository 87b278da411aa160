"""One connection of asyncio's own, as the HTTP library's network backend and stream in one.

httpcore lets its user bring the network (https://www.encode.io/httpcore/network-backends/). The backend that it comes with
goes through anyio at every read and write, which cost as much CPU as the rest of a request (docs/decisions.md). A
connection of our own also knows how far an exchange has come, so that nobody has to listen to the library's events.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from typing import Any, cast

from .connecting import connected
from .failures import Progress

_HIGH_WATER = 1 << 18
"""Bytes that wait to be read; beyond that the sender has to wait."""
_PIECE = 1 << 16
"""Bytes handed over at once; TLS takes any number without a word of how many are still to be sent."""
_HANDSHAKE_S = 86_400.0
"""asyncio's own limit of a handshake, out of the way: the transport has one deadline for all."""


class Line(asyncio.Protocol):
    """Connects once. `progress` is told of what goes on; whoever sends the next request brings another.

    `core` is the library (httpcore or httpcore2), whose exceptions are raised.
    """

    def __init__(self, core: Any) -> None:
        self.progress = Progress()
        self._core = core
        self._transport: asyncio.Transport | None = None
        self._plain: asyncio.Transport | None = None
        """What lies under TLS, or the same."""
        self._came, self._ended, self._paused = bytearray(), False, False
        self._lost: Exception | None = None
        self._to_send: list[bytes] = []
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    # ------------------------------------------------------------------------------------------ the library's backend

    async def connect_tcp(self, host: str, port: int, **_: Any) -> Line:
        """Connect. Raises ConnectError with its cause."""
        self.progress.phase, self.progress.fresh = "connect", True
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self, sock=await connected(host, port))
        except (OSError, UnicodeError, ExceptionGroup) as error:
            raise self._core.ConnectError(str(error)) from error
        return self

    # ------------------------------------------------------------------------------------------- the library's stream

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the library's; the transport has one deadline for all
    ) -> Line:
        """Speak TLS from here on. Raises ConnectError with its cause."""
        self.progress.tunnel = self.progress.tunnel or self.progress.phase == "headers"  # a proxy has answered
        self.progress.phase, self.progress.handshake = "connect", True
        loop, plain = asyncio.get_running_loop(), self._open()
        try:
            self._refuse_what_came()  # it would be read as if it had come under TLS
            secure = await loop.start_tls(
                plain, self, ssl_context, server_hostname=server_hostname, ssl_handshake_timeout=_HANDSHAKE_S
            )
        except (OSError, TypeError) as error:  # TypeError: Python 3.11 where TLS in TLS fails, the cause behind it
            plain.abort()
            raise self._core.ConnectError(str(error)) from error
        except BaseException:
            plain.abort()
            raise
        self._transport, self.progress.handshake = secure, False
        return self

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """Have it sent with what follows, at the latest before something is read: head and body in one packet."""
        self.progress.phase = "send"
        self._to_send.append(buffer)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        """What came, or nothing at the end. Raises ReadError where the connection broke."""
        if self._to_send:
            await self._send()
        if self.progress.phase == "send":
            self.progress.phase = "headers"
        while not self._came and not self._ended:
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable
        if len(self._came) > max_bytes:
            await asyncio.sleep(0)  # there is enough for many turns: others have theirs in between
        if not self._came and self._lost is not None:
            raise self._core.ReadError(str(self._lost)) from self._lost
        self.progress.heard = self.progress.heard or bool(self._came)
        data = bytes(self._came[:max_bytes])
        del self._came[:max_bytes]
        if self._paused and len(self._came) < _HIGH_WATER:
            self._paused = False
            self._open().resume_reading()
        return data

    async def aclose(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
            await asyncio.sleep(0)  # the loop closes the socket then

    def get_extra_info(self, info: str) -> Any:
        """`is_readable` of a connection that waits: the server has closed it, or speaks without being asked."""
        if info == "is_readable":
            return self._ended or bool(self._came) or _has_more(self._open().get_extra_info("socket"))
        return self._open().get_extra_info(info)

    # ------------------------------------------------------------------------------------------ what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._plain = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._came += data
        if len(self._came) > _HIGH_WATER and not self._paused:
            self._paused = True
            self._open().pause_reading()
        _wake(self._readable)

    def eof_received(self) -> None:
        self._ended = True
        _wake(self._readable)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._lost = True, exc
        _wake(self._readable)
        _wake(self._writable)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        _wake(self._writable)

    async def _send(self) -> None:
        """Hand over what is to be sent, and wait until the other side has taken most of it.

        Where it cannot be sent the answer may have come before: whoever reads is told.
        """
        data = b"".join(self._to_send)
        self._to_send.clear()
        for at in range(0, len(data), _PIECE):
            if self._ended or self._plain is None or self._plain.is_closing():
                return
            self._open().write(data[at : at + _PIECE])
            if self._writable is not None and not self._writable.done():
                await self._writable

    def _refuse_what_came(self) -> None:
        if self._came:
            error = ssl.SSLError(1, "bytes before the handshake")
            error.reason = "WRONG_VERSION_NUMBER"
            raise error

    def _open(self) -> asyncio.Transport:
        assert self._transport is not None  # noqa: S101 - the library connects first
        return self._transport


def _has_more(sock: Any) -> bool:
    """Whether something lies in the kernel that the loop has had no turn to read."""
    if sock is None or sock.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock.fileno()], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
