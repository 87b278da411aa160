"""CPU of a request at 1, 20 and 100 concurrently: this transport beside one bare client of httpx and of httpx2.

    python bench/transport.py [ROUNDS]

The server is a process of its own that answers after 50 ms. CPU is the client process's, per request; late is measured
minus true latency. Each figure is the median of the rounds, with the least and the most; every round is a fresh client
whose pool is warm.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from steady_server import running

from routing.transport import HttpRequest, Transport
from routing.transport.event_loop import run

DELAY_S = 0.05
AT_ONCE = (1, 20, 100)
BODY = json.dumps({"messages": [{"role": "user", "content": "Call f."}]}).encode()
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer bench-key-of-no-account"}
Send = Callable[[], Awaitable[None]]


@asynccontextmanager
async def ours(library: str, url: str) -> AsyncIterator[Send]:
    os.environ["KIMIPROBE_HTTP"] = library
    transport = Transport()

    async def send() -> None:
        async with transport.send(HttpRequest("POST", url, HEADERS, BODY)) as response:
            assert [chunk async for chunk in response.chunks]

    yield send
    await transport.aclose()


@asynccontextmanager
async def bare(library: str, url: str) -> AsyncIterator[Send]:
    http = importlib.import_module(library)
    limits = http.Limits(max_connections=None, max_keepalive_connections=None)
    async with http.AsyncClient(timeout=None, limits=limits) as client:

        async def send() -> None:
            response = await client.post(url, headers=HEADERS, content=BODY)
            assert response.content

        yield send


async def measured(send: Send, at_once: int) -> tuple[float, list[float]]:
    """CPU ms a request, and how late each was in ms."""
    each = max(3, 300 // at_once)
    late: list[float] = []

    async def one_after_another(count: int) -> None:
        for _ in range(count):
            began = time.perf_counter()
            await send()
            late.append((time.perf_counter() - began - DELAY_S) * 1000)

    await asyncio.gather(*(one_after_another(1) for _ in range(at_once)))
    late.clear()
    began = time.process_time()
    await asyncio.gather(*(one_after_another(each) for _ in range(at_once)))
    return (time.process_time() - began) * 1000 / (each * at_once), late


async def round_of(
    open_client: Callable[..., object], library: str, url: str, at_once: int
) -> tuple[float, float, float]:
    async with open_client(library, url) as send:  # type: ignore[attr-defined]
        cpu, late = await measured(send, at_once)
    late.sort()
    return cpu, late[len(late) // 2], late[int(len(late) * 0.95)]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):8.2f} ({min(values):.2f}-{max(values):.2f})"


def main(rounds: int) -> None:
    print(f"true latency {DELAY_S * 1000:.0f} ms, {rounds} rounds; median (least-most), ms")
    print(f"{'':<22}{'requests':>8}{'CPU a request':>26}{'late p50':>26}{'late p95':>26}")
    with running(DELAY_S) as url:
        for at_once in AT_ONCE:
            for name, open_client, library in (
                ("ours, httpx2", ours, "httpx2"),
                ("bare httpx2", bare, "httpx2"),
                ("ours, httpx", ours, "httpx"),
                ("bare httpx", bare, "httpx"),
            ):
                rows = [run(round_of(open_client, library, url, at_once)) for _ in range(rounds)]
                columns = "".join(f"{spread(list(column)):>26}" for column in zip(*rows, strict=True))
                print(f"{name:<22}{at_once:>8}{columns}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
