"""200 probes of 200 ms over 4 providers, 8 at a time: how near to the ideal, and how much faster than one by one.

    python bench/probes.py [ROUNDS]

The server is a process of its own. `probes` is the time from the first request to the last verdict, `process` the whole
of `pytest --kimiprobe`; the ideal is 200 x 0.2 s / (4 x 8). One by one is the same requests through the same exchange.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from steady_server import running

from routing import catalog as catalogs
from routing.exchange import Target, exchange
from routing.transport import Transport
from routing.types import ChatRequest

DELAY_S, REPEATS, AT_ONCE = 0.2, 25, 8
ENDPOINTS = {
    "MOONSHOT": "moonshot/kimi-k2.6",
    "OPENROUTER": "openrouter/moonshotai/kimi-k2.6",
    "GROQ": "groq/moonshotai/kimi-k2-instruct",
    "TOGETHER": "together/moonshotai/Kimi-K3",
}
PROBES = REPEATS * 2 * len(ENDPOINTS)
IDEAL_S = PROBES * DELAY_S / (len(ENDPOINTS) * AT_ONCE)
CASE = """version: 1
cases:
  - {name: steady, prompt: "Call f.", max_tokens: 64, tools: [{name: f}], expect: {calls: [{name: f}]}}
...
"""


def environment(url: str) -> dict[str, str]:
    urls = {f"KIMIPROBE_BASE_URL_{name}": url for name in ENDPOINTS}
    return {**os.environ, **urls, **{f"{name}_API_KEY": "bench-key-of-no-account" for name in ENDPOINTS}}


def probed(url: str) -> tuple[float, float, list[float]]:
    """Seconds of the probes, seconds of the process, measured latencies in ms."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "steady.kimiprobe.yaml").write_text(CASE, "utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--kimiprobe",
            "steady.kimiprobe.yaml",
        ]
        command += ["--kimiprobe-json=out.json", f"--kimiprobe-repeat={REPEATS}", "--kimiprobe-budget=100"]
        command += [f"--kimiprobe-endpoint={endpoint}" for endpoint in ENDPOINTS.values()]
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment(url), check=True, capture_output=True)
        process_s = time.perf_counter() - started
        document = json.loads((folder / "out.json").read_text("utf-8"))
    passed = [probe["total_ms"] for probe in document["probes"] if probe["verdict"] == "pass"]
    assert len(passed) == PROBES, f"{len(passed)} of {PROBES} passed"
    return float(document["span_s"]), process_s, passed


async def one_by_one(url: str) -> float:
    catalog = catalogs.load(environment=environment(url))
    transport = Transport()
    tool = {"type": "function", "function": {"name": "f"}}
    started = time.perf_counter()
    for endpoint_id in ENDPOINTS.values():
        endpoint = catalog.endpoint(endpoint_id)
        target = Target(endpoint, catalog.provider_of(endpoint), "bench-key-of-no-account")
        for number in range(REPEATS * 2):
            request = ChatRequest([{"role": "user", "content": "Call f."}], [tool], stream=bool(number % 2))
            done = await exchange(transport, target, request, timeout_s=10)
            assert done.answer is not None, done.error
    spent = time.perf_counter() - started
    await transport.aclose()
    return spent


def main(rounds: int) -> None:
    with running(DELAY_S) as url:
        rows = [probed(url) for _ in range(rounds)]
        serial = asyncio.run(one_by_one(url))
    spans, processes = [row[0] for row in rows], [row[1] for row in rows]
    late = sorted(latency - DELAY_S * 1000 for row in rows for latency in row[2])
    print(f"{PROBES} probes x {DELAY_S * 1000:.0f} ms, {len(ENDPOINTS)} providers x {AT_ONCE} at once, {rounds} rounds")
    print(f"{'':<14}{'median':>9}{'min':>9}{'max':>9}{'x ideal':>9}{'faster than one by one':>25}")
    for name, values in (("ideal", [IDEAL_S]), ("probes", spans), ("process", processes), ("one by one", [serial])):
        middle = statistics.median(values)
        print(
            f"{name:<14}{middle:>8.2f}s{min(values):>8.2f}s{max(values):>8.2f}s{middle / IDEAL_S:>9.2f}{serial / middle:>24.1f}x"
        )
    p50, p95 = late[len(late) // 2], late[int(len(late) * 0.95)]
    print(f"measured minus true latency: p50 {p50:.1f} ms, p95 {p95:.1f} ms, max {late[-1]:.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
