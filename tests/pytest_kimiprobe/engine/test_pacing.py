"""Starts are spaced, and the lag of the event loop is measured."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from pytest_kimiprobe.engine.clock import Timestamp
from pytest_kimiprobe.engine.pacing import LoopLag, Pacer
from pytest_kimiprobe.verdicts import ProbeResult


def test_starts_that_come_in_time_are_a_gap_apart() -> None:
    """Each waits for the end of the gap."""
    pacer, now = Pacer(2.0), 100.0
    for _ in range(5):
        assert pacer.after(now) == 2.0
        now += 2.0


def test_a_start_that_comes_a_little_late_does_not_slow_the_rest_down() -> None:
    """A timer that rings half a gap late every time still gives a start for each gap."""
    pacer, now, starts = Pacer(2.0), 0.0, 0
    while now < 200:
        starts += 1
        now += max(pacer.after(now), 0.0) + 1.0
    assert 95 <= starts <= 101


@given(st.integers(0, 10**6))
def test_whoever_comes_very_late_begins_anew(late_s: int) -> None:
    """A loop that was blocked must not send everything that is due together."""
    pacer = Pacer(2.0)
    assert pacer.after(0.0) == 2.0
    assert pacer.after(2.0 + late_s) == (2.0 - late_s if late_s <= 2 else 2.0)


def test_starts_that_share_a_pacer_follow_one_another() -> None:
    """Providers that start at the same time wait one gap more each."""
    pacer = Pacer(2.0)
    assert [pacer.after(10.0) for _ in range(3)] == [2.0, 4.0, 6.0]


def test_time_between_two_moments_is_never_negative() -> None:
    """A span whose end was noted before its beginning is empty."""
    early, late = Timestamp(1.0, 5.0), Timestamp(3.0, 5.5)
    assert early.until(late) == Timestamp(2.0, 0.5)
    assert late.until(early) == Timestamp(0.0, 0.0)


def test_a_loop_that_is_held_up_is_seen() -> None:
    """Fifty milliseconds of blocking show as such."""

    async def held_up() -> LoopLag:
        lag = LoopLag()
        task = asyncio.create_task(lag.run())
        await asyncio.sleep(0)
        for _ in range(3):
            blocked = time.perf_counter() + 0.06
            while time.perf_counter() < blocked:
                pass
            await asyncio.sleep(0.001)
        task.cancel()
        return lag

    assert asyncio.run(held_up()).p95_ms() >= 45


def test_only_the_probes_own_time_counts() -> None:
    """A late start of the run does not mark what came after."""
    lag = LoopLag()
    for second in range(100):
        lag.note(second, 300.0 if second < 10 else 1.0)
    assert lag.p95_ms(0, 9) == 300
    assert lag.p95_ms(10, 99) == 1
    assert lag.p95_ms() == 300
    assert lag.p95_ms(200, 300) == 0


def test_above_twenty_milliseconds_a_latency_is_unreliable() -> None:
    """It is marked, not hidden."""

    def late(late_ms: float) -> ProbeResult:
        return ProbeResult("id", "weather", "moonshot/kimi-k2.6", "plain", 1, "pass", "ok", late_ms=late_ms)

    assert not late(20.0).unreliable
    assert late(20.1).unreliable


def test_how_late_it_was_last() -> None:
    """What the next start waits for is the newest lag, not the worst."""
    lag = LoopLag()
    assert lag.latest_s == 0.0
    lag.note(1.0, 300.0)
    lag.note(2.0, 40.0)
    assert lag.latest_s == 0.04
