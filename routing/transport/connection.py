"""One TCP or TLS connection on a plain socket. It is both network backend and network stream of httpcore.

httpcore documents both interfaces: https://www.encode.io/httpcore/network-backends/. Its default backend uses anyio for
each read and write, which costs as much CPU as the rest of a request (docs/decisions.md). A connection of this package
also records the progress of its request, and detects unexpected bytes after an answer.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any

from .event_loop import look_up
from .failures import RequestProgress

_CHUNK = 1 << 16
"""The most bytes that one read from the socket or from TLS returns."""
_SLICE = 1 << 18
"""The most bytes that are sent before other requests on the event loop get a turn."""
_NEXT_ADDRESS_S = 0.25
"""Seconds without an answer after which the next address is tried as well (RFC 8305, section 5)."""


class Connection:
    """One connection to a host or proxy, used by one request after another. It can connect only once.

    `progress` belongs to the current request; the pool sets it for each request. `core` is the library (httpcore or
    httpcore2), whose exceptions are raised. Bytes that no read has asked for stay in the kernel, so a peer that sends
    fast has to wait.
    """

    def __init__(self, core: Any, origin: str = "", *, proxied: bool = False) -> None:
        self.http: Any = None
        """The library's HTTP connection, which sends and receives through this connection."""
        self.origin = origin
        self.progress = RequestProgress()
        self._proxied = proxied
        self._core = core
        self._socket: Any = None
        self._layers: list[TlsLayer] = []
        """The TLS layers above TCP, from the outside in. There are two if the proxy itself is reached over TLS."""
        self._unsent: list[bytes] = []
        self._received, self._ended = b"", False

    async def connect_tcp(self, host: str, port: int, **_: Any) -> Connection:
        """Connect to the first address of `host` that answers. Raises the library's ConnectError, with the cause."""
        self.progress.phase, self.progress.fresh, self.progress.proxy = "connect", True, self._proxied
        try:
            self._socket = await connected_socket(host, port)
        except (OSError, UnicodeError, ExceptionGroup) as error:
            raise self._core.ConnectError(str(error)) from error
        return self

    async def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str = "", *_: Any, **__: Any) -> Connection:
        """Start TLS on this connection. Raises the library's ConnectError, with the cause."""
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
        """Keep the bytes until the next `read`, which sends them.

        Head and body of a request then leave in one packet.
        """
        self.progress.phase = "send"
        self._unsent.append(buffer)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        """Send the bytes of earlier writes, then return received bytes; empty at the end of the connection.

        The last received byte is held back until it is the only one left. The library reads until an answer is
        complete. A byte that is left afterwards does not belong to the answer, and the connection must not be used
        again. Raises the library's ReadError if the connection broke.
        """
        try:
            if self._unsent:
                buffers, self._unsent = self._unsent, []
                with suppress(ConnectionError):  # the answer may have come before, and is read next
                    await self._send_all(buffers)
            if self.progress.phase == "send":
                self.progress.phase = "headers"
            self._received = self._received or await self._receive()
        except OSError as error:
            raise self._core.ReadError(str(error)) from error
        self.progress.heard = self.progress.heard or bool(self._received)
        count = min(max_bytes, max(len(self._received) - 1, 1))
        data, self._received = self._received[:count], self._received[count:]
        return data

    def close(self) -> None:
        """Close the socket immediately."""
        if self._socket is not None:
            self._socket.close()

    async def aclose(self) -> None:
        """Close the connection as `close` does; the HTTP library calls this coroutine."""
        self.close()

    def get_extra_info(self, info: str) -> Any:
        """Whether a read would not wait, for `info` = `is_readable`; None for any other `info`.

        That is so if the server has closed this idle connection, or has sent bytes that no request asked for.
        """
        if info != "is_readable":
            return None
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return self._ended or bool(self._received)
        except OSError:
            pass
        return True

    async def _send_all(self, buffers: list[bytes]) -> None:
        """Send the buffers: together if they are short, else in slices, between which the loop does other work."""
        if sum(map(len, buffers)) <= _SLICE:
            return await self._send(b"".join(buffers))
        for buffer in buffers:
            view = memoryview(buffer)
            for start in range(0, len(view), _SLICE):
                await self._send(view[start : start + _SLICE])
                await asyncio.sleep(0)
        return None

    async def _send(self, data: bytes | memoryview) -> None:
        """Send the bytes, encrypted by each TLS layer. Returns when the kernel has taken all of them."""
        for layer in reversed(self._layers):
            data = layer.encrypted(data)
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def _receive(self) -> bytes:
        """Decrypted bytes as soon as some have come; empty at the end of the connection."""
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
    """One TLS session between two buffers: `outgoing` holds encrypted bytes to send, `incoming` those received."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ended = False
        """Whether the peer has ended the TLS session."""
        self._tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)

    def handshake(self) -> bool:
        """Continue the handshake; true if it is done.

        If it is not, the caller sends `outgoing`, adds received bytes to `incoming`, and calls again.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypted(self, data: bytes | memoryview) -> bytes:
        """The bytes to send for `data`: `data` encrypted."""
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        return self.outgoing.read()

    def decrypted(self, data: bytes) -> bytes:
        """Add received bytes, and return everything that can be decrypted now."""
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

    Python 3.11's own `happy_eyeballs_delay` leaves sockets open when it is cancelled. Raises OSError if the name cannot
    be resolved, ExceptionGroup if no address answers, UnicodeError for an invalid name.
    """
    loop = asyncio.get_running_loop()
    waiting = list(await look_up(host, port, 0, socket.SOCK_STREAM))
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
