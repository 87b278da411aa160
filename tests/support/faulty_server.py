"""A raw-socket server on loopback that misbehaves by name: each behaviour speaks on one connection.

    with FaultyServer("slow_headers") as server:
        server.url, server.requests, server.connections, server.received

Only the standard library; certificates for TLS come from the caller. Slow behaviours end with the server.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

if TYPE_CHECKING:
    import trustme

CALL = {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USAGE = {"prompt_tokens": 20, "completion_tokens": 10}
PIECE = 1 << 16


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Line:
    """One connection, from the server's side."""

    def __init__(self, sock: socket.socket, server: FaultyServer) -> None:
        self.sock, self.server = sock, server
        self._buffer = b""

    def request(self) -> Seen | None:
        """The next request; None where the client has gone."""
        while b"\r\n\r\n" not in self._buffer:
            if not self.more():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(self._buffer) < length and self.more():
            pass
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        method, path, _ = first.split(" ", 2)
        seen = Seen(method, path, headers, body)
        self.server.requests.append(seen)
        return seen

    def more(self) -> bool:
        """Read what comes; False at the end."""
        data = self.sock.recv(PIECE)
        self.server.received += data
        self._buffer += data
        return bool(data)

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.sock.sendall(part)

    def drip(self, parts: Iterable[bytes], every_s: float) -> None:
        """A part now and then, as long as anybody is there."""
        for part in parts:
            self.send(part)
            if self.server.ending.wait(every_s):
                return

    def wait(self) -> None:
        """Say nothing until the server ends."""
        self.server.ending.wait()


Behaviour: TypeAlias = Callable[[Line], None]
BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(speak: Behaviour) -> Behaviour:
    """Register under its own name."""
    BEHAVIOURS[speak.__name__] = speak
    return speak


class FaultyServer:
    """Serves one behaviour (a name, or a function) on a port of its own until it is closed."""

    def __init__(self, speak: str | Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self._speak = BEHAVIOURS[speak] if isinstance(speak, str) else speak
        self._tls = tls
        self.requests: list[Seen] = []
        self.received = b""
        self.connections = 0
        self.ending = threading.Event()
        self.left = threading.Event()
        """A connection has come to its end, on either side."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        """End every behaviour and join its thread."""
        self.ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self.ending.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.add(sock)
            self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._tls:
                self._open.discard(sock)
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._open.add(sock)
            self._speak(Line(sock, self))
        except (OSError, ValueError):
            pass  # the client has gone
        finally:
            self._open.discard(sock)
            sock.close()
            self.left.set()


# ------------------------------------------------------------------------------------------------------- well-formed


def head(status: int = 200, *headers: str, kind: str = "application/json", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def reply(body: bytes | Any, *headers: str, status: int = 200, kind: str = "application/json") -> Behaviour:
    """Answers every request with this body, on a kept connection."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def speak(line: Line) -> None:
        while line.request():
            line.send(head(status, *headers, kind=kind, length=len(raw)), raw)

    return speak


def in_turn(*replies: Behaviour) -> Behaviour:
    """Connection by connection, another behaviour; the last one for all that follow."""
    left = list(replies)

    def speak(line: Line) -> None:
        speak_now = left.pop(0) if len(left) > 1 else left[0]
        speak_now(line)

    return speak


def tls_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def chat(
    text: str | None = "hello", calls: Any = None, finish_reason: str | None = None, **more: Any
) -> dict[str, Any]:
    """A chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls is not None:
        message["tool_calls"] = calls
    reason = finish_reason or ("tool_calls" if calls else "stop")
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": USAGE, **more}


def call(arguments: Any = "{}", name: str = "f", call_id: str | None = "functions.f:0") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def delta(finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]}


def event(data: Any) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"


def stream(*chunks: Any, done: bool = True) -> Behaviour:
    """A stream of these chunks; the connection ends with it."""
    raw = b"".join(map(event, chunks)) + (event(b"[DONE]") if done else b"")

    def speak(line: Line) -> None:
        if line.request():
            line.send(head(kind="text/event-stream"), raw)

    return speak


def endless(first: bytes, part: bytes, every_s: float = 0.0) -> Behaviour:
    """Sends `part` for ever after `first`."""

    def speak(line: Line) -> None:
        line.request()
        line.send(first)
        while not line.server.ending.is_set():
            line.send(part)
            if every_s and line.server.ending.wait(every_s):
                return

    return speak


# ------------------------------------------------------------------------------------------------------------ connect


@behaviour
def silent(line: Line) -> None:
    """Reads, says nothing: a TLS handshake never completes, an answer never begins."""
    while line.more():
        pass


@behaviour
def hangs_up(line: Line) -> None:
    """Closes without a word once the request is there."""
    line.request()


@behaviour
def hangs_up_early(line: Line) -> None:
    """Closes at the first byte."""
    line.more()


@behaviour
def closes_kept(line: Line) -> None:
    """One right answer on a connection that stays, then closes when the next request is there."""
    reply_once(line, chat())
    line.request()


@behaviour
def closes_idle(line: Line) -> None:
    """One right answer, then closes at once, without having said so."""
    reply_once(line, chat())


@behaviour
def begins_and_closes(line: Line) -> None:
    """One right answer; in answer to the next request a status line, then the end."""
    reply_once(line, chat())
    line.request()
    line.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")


def reply_once(line: Line, body: Any) -> None:
    if line.request():
        raw = json.dumps(body).encode()
        line.send(head(length=len(raw)), raw)


@behaviour
def plaintext(line: Line) -> None:
    """Answers in plain HTTP whatever it was sent."""
    line.more()
    line.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


# ------------------------------------------------------------------------------------------------------------ timeout


@behaviour
def slow_body(line: Line) -> None:
    """A byte of the body now and then."""
    line.request()
    line.send(head(length=10_000))
    line.drip((b"x" for _ in range(10_000)), 0.05)


@behaviour
def slow_headers(line: Line) -> None:
    """A header now and then."""
    line.request()
    line.send(b"HTTP/1.1 200 OK\r\n")
    line.drip((b"X-%d: y\r\n" % number for number in range(10_000)), 0.05)


@behaviour
def slow_stream(line: Line) -> None:
    """A comment now and then, as hosts send while they wait."""
    line.request()
    line.send(head(kind="text/event-stream"))
    line.drip((b": waiting\n\n" for _ in range(10_000)), 0.05)


# --------------------------------------------------------------------------------------------------------------- body


@behaviour
def gzip_bomb(line: Line) -> None:
    """1 MB that unfolds to 1 GB."""
    line.request()
    line.send(head(200, "Content-Encoding: gzip", length=len(BOMB)), BOMB)


@behaviour
def gzip_bomb_stream(line: Line) -> None:
    """The same, said to be a stream."""
    line.request()
    line.send(head(200, "Content-Encoding: gzip", kind="text/event-stream", length=len(BOMB)), BOMB)


def bomb(size: int, piece: bytes) -> bytes:
    """A gzip file of `size` bytes: one packed block again and again, so that making it costs nothing."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * (size // len(piece))


BOMB = bomb(1 << 30, b" " * (1 << 20))


@behaviour
def gzip_chain(line: Line) -> None:
    """Twenty layers of gzip, each declared."""
    raw = json.dumps(chat()).encode()
    for _ in range(20):
        raw = gzip.compress(raw)
    reply(raw, "Content-Encoding: " + ", ".join(["gzip"] * 20))(line)


@behaviour
def many_headers(line: Line) -> None:
    """200,000 headers."""
    line.request()
    line.send(b"HTTP/1.1 200 OK\r\n", *(b"X-%d: y\r\n" % number for number in range(200_000)), b"\r\n")


@behaviour
def informational(line: Line) -> None:
    """50,000 answers that say: go on. Then a right one."""
    line.request()
    for _ in range(50):
        line.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)
    raw = json.dumps(chat()).encode()
    line.send(head(length=len(raw)), raw)


@behaviour
def short_body(line: Line) -> None:
    """Less than was promised."""
    line.request()
    line.send(head(length=1_000), b'{"choices"')


@behaviour
def no_http(line: Line) -> None:
    """Another protocol altogether."""
    line.request()
    line.send(b"220 mail.example ESMTP\r\n\r\n")


# ------------------------------------------------------------------------------------------------------------- stream


@behaviour
def infinite_stream(line: Line) -> None:
    """Text without end."""
    endless(head(kind="text/event-stream"), event(delta(content="x" * 90)) * 200)(line)


@behaviour
def endless_comments(line: Line) -> None:
    """Keep-alive comments without end, as fast as they are read."""
    endless(head(kind="text/event-stream"), b": waiting\n\n" * 500)(line)


@behaviour
def endless_line(line: Line) -> None:
    """One line of 300 MB."""
    line.request()
    line.send(head(kind="text/event-stream"), b"data: ")
    for _ in range(300):
        line.send(b"x" * (1 << 20))


# -------------------------------------------------------------------------------------------------------- credentials


def tunnel(port: int) -> Behaviour:
    """A proxy: whatever host is asked for, the way leads to this port of the machine."""

    def speak(line: Line) -> None:
        if not line.request():
            return
        with socket.create_connection(("127.0.0.1", port)) as far:
            line.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(far, line.sock), daemon=True)
            back.start()
            while data := line.sock.recv(PIECE):
                line.server.received += data
                far.sendall(data)
            far.shutdown(socket.SHUT_RDWR)
            back.join(10)

    return speak


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE):
            sink.sendall(data)


def redirect(status: int, to: str) -> Behaviour:
    """Sends every request elsewhere."""
    return reply(b"", f"Location: {to}/steal", status=status)


@behaviour
def echo_gzip(line: Line) -> None:
    """The same error, packed."""
    while seen := line.request():
        words = {"error": {"message": f"invalid request: {json.dumps(seen.headers)}", "code": 401}}
        raw = gzip.compress(json.dumps(words).encode())
        line.send(head(401, "Content-Encoding: gzip", length=len(raw)), raw)


@behaviour
def echo_forms(line: Line) -> None:
    """Gives the key back as base64, in URLs, in HTML, escaped, in hexadecimal and in UTF-16."""
    while seen := line.request():
        value = seen.headers["authorization"].encode()
        key = value.partition(b" ")[2]
        forms = [base64.b64encode(b"u:"[:cut] + key) for cut in range(3)] + [base64.urlsafe_b64encode(value)]
        forms += ["".join(f"%{byte:02X}" for byte in key).encode(), "".join(f"\\u{byte:04x}" for byte in key).encode()]
        forms += [key.hex().encode(), key.hex().upper().encode(), key.decode().encode("utf-16-le")]
        raw = b'{"error": {"message": "' + b" ".join(forms) + b'"}}'
        line.send(head(400, length=len(raw)), raw)


@behaviour
def echo_stream(line: Line) -> None:
    """Streams the key back as text, first whole, then a byte a packet, then cut over two events."""
    while seen := line.request():
        key = seen.headers["authorization"].partition(" ")[2]
        line.send(head(kind="text/event-stream", length=None))
        line.send(event(delta(content=f"your key is {key}.")))
        for byte in event(delta(content=f"again: {key}.")):
            line.send(bytes([byte]))
        middle = len(key) // 2
        line.send(event(delta(content=key[:middle])), event(delta("stop", content=key[middle:])), event(b"[DONE]"))
        return


@behaviour
def echo(line: Line) -> None:
    """Gives the whole request back in an error: headers in headers, all of it in the body."""
    while seen := line.request():
        words = {"error": {"message": f"invalid request: {json.dumps(seen.headers)}", "code": 401}}
        raw = json.dumps(words).encode()
        given = [f"X-Your-{name}: {value}" for name, value in seen.headers.items() if name != "content-length"]
        line.send(head(401, *given, length=len(raw)), raw)
