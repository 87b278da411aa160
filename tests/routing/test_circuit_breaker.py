"""Which endpoints are parked, and from when until when; the tests set the clock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from examples import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from routing import circuit_breaker as module
from routing.circuit_breaker import (
    LEAST_FAILURES,
    MAX_OPEN_S,
    MAX_RETRY_AFTER_S,
    MAX_TRIALS,
    NEWEST,
    OPEN_S,
    WINDOW_S,
    Breaker,
    Permit,
)
from routing.errors import AccountError, BadAnswer, EndpointUnavailable, ExchangeError, ProviderFailure, RequestRejected
from routing.types import Parked

E = "openrouter/m"


class Clock:
    """A clock that advances only when a test changes it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def let(breaker: Breaker, **how: Any) -> Permit:
    """The permit for a request that must be admitted."""
    given = breaker.admit(E, **how)
    assert isinstance(given, Permit)
    return given


def ask(breaker: Breaker, right: bool | None, times: int = 1, **told: Any) -> None:
    """Send that many requests in sequence, all with this outcome."""
    for _ in range(times):
        breaker.settle(let(breaker), right, **told)


def opened(breaker: Breaker) -> None:
    ask(breaker, False, LEAST_FAILURES, why="server_error")
    assert E in breaker.parked()


def test_a_host_that_asks_for_a_pause_is_parked_until_then(breaker: Breaker, clock: Clock) -> None:
    """The status gives reason and seconds left; after the pause the host is asked again."""
    ask(breaker, False, why="rate_limited", pause_s=60.0)
    clock.now += 20
    held = breaker.admit(E)
    assert isinstance(held, Parked)
    assert (held.endpoint, held.seconds) == (E, 40.0)
    assert str(held) == "parked for 40 s more: it asked for a pause of 60 s (rate_limited)"
    assert breaker.parked() == {E: held}
    clock.now += 40
    assert not breaker.parked()
    assert let(breaker).trial


def test_no_pause_is_longer_than_an_hour(breaker: Breaker) -> None:
    """A host that asks for a day is asked again after an hour."""
    ask(breaker, False, pause_s=86_400.0)
    assert breaker.parked()[E].seconds == MAX_RETRY_AFTER_S


@pytest.mark.parametrize("pause", [0.0, -1.0, float("nan")])
def test_a_pause_of_zero_or_less_parks_nothing(breaker: Breaker, pause: float) -> None:
    """A pause of zero or less counts as an ordinary failure."""
    ask(breaker, False, LEAST_FAILURES - 1, pause_s=pause)
    assert not breaker.parked()
    ask(breaker, False, pause_s=pause)
    assert E in breaker.parked()


def test_the_longest_pause_wins(breaker: Breaker, clock: Clock) -> None:
    """A later outcome with a shorter pause does not shorten it, and one with a longer pause is not lost."""
    first, second, third = let(breaker), let(breaker), let(breaker)
    breaker.settle(first, False, pause_s=100.0)
    breaker.settle(second, False, pause_s=10.0)
    assert breaker.parked()[E].seconds == 100
    breaker.settle(third, False, pause_s=200.0)
    assert breaker.parked()[E].seconds == 200


def test_failures_park_it_once_there_are_enough(breaker: Breaker) -> None:
    """Five failures of at most nine requests park it; fewer do not."""
    ask(breaker, True, LEAST_FAILURES)
    ask(breaker, False, LEAST_FAILURES - 1)
    assert not breaker.parked()
    ask(breaker, False, why="server_error")
    assert breaker.parked()[E].why == "5 of its last 10 requests failed (server_error)"


def test_failures_that_are_few_among_many_do_not(breaker: Breaker) -> None:
    """Less than half of the newest failed: a host with 60 % success is left to the flags."""
    for _ in range(20):
        ask(breaker, True, 3)
        ask(breaker, False, 2)
    assert not breaker.parked()


def test_what_is_old_or_far_back_does_not_count(breaker: Breaker, clock: Clock) -> None:
    """Failures older than a minute do not count, nor do right answers before the newest twenty."""
    ask(breaker, False, LEAST_FAILURES - 1)
    clock.now += WINDOW_S + 1
    ask(breaker, False)
    assert not breaker.parked()
    ask(breaker, True, 100)
    ask(breaker, False, NEWEST // 2)
    assert E in breaker.parked()


def test_when_the_time_is_over_one_request_asks_it(breaker: Breaker, clock: Clock) -> None:
    """Other requests pass it over meanwhile; success of the trial ends the parking for all."""
    opened(breaker)
    clock.now += OPEN_S
    with ThreadPoolExecutor(16) as crowd:
        given = list(crowd.map(lambda _: breaker.admit(E), range(64)))
    (trial,) = (one for one in given if isinstance(one, Permit))
    assert str(breaker.parked()[E]).startswith("parked while another request asks it again")
    breaker.settle(trial, True)
    assert not breaker.parked()
    assert not let(breaker).trial


def test_a_trial_that_fails_parks_it_for_longer(breaker: Breaker, clock: Clock) -> None:
    """30 s, 60 s, 90 s, at most five minutes; after a success 30 s again."""
    opened(breaker)
    for turn in range(2, 14):
        clock.now += breaker.parked()[E].seconds
        ask(breaker, False, why="timeout")
        assert breaker.parked()[E].seconds == min(OPEN_S * turn, MAX_OPEN_S)
    clock.now += MAX_OPEN_S
    ask(breaker, True)
    opened(breaker)
    assert breaker.parked()[E].seconds == OPEN_S


def test_a_trial_without_outcome_allows_the_next_one(breaker: Breaker, clock: Clock) -> None:
    """The trial was cancelled, or failed by the caller's fault."""
    opened(breaker)
    clock.now += OPEN_S
    trial = let(breaker)
    assert isinstance(breaker.admit(E), Parked)
    breaker.settle(trial, None)
    assert let(breaker).trial


def test_outcomes_from_before_the_parking_neither_end_nor_prolong_it(breaker: Breaker, clock: Clock) -> None:
    """Many requests that were in flight when the host broke return late."""
    late = [let(breaker) for _ in range(10)]
    opened(breaker)
    for given, right in zip(late, [True, False] * 5, strict=True):
        breaker.settle(given, right)
        assert breaker.parked()[E].seconds == OPEN_S
    clock.now += OPEN_S
    assert let(breaker).trial


def test_a_trial_of_an_earlier_parking_does_not_free_a_later_one(breaker: Breaker, clock: Clock) -> None:
    """Another request ended the parking meanwhile, and a new parking has a trial in progress."""
    opened(breaker)
    clock.now += OPEN_S
    late = let(breaker)
    breaker.settle(let(breaker, force=True), True)
    opened(breaker)
    clock.now += OPEN_S
    assert let(breaker).trial
    breaker.settle(late, None)
    assert isinstance(breaker.admit(E), Parked)


def test_a_parked_endpoint_can_be_forced(breaker: Breaker) -> None:
    """A forced request changes nothing if it fails; if it succeeds, it ends the parking."""
    opened(breaker)
    breaker.settle(let(breaker, force=True), False)
    assert breaker.parked()[E].seconds == OPEN_S
    breaker.settle(let(breaker, force=True), True)
    assert not breaker.parked()


TOLD: list[tuple[ExchangeError | None, float, tuple[bool | None, float | None]]] = [
    (None, 60, (True, None)),
    (BadAnswer("tool_use_failed", status=400), 60, (True, None)),
    (ProviderFailure("server_error"), 60, (False, None)),
    (ProviderFailure("rate_limited", retry_after_s=3.0), 60, (False, 3.0)),
    (ProviderFailure("timeout", phase="headers"), 60, (False, None)),
    (ProviderFailure("timeout", phase="headers"), 1, (None, None)),
    (ProviderFailure("timeout", phase="connect"), 1, (False, None)),
    (RequestRejected("bad_request", retry_after_s=3.0), 60, (None, None)),
    (AccountError("unauthorized"), 60, (None, None)),
    (AccountError("no_credit", retry_after_s=3.0), 60, (None, 3.0)),
    (EndpointUnavailable("model_retired"), 60, (None, None)),
]


@pytest.mark.parametrize(("error", "given_s", "told"), TOLD, ids=range(len(TOLD)))
def test_only_failures_that_the_provider_caused_count(
    error: Any, given_s: float, told: tuple[bool | None, float | None]
) -> None:
    """Not counted: errors of the caller or the account, wrong answers, a deadline too short for any host."""
    assert module.classify(error, given_s) == told


class Machine(RuleBasedStateMachine):
    """Requests, outcomes and time in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(self.clock)
        self.open: list[Permit] = []

    @rule(force=st.booleans())
    def begin(self, force: bool) -> None:
        before = self.breaker.parked()
        given = self.breaker.admit(E, force=force)
        assert isinstance(given, Parked) == (E in before and not force)
        if isinstance(given, Permit):
            self.open.append(given)

    @rule(
        at=st.integers(0, 30),
        right=st.sampled_from([True, False, None]),
        pause=st.sampled_from([None, None, None, 5.0, 7200.0]),
    )
    def end(self, at: int, right: bool | None, pause: float | None) -> None:
        if self.open:
            self.breaker.settle(self.open.pop(at % len(self.open)), right, pause_s=pause)

    @rule(seconds=st.sampled_from([1.0, 29.0, 30.0, 61.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def it_is_never_lost(self) -> None:
        """In every state the endpoint is asked again in the end."""
        state = self.breaker._states.get(E)
        assert state is None or 0 <= state.trials <= MAX_TRIALS
        assert all(0 <= one.seconds <= MAX_RETRY_AFTER_S for one in self.breaker.parked().values())
        if state is not None and not self.open:
            assert state.trials == 0


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=examples(50), stateful_step_count=40)
