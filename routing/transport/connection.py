"""One TCP or TLS connection on a plain socket, as the network backend and network stream of httpcore.

httpcore documents both interfaces: https://www.encode.io/httpcore/network-backends/. Its own backend uses anyio for
each read and write, which costs as much CPU as the rest of a request (docs/decisions.md). A connection of this package
also records the progress of its request, and knows whether bytes follow an answer.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any

from .failures import RequestProgress

_CHUNK = 1 << 16
"""Bytes that are received in one piece."""
_NEXT_ADDRESS_S = 0.25
"""Delay before the next address is tried beside those that have not answered (RFC 8305, 5)."""


class Connection:
    """Connects once. `progress` belongs to the current request; the pool sets it for each request.

    `core` is the library (httpcore or httpcore2), whose exceptions are raised. Bytes that no read has asked for stay in
    the kernel, so a peer that sends fast has to wait.
    """

    def __init__(self, core: Any, origin: str = "", *, proxied: bool = False) -> None:
        self.http: Any = None
        """The library's HTTP connection above this one."""
        self.origin = origin
        self.progress = RequestProgress()
        self._proxied = proxied
        self._core = core
        self._socket: Any = None
        self._layers: list[TlsLayer] = []
        """TLS above TCP; a second layer if the proxy itself is reached over TLS."""
        self._unsent, self._received, self._ended = b"", b"", False

    async def connect_tcp(self, host: str, port: int, **_: Any) -> Connection:
        """Connect. Raises ConnectError with its cause."""
        self.progress.phase, self.progress.fresh, self.progress.proxy = "connect", True, self._proxied
        try:
            self._socket = await connected_socket(host, port)
        except (OSError, UnicodeError, ExceptionGroup) as error:
            raise self._core.ConnectError(str(error)) from error
        return self

    async def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str = "", *_: Any, **__: Any) -> Connection:
        """Start TLS on this connection. Raises ConnectError with its cause."""
        if self.progress.phase == "headers":
            self.progress.proxy = False  # it has opened a tunnel
        self.progress.phase, self.progress.handshake = "connect", True
        try:
            if self._received:  # behind a proxy's answer
                error = ssl.SSLError(1, "bytes before the handshake")
                error.reason = "WRONG_VERSION_NUMBER"
                raise error
            layer = TlsLayer(ssl_context, server_hostname)
            while not layer.handshake():
                await self._send(layer.outgoing.read())
                if not (received := await self._receive()):
                    raise ConnectionResetError("the handshake was cut")
                layer.incoming.write(received)
            await self._send(layer.outgoing.read())
            self._received = layer.decrypted(b"")
        except OSError as error:
            raise self._core.ConnectError(str(error)) from error
        self._layers.append(layer)
        self.progress.handshake = False
        return self

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """Keep the bytes until the next read, so that head and body leave in one packet."""
        self.progress.phase = "send"
        self._unsent += buffer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        """Received bytes, or none at the end of the connection. Raises ReadError if the connection broke.

        The last byte received is returned only when it is asked for alone. The library asks until an answer is
        complete. A byte that is left here therefore follows an answer, and the connection must not be used again.
        """
        try:
            if self._unsent:
                data, self._unsent = self._unsent, b""
                with suppress(ConnectionError):  # the answer may have come before, and is read next
                    await self._send(data)
            if self.progress.phase == "send":
                self.progress.phase = "headers"
            self._received = self._received or await self._receive()
        except OSError as error:
            raise self._core.ReadError(str(error)) from error
        self.progress.heard = self.progress.heard or bool(self._received)
        count = min(max_bytes, max(len(self._received) - 1, 1))
        data, self._received = self._received[:count], self._received[count:]
        return data

    async def aclose(self) -> None:
        """Close immediately."""
        if self._socket is not None:
            self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        """`is_readable`: the server has closed this idle connection, or has sent bytes that no request asked for."""
        if info != "is_readable":
            return None
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return self._ended or bool(self._received)
        except OSError:
            pass
        return True

    async def _send(self, data: bytes) -> None:
        """Send, and wait until the peer has taken most of it."""
        for layer in reversed(self._layers):
            data = layer.encrypted(data)
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def _receive(self) -> bytes:
        """Bytes as soon as some have come, or none at the end of the connection."""
        data = b""
        while not data and not self._ended:
            try:
                data = self._socket.recv(_CHUNK)
                await asyncio.sleep(0)  # a fast sender must not keep the loop to itself
            except BlockingIOError:
                data = await asyncio.get_running_loop().sock_recv(self._socket, _CHUNK)
            self._ended = not data
            for layer in self._layers:
                data = layer.decrypted(data)
                self._ended = self._ended or layer.ended
        return data


class TlsLayer:
    """TLS between two buffers: what is to be sent, and what was received."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ended = False
        """The peer has ended TLS."""
        self._tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)

    def handshake(self) -> bool:
        """Whether the handshake is done; if not, `outgoing` is to be sent and more to be received."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypted(self, data: bytes) -> bytes:
        """The encrypted bytes to send for these bytes."""
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        return self.outgoing.read()

    def decrypted(self, data: bytes) -> bytes:
        """All that can be decrypted with these bytes."""
        self.incoming.write(data)
        clear = bytearray()
        try:
            while piece := self._tls.read(_CHUNK):
                clear += piece
            self.ended = True
        except ssl.SSLError as error:
            if not clear and not isinstance(error, ssl.SSLWantReadError):
                raise
        return bytes(clear)


async def connected_socket(host: str, port: int) -> socket.socket:
    """Socket connected to the first address that answers; addresses are tried as RFC 8305 says.

    Python 3.11's own `happy_eyeballs_delay` leaves sockets open when it is cancelled. Raises OSError if no name server
    answers, an ExceptionGroup if no address does, UnicodeError for an invalid name.
    """
    loop = asyncio.get_running_loop()
    waiting = list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    attempts: set[asyncio.Task[socket.socket]] = set()
    failures: list[OSError] = []
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(loop.create_task(_attempt(loop, waiting.pop(0))))
            patience_s = _NEXT_ADDRESS_S if waiting else None
            done, _ = await asyncio.wait(attempts, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                attempts.remove(task)
                try:
                    return task.result()
                except OSError as error:
                    failures.append(error)
        raise ExceptionGroup("no address answers", failures)
    finally:
        for task in attempts:
            task.cancel()
            task.add_done_callback(_close_unused)


async def _attempt(loop: asyncio.AbstractEventLoop, address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, where)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the end of a long request must not wait
    except BaseException:
        sock.close()
        raise
    return sock


def _close_unused(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
