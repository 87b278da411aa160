"""One TCP or TLS connection on asyncio's transports, as the network backend and network stream of httpcore.

httpcore documents both (https://www.encode.io/httpcore/network-backends/). Its own backend uses anyio for each read and
write, which costs as much CPU as the rest of a request (docs/decisions.md). A connection of this package also records
the progress of its request, and knows whether bytes follow an answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import select
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from .failures import RequestProgress

_HIGH_WATER = 1 << 18
"""Received bytes that wait to be read; above this the connection stops receiving."""
_CHUNK = 1 << 16
"""Bytes per write: TLS would accept any number without saying how many are still unsent."""
_HANDSHAKE_S = 86_400.0
"""Handshake limit of asyncio, made ineffective: the transport has one deadline for everything."""
_NEXT_ADDRESS_S = 0.25
"""Delay before the next address is tried beside those that have not answered (RFC 8305, 5)."""
_Address: TypeAlias = tuple[Any, Any, int, str, Any]


class Connection(asyncio.Protocol):
    """Connects once. `progress` belongs to the current request; the pool sets it for each request.

    `core` is the library (httpcore or httpcore2), whose exceptions are raised.
    """

    def __init__(self, core: Any) -> None:
        self.progress = RequestProgress()
        self._core = core
        self._transport: asyncio.Transport | None = None
        self._plain: asyncio.Transport | None = None
        """The TCP transport; `_transport` is this one or TLS above it."""
        self._received, self._ended, self._paused = bytearray(), False, False
        self._lost: Exception | None = None
        self._unsent: list[bytes] = []
        self._writable = True
        self._changed: asyncio.Future[None] | None = None
        """What a read or write under way waits for."""

    async def connect_tcp(self, host: str, port: int, **_: Any) -> Connection:
        """Connect. Raises ConnectError with its cause."""
        self.progress.phase, self.progress.fresh = "connect", True
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self, sock=await connected_socket(host, port))
        except (OSError, UnicodeError, ExceptionGroup) as error:
            raise self._core.ConnectError(str(error)) from error
        return self

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - httpcore's signature
    ) -> Connection:
        """Start TLS on this connection. Raises ConnectError with its cause."""
        self.progress.tunnel = self.progress.tunnel or self.progress.phase == "headers"  # a proxy has answered
        self.progress.phase, self.progress.handshake = "connect", True
        loop, plain = asyncio.get_running_loop(), self._open()
        try:
            self._refuse_plain_bytes()
            secure = await loop.start_tls(
                plain, self, ssl_context, server_hostname=server_hostname, ssl_handshake_timeout=_HANDSHAKE_S
            )
        except (
            OSError,
            TypeError,
        ) as error:  # Python 3.11 raises TypeError if TLS in TLS fails; its context is the cause
            plain.abort()
            raise self._core.ConnectError(str(error)) from error
        except BaseException:
            plain.abort()
            raise
        self._transport, self.progress.handshake = secure, False
        return self

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """Keep the bytes until the next read, so that head and body leave in one packet."""
        self.progress.phase = "send"
        self._unsent.append(buffer)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        """Received bytes, or none at the end of the connection. Raises ReadError if the connection broke.

        The last byte received is returned only when it is asked for alone. The library asks until an answer is
        complete. A byte that is left here therefore follows an answer, and the connection must not be used again.
        """
        if self._unsent:
            await self._send()
        if self.progress.phase == "send":
            self.progress.phase = "headers"
        while not self._received and not self._ended:
            await self._change()
        if len(self._received) > max_bytes:
            await asyncio.sleep(0)  # a fast sender must not keep the loop to itself
        if not self._received and self._lost is not None:
            raise self._core.ReadError(str(self._lost)) from self._lost
        self.progress.heard = self.progress.heard or bool(self._received)
        count = min(max_bytes, max(len(self._received) - 1, 1))
        data = bytes(self._received[:count])
        del self._received[:count]
        if self._paused and len(self._received) < _HIGH_WATER:
            self._paused = False
            self._open().resume_reading()
        return data

    @property
    def is_clean(self) -> bool:
        """Whether the connection is open and every byte received has been read."""
        return self._transport is not None and not self._ended and not self._received

    async def aclose(self) -> None:
        """Close immediately."""
        if self._transport is not None:
            self._transport.abort()
            await asyncio.sleep(0)  # the loop closes the socket in this turn

    def get_extra_info(self, info: str) -> Any:
        """`is_readable`: the server has closed this idle connection, or has sent bytes that no request asked for."""
        if info == "is_readable":
            return self._ended or bool(self._received) or _has_bytes(self._open().get_extra_info("socket"))
        return self._open().get_extra_info(info)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._plain = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _HIGH_WATER and not self._paused:
            self._paused = True
            self._open().pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._lost = True, exc
        self._wake()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake()

    async def _send(self) -> None:
        """Send what was written, and wait until the peer has taken most of it.

        A connection that is closed meanwhile raises nothing: the answer may have come before, and is read next.
        """
        data = b"".join(self._unsent)
        self._unsent.clear()
        for at in range(0, len(data), _CHUNK):
            if self._ended or self._plain is None or self._plain.is_closing():
                return
            self._open().write(data[at : at + _CHUNK])
            while not self._writable and not self._ended:
                await self._change()

    async def _change(self) -> None:
        """Wait until bytes come, more can be sent, or the connection ends."""
        self._changed = asyncio.get_running_loop().create_future()
        await self._changed

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _refuse_plain_bytes(self) -> None:
        """Bytes that came before TLS would otherwise be read as if they had come under it."""
        if self._received:
            error = ssl.SSLError(1, "bytes before the handshake")
            error.reason = "WRONG_VERSION_NUMBER"
            raise error

    def _open(self) -> asyncio.Transport:
        assert self._transport is not None  # noqa: S101 - the library connects first
        return self._transport


def _has_bytes(sock: Any) -> bool:
    """Whether the kernel holds bytes that the loop has not read yet."""
    if sock is None or sock.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock.fileno()], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def connected_socket(host: str, port: int) -> socket.socket:
    """Socket connected to the first address that answers; addresses are tried as RFC 8305 says.

    Python 3.11's own `happy_eyeballs_delay` leaves sockets open when it is cancelled. Raises OSError if no address
    answers, an ExceptionGroup if several failed, UnicodeError for an invalid name.
    """
    loop = asyncio.get_running_loop()
    waiting = deque(await _addresses(loop, host, port))
    attempts: set[asyncio.Task[socket.socket]] = set()
    failures: list[Exception] = []
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(loop.create_task(_attempt(loop, waiting.popleft())))
            patience_s = _NEXT_ADDRESS_S if waiting else None
            done, _ = await asyncio.wait(attempts, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                attempts.remove(task)
                error = task.exception()
                if error is None:
                    return task.result()
                failures.append(error if isinstance(error, Exception) else OSError(str(error)))
        raise failures[0] if len(failures) == 1 else ExceptionGroup("no address answers", failures)
    finally:
        for task in attempts:
            task.cancel()
            task.add_done_callback(_close_unused)


async def _addresses(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Sequence[_Address]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # an address needs no name server


async def _attempt(loop: asyncio.AbstractEventLoop, address: _Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _close_unused(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
