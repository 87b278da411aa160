"""Where the CPU of 1,000 probes goes: the engine at work under cProfile, its time by library.

    python bench/layers.py

The profiler makes all of it slower, small functions above all: the shares tell, not the seconds. What builtins and the
standard library take is counted to who called them.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from latency import CASE, FOREIGN
from probes import ENDPOINTS, environment
from steady_server import running

from pytest_kimiprobe.pytest_items import runner
from routing.transport.event_loop import LoopThread

LAYERS = {
    "HTTP library": ("httpx2", "httpcore2", "httpx", "httpcore", "h11", "anyio", "sniffio"),
    "asyncio": ("asyncio",),
    "pytest": ("_pytest", "pluggy"),
    "ours": ("routing", "pytest_kimiprobe"),
}
Row = tuple[str, int, str]


def layer(row: Row) -> str:
    parts = Path(row[0]).parts
    return next((name for name, packages in LAYERS.items() if set(packages) & set(parts)), "")


def by_layer(profile: cProfile.Profile) -> Counter[str]:
    """Seconds by layer."""
    found: Counter[str] = Counter()
    for row, (_, _, own_s, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if (name := layer(row)) or not callers:
            found[name or "other"] += own_s
            continue
        whole = sum(caller[2] for caller in callers.values()) or 1.0
        for caller, (_, _, part_s, _) in callers.items():
            found[layer(caller) or "other"] += own_s * part_s / whole
    return found


def profiled(owner: object, name: str) -> cProfile.Profile:
    """Has a function of `owner` run under a profiler; each thread needs one."""
    profile, function = cProfile.Profile(time.thread_time), getattr(owner, name)
    setattr(owner, name, lambda *arguments: profile.runcall(function, *arguments))
    return profile


def main() -> None:
    profiles = [profiled(runner, "_serve"), profiled(LoopThread, "_run")]
    with tempfile.TemporaryDirectory() as folder, running("0.2") as url:
        os.chdir(folder)
        os.environ.update(environment(url))
        Path("timed.kimiprobe.yaml").write_text(CASE, "utf-8")
        options = ["-q", "-p", "no:cacheprovider", *(f"-pno:{plugin}" for plugin in FOREIGN)]
        options += ["--kimiprobe", "timed.kimiprobe.yaml", "--kimiprobe-repeat=500", "--kimiprobe-concurrency=100"]
        options += ["--kimiprobe-budget=100", f"--kimiprobe-endpoint={ENDPOINTS['MOONSHOT']}"]
        assert pytest.main(options) == 0
        os.chdir("/")
    shares = sum(map(by_layer, profiles), Counter[str]())
    print("\n% of all CPU")
    for name in (*LAYERS, "other"):
        print(f"{name:<14}{100 * shares[name] / shares.total():>5.0f}")


if __name__ == "__main__":
    main()
