"""Starts are spaced out, on a clock that the tests hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_kimiprobe.engine.moment import Moment
from pytest_kimiprobe.engine.pace import Pace


def test_starts_that_come_in_time_are_a_gap_apart() -> None:
    """Each waits for the end of the gap."""
    pace, now = Pace(2.0), 100.0
    for _ in range(5):
        assert pace.after(now) == 2.0
        now += 2.0


def test_a_start_that_comes_a_little_late_does_not_slow_the_rest_down() -> None:
    """A timer that rings half a gap late every time still gives a start for each gap."""
    pace, now, starts = Pace(2.0), 0.0, 0
    while now < 200:
        starts += 1
        now += max(pace.after(now), 0.0) + 1.0
    assert 95 <= starts <= 101


@given(st.integers(0, 10**6))
def test_whoever_comes_very_late_begins_anew(late_s: int) -> None:
    """A loop that stood still must not send all it has missed at once."""
    pace = Pace(2.0)
    assert pace.after(0.0) == 2.0
    assert pace.after(2.0 + late_s) == (2.0 - late_s if late_s <= 2 else 2.0)


def test_who_shares_a_pace_gets_a_moment_each() -> None:
    """Several lanes that start at once wait one gap more each."""
    pace = Pace(2.0)
    assert [pace.after(10.0) for _ in range(3)] == [2.0, 4.0, 6.0]


def test_time_between_two_moments_is_never_negative() -> None:
    """A span whose end was noted before its beginning is empty."""
    early, late = Moment(1.0, 5.0), Moment(3.0, 5.5)
    assert early.until(late) == Moment(2.0, 0.5)
    assert late.until(early) == Moment(0.0, 0.0)
