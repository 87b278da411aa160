"""What an account's 429s teach, on a clock that the tests hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kimiprobe.engine.throttle import Throttle, refusal_words


def refuse(throttle: Throttle, now: float, retry_after_s: float | None = None, *, sent_at: float | None = None) -> bool:
    throttle.started(now)
    again = throttle.refused_at(now, now if sent_at is None else sent_at, retry_after_s)
    throttle.ended()
    return again


def test_a_refusal_halves_what_is_in_flight_at_once() -> None:
    """Eight become four; the next start waits as long as was asked for."""
    throttle = Throttle(8, patience_s=60)
    assert refuse(throttle, 10.0, 3.0)
    assert throttle.limit == 4
    assert throttle.ready_in(10.0) == 3.0
    assert throttle.ready_in(13.0) == 0.0


def test_refusals_of_one_burst_count_once() -> None:
    """Those sent before the limit was lowered say nothing new."""
    throttle = Throttle(8, patience_s=60)
    for _ in range(8):
        refuse(throttle, 10.0, 1.0, sent_at=9.0)
    assert throttle.limit == 4
    assert throttle.refused == 8
    assert throttle.waited_s == 1.0


def test_one_at_a_time_and_still_refused_spreads_the_starts() -> None:
    """As far apart as Retry-After says: three a minute are 20 s."""
    throttle = Throttle(1, patience_s=90)
    refuse(throttle, 0.0, 20.0)
    assert throttle.ready_in(20.0) == 0.0
    throttle.started(20.0)
    throttle.ended()
    assert throttle.ready_in(21.0) == 19.0


def test_the_rate_is_what_was_answered_until_the_next_is_allowed() -> None:
    """Three answered, then 57 s to wait: three a minute, so 20 s apart and a little more."""
    throttle = Throttle(1, patience_s=90)
    for now in (0.0, 1.0, 2.0):
        throttle.answered(now)
    refuse(throttle, 3.0, 57.0)
    assert throttle.spacing_s == pytest.approx(21.0)


def test_without_retry_after_the_wait_doubles() -> None:
    """Half a second, one, two, four."""
    throttle, now, waits = Throttle(1, patience_s=60), 0.0, []
    for _ in range(4):
        refuse(throttle, now)
        waits.append(throttle.ready_in(now))
        now += waits[-1] or 0.0
    assert waits == [0.5, 1.0, 2.0, 4.0]


def test_patience_ends_where_nothing_but_refusals_came() -> None:
    """After that each is sent once, immediately."""
    throttle = Throttle(4, patience_s=10)
    assert refuse(throttle, 0.0, 6.0)
    assert not refuse(throttle, 6.0, 6.0)
    assert throttle.ready_in(6.0) == 0.0


def test_a_wait_longer_than_the_patience_is_not_begun() -> None:
    """`Retry-After: 86400` is a no."""
    throttle = Throttle(4, patience_s=10)
    assert not refuse(throttle, 0.0, 86400.0)
    assert throttle.ready_in(0.0) == 0.0


def test_an_answer_renews_the_patience() -> None:
    """A slow account that moves is waited for as long as it moves."""
    throttle, now = Throttle(1, patience_s=30), 0.0
    for _ in range(20):
        assert refuse(throttle, now, 20.0)
        now += 20
        throttle.answered(now)


def test_patience_zero_never_sends_again() -> None:
    """Refusals are then the last word."""
    assert not refuse(Throttle(4, patience_s=0), 0.0, 0.1)


def test_answers_in_a_row_let_it_grow_again() -> None:
    """Slowly, and never beyond what was wished for."""
    throttle = Throttle(4, patience_s=60)
    refuse(throttle, 0.0, 1.0)
    for now in range(200):
        throttle.answered(now)
    assert throttle.limit == 4
    assert not throttle.slowed


@given(st.lists(st.tuples(st.sampled_from(["answered", "refused"]), st.floats(0, 5), st.none() | st.floats(0, 30))))
def test_limits_stay_within_bounds(steps: list[tuple[str, float, float | None]]) -> None:
    """For any answers: between one and the configured number of concurrent requests, never an endless wait."""
    throttle, now = Throttle(8, patience_s=90), 0.0
    for word, passed, retry_after_s in steps:
        now += passed
        throttle.started(now)
        throttle.answered(now) if word == "answered" else throttle.refused_at(now, now, retry_after_s)
        throttle.ended()
        assert 1 <= throttle.limit <= 8
        wait_s = throttle.ready_in(now)
        assert wait_s is not None
        assert 0 <= wait_s <= 90


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (1, "moonshot refused once (HTTP 429); waited 20 s, slowed to 2 concurrent"),
        (3, "moonshot refused 3 times (HTTP 429); waited 60 s, slowed to 1 concurrent, 20 s apart"),
    ],
)
def test_the_report_says_what_was_learned(times: int, words: str) -> None:
    """Counts, waits and the pace that was found."""
    throttle = Throttle(4, patience_s=90)
    for number in range(times):
        refuse(throttle, number * 20.0, 20.0)
    assert refusal_words("moonshot", throttle) == words
