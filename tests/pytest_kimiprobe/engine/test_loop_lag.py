"""The engine watches its own loop, so that it never publishes its own slowness as a provider's."""

from __future__ import annotations

import asyncio
import time

from pytest_kimiprobe.engine.loop_lag import LagWatch
from pytest_kimiprobe.verdicts import ProbeResult


def test_a_loop_that_is_held_up_is_seen() -> None:
    """Fifty milliseconds of blocking show as such."""

    async def held_up() -> LagWatch:
        watch = LagWatch()
        task = asyncio.create_task(watch.run())
        await asyncio.sleep(0)
        for _ in range(3):
            blocked = time.perf_counter() + 0.06
            while time.perf_counter() < blocked:
                pass
            await asyncio.sleep(0.001)
        task.cancel()
        return watch

    assert asyncio.run(held_up()).p95_ms() >= 45


def test_only_the_probes_own_time_counts() -> None:
    """A late start of the run does not mark what came after."""
    watch = LagWatch()
    for second in range(100):
        watch.note(second, 300.0 if second < 10 else 1.0)
    assert watch.p95_ms(0, 9) == 300
    assert watch.p95_ms(10, 99) == 1
    assert watch.p95_ms() == 300
    assert watch.p95_ms(200, 300) == 0


def test_above_twenty_milliseconds_a_latency_is_unreliable() -> None:
    """It is marked, not hidden."""

    def late(late_ms: float) -> ProbeResult:
        return ProbeResult("id", "weather", "moonshot/kimi-k2.6", "plain", 1, "pass", "ok", late_ms=late_ms)

    assert not late(20.0).unreliable
    assert late(20.1).unreliable


def test_how_late_it_was_last() -> None:
    """What the next start waits for is the newest lag, not the worst."""
    watch = LagWatch()
    assert watch.latest_s == 0.0
    watch.note(1.0, 300.0)
    watch.note(2.0, 40.0)
    assert watch.latest_s == 0.04
