"""A peer for latency.py: 1,000 requests, 100 concurrently, over bare clients of httpx; nothing is parsed, judged or recorded.

python bench/bare.py URL LIBRARY CLIENTS        prints seconds and CPU seconds from the first request to the last answer
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from contextlib import AsyncExitStack

REQUESTS, AT_ONCE = 1000, 100
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer bench-key-of-no-account"}
BODIES = [
    json.dumps({"messages": [{"role": "user", "content": "Call f."}], **more}, separators=(",", ":"))
    for more in ({}, {"stream": True})
]


async def main(url: str, library: str, count: int) -> tuple[float, float]:
    http = importlib.import_module(library)
    each = AT_ONCE // count
    limits = http.Limits(max_connections=each, max_keepalive_connections=each)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(http.AsyncClient(timeout=60, limits=limits)) for _ in range(count)]
        numbers = iter(range(REQUESTS))

        async def work(client: object) -> None:
            for number in numbers:
                response = await client.post(url, headers=HEADERS, content=BODIES[number % 2])  # type: ignore[attr-defined]
                assert response.content

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work(clients[number % count]) for number in range(AT_ONCE)))
        return time.perf_counter() - began, time.process_time() - cpu


if __name__ == "__main__":
    print(*asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
