"""A server that answers every chat request after a known time, in a process of its own so that it knows the truth.

python bench/steady_server.py DELAY        prints its port, then serves on 127.0.0.1 until it is ended

DELAY is a number of seconds, or `lognormal`: 1 to 11 s, drawn anew for each request with a fixed seed. The time that an
answer really took, from its request's last byte on, stands in the call's arguments as `true_ms`.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

USAGE = {"prompt_tokens": 20, "completion_tokens": 10}


def call(true_ms: float) -> dict[str, object]:
    arguments = json.dumps({"true_ms": round(true_ms, 1)})
    return {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": arguments}}


def plain(true_ms: float) -> bytes:
    message = {"role": "assistant", "content": None, "tool_calls": [call(true_ms)]}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": USAGE}
    return response("application/json", json.dumps(body).encode())


def streamed(true_ms: float) -> bytes:
    delta = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **call(true_ms)}]}, "finish_reason": None}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": USAGE}
    events = [json.dumps(delta), json.dumps(end), "[DONE]"]
    return response("text/event-stream", "".join(f"data: {event}\n\n" for event in events).encode())


def response(kind: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def delays(text: str) -> Callable[[], float]:
    """Seconds for the next answer."""
    generator = random.Random(1)
    if text == "lognormal":
        return lambda: min(max(generator.lognormvariate(1.1, 0.6), 1.0), 11.0)
    return lambda: float(text)


async def serve(next_delay: Callable[[], float]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                body = await reader.readexactly(int(lengths[0].partition(b":")[2])) if lengths else b""
                came = time.perf_counter()
                await asyncio.sleep(next_delay())
                true_ms = (time.perf_counter() - came) * 1000
                writer.write(streamed(true_ms) if b'"stream":true' in body else plain(true_ms))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running(delay: str | float) -> Iterator[str]:
    """Base URL of such a server."""
    command = [sys.executable, str(Path(__file__)), str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(serve(delays(sys.argv[1])))
