"""How honest the measured latencies are, and what a thousand probes cost, with the shipped engine.

    python bench/latency.py [ROUNDS] [PEER ...]

1. 200 probes in flight over 4 providers, answers after 1 to 11 s (log-normal): measured minus true latency. The server is
   a separate process that writes the true time, from the request's last byte to the answer's first, into each answer.
2. 1,000 probes of 200 ms at one provider, 100 concurrently. The span is from the first request sent to the last answer
   judged; CPU is what this process spends in it, with sending, wire, rescue, judging, recording and pytest's own running
   and reporting of 1,000 items. What comes before (start, imports, collection) and after (files, summary) stands apart.
   Beside it, in turn: the same requests over bare clients of httpx, nothing parsed or judged, and any PEER: a command
   with {url} in it that sends 1,000 requests, 100 concurrently, and is measured as a whole process.

The load of the machine is printed too: other work on its cores makes spans and latencies longer, and CPU
seconds grow too (shared caches, shared cores); the least of the rounds is then nearest to the truth.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest_share
from probes import ENDPOINTS, environment
from steady_server import running

FOREIGN = ("hypothesispytest", "syrupy", "anyio", "time_machine", "xdist")
"""Plugins of the test environment that a user need not have."""
CASE = """version: 1
cases:
  - name: timed
    prompt: Call f.
    max_tokens: 64
    tools: [{name: f, parameters: {type: object, properties: {true_ms: {type: number}}}}]
    expect: {calls: [{name: f}]}
...
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """One process: wall and CPU seconds from first request to last verdict, pytest's own part of them, CPU seconds
    outside of that, peak MB, lateness in ms."""

    span_s: float
    cpu_s: float
    pytest_s: float
    around_s: float
    peak_mb: float
    late_ms: list[float]
    lag_p95_ms: float
    unreliable: int


def probed(url: str, endpoints: list[str], repeat: int, at_once: int) -> Figures:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "timed.kimiprobe.yaml").write_text(CASE, "utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "pytest_share",
            "--kimiprobe",
            "timed.kimiprobe.yaml",
        ]
        command += [f"-pno:{plugin}" for plugin in FOREIGN]
        command += ["--kimiprobe-json=out.json", f"--kimiprobe-repeat={repeat}", "--kimiprobe-budget=100"]
        command += [f"--kimiprobe-concurrency={at_once}", *(f"--kimiprobe-endpoint={one}" for one in endpoints)]
        # Installed packages have their bytecode written; an environment that forbids it would measure the compiler.
        kept = {name: value for name, value in environment(url).items() if name != "PYTHONDONTWRITEBYTECODE"}
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), kept.get("PYTHONPATH"))))
        process = subprocess.Popen(command, cwd=folder, env=kept, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        pytest_s = float((folder / pytest_share.FILE).read_text("utf-8"))
        document = json.loads((folder / "out.json").read_text("utf-8"))
    late = []
    for probe in document["probes"]:
        assert probe["verdict"] == "pass", probe
        late.append(probe["total_ms"] - json.loads(probe["tool_calls"][0]["arguments"])["true_ms"])
    unreliable = sum(probe["unreliable"] for probe in document["probes"])
    return Figures(
        document["span_s"],
        document["cpu_s"],
        pytest_s,
        used.ru_utime + used.ru_stime - document["cpu_s"],
        used.ru_maxrss / 1024,
        sorted(late),
        document["lag_p95_ms"],
        unreliable,
    )


def share(values: list[float], part: float) -> float:
    return values[min(int(len(values) * part), len(values) - 1)]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):8.2f}  ({min(values):.2f} to {max(values):.2f})"


def honest(rounds: int) -> None:
    with running("lognormal") as url:
        rows = [probed(url, list(ENDPOINTS.values()), 25, 50) for _ in range(rounds)]
    print(f"200 probes in flight over 4 providers, answers after 1 to 11 s, {rounds} rounds")
    for part, title in ((0.5, "p50"), (0.95, "p95"), (1.0, "max")):
        print(f"  measured minus true, {title}, ms   {spread([share(row.late_ms, part) for row in rows])}")
    print(f"  loop lag p95, ms                {spread([row.lag_p95_ms for row in rows])}")
    print(f"  marked unreliable, of 200       {spread([float(row.unreliable) for row in rows])}")


def bare(url: str, library: str, clients: int) -> tuple[float, float]:
    """Seconds and CPU seconds of a peer that only sends."""
    command = [sys.executable, str(Path(__file__).parent / "bare.py"), url, library, str(clients)]
    span_s, cpu_s = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(span_s), float(cpu_s)


def whole(command: str, url: str) -> tuple[float, float]:
    """Seconds and CPU seconds of a peer, its start included."""
    began = time.perf_counter()
    words = [word.replace("{url}", url) for word in shlex.split(command)]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


def label(command: str) -> str:
    """The script that a command runs."""
    words = shlex.split(command)
    return Path(next((word for word in words if word.endswith(".py")), words[0])).name


def peers(rows: list[Figures], found: dict[str, list[tuple[float, float]]]) -> None:
    print(f"  {'beside it':<32}{'span / ours':>28}{'CPU / ours':>28}")
    for name, pairs in found.items():
        spans = [pair[0] / row.span_s for pair, row in zip(pairs, rows, strict=True)]
        cpus = [pair[1] / row.cpu_s for pair, row in zip(pairs, rows, strict=True)]
        print(f"  {name:<32}{spread(spans):>28}{spread(cpus):>28}")


def thousand(rounds: int, commands: list[str]) -> None:
    one = [ENDPOINTS["MOONSHOT"]]
    rows: list[Figures] = []
    beside: dict[str, list[tuple[float, float]]] = {}
    with running("0.2") as url:
        for _ in range(rounds):
            rows.append(probed(url, one, 500, 100))
            for library in ("httpx", "httpx2"):
                beside.setdefault(f"bare {library}, 5 clients x 20", []).append(bare(url, library, 5))
            for command in commands:
                beside.setdefault(label(command), []).append(whole(command, url))
    print(f"1,000 probes of 200 ms at one provider, 100 concurrently, {rounds} rounds; ideal 2.00 s")
    print(f"  span / ideal                    {spread([row.span_s / 2 for row in rows])}")
    print(f"  CPU a request, ms               {spread([row.cpu_s for row in rows])}")
    print(f"  of it pytest's own, ms          {spread([row.pytest_s for row in rows])}")
    print(f"  CPU before and after, s         {spread([row.around_s for row in rows])}")
    print(f"  peak memory, MB                 {spread([row.peak_mb for row in rows])}")
    for part, title in ((0.5, "p50"), (0.95, "p95")):
        print(f"  measured minus true, {title}, ms   {spread([share(row.late_ms, part) for row in rows])}")
    print(f"  marked unreliable, of 1,000     {spread([float(row.unreliable) for row in rows])}")
    peers(rows, beside)


def main(rounds: int, commands: list[str]) -> None:
    honest(rounds)
    thousand(rounds, commands)
    print(f"load of the machine, with this: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2:])
