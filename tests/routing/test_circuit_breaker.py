"""Which endpoints are parked, and from when until when; the tests set the clock."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
from examples import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from routing.circuit_breaker import (
    LEAST_FAILURES,
    MAX_OPEN_S,
    MAX_RETRY_AFTER_S,
    NEWEST,
    OPEN_S,
    PATIENCE_S,
    SILENT_S,
    WINDOW_S,
    Breaker,
    Outcome,
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
        breaker.settle(let(breaker), Outcome(right, **told))


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
    breaker.settle(first, Outcome(False, pause_s=100.0))
    breaker.settle(second, Outcome(False, pause_s=10.0))
    assert breaker.parked()[E].seconds == 100
    breaker.settle(third, Outcome(False, pause_s=200.0))
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
    breaker.settle(trial, Outcome(True))
    assert not breaker.parked()
    assert not let(breaker).trial


def test_a_trial_that_fails_parks_it_for_longer(breaker: Breaker, clock: Clock) -> None:
    """30 s twice, then 60 s, 90 s, at most five minutes; after a success 30 s again."""
    opened(breaker)
    for turn in range(1, 14):
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
    breaker.settle(trial, Outcome(None))
    assert let(breaker).trial


def test_outcomes_from_before_the_parking_neither_end_nor_prolong_it(breaker: Breaker, clock: Clock) -> None:
    """Many requests that were in flight when the host broke return late."""
    late = [let(breaker) for _ in range(10)]
    opened(breaker)
    for given, right in zip(late, [True, False] * 5, strict=True):
        breaker.settle(given, Outcome(right))
        assert breaker.parked()[E].seconds == OPEN_S
    clock.now += OPEN_S
    assert let(breaker).trial


def test_a_parked_endpoint_can_be_forced(breaker: Breaker) -> None:
    """A forced request changes nothing if it fails; if it succeeds, it ends the parking."""
    opened(breaker)
    breaker.settle(let(breaker, force=True), Outcome(False))
    assert breaker.parked()[E].seconds == OPEN_S
    breaker.settle(let(breaker, force=True), Outcome(True))
    assert not breaker.parked()


def test_a_parked_endpoint_is_asked_by_one_request_at_a_time(breaker: Breaker, clock: Clock) -> None:
    """This holds for forced requests too, and for a forced one that lasts longer than the parking."""
    opened(breaker)
    with ThreadPoolExecutor(16) as crowd:
        given = list(crowd.map(lambda _: breaker.admit(E, force=True), range(64)))
    (forced,) = (one for one in given if isinstance(one, Permit))
    assert breaker.parked()[E].seconds == 0
    clock.now += OPEN_S
    assert isinstance(breaker.admit(E), Parked)
    breaker.settle(forced, Outcome(None))
    assert let(breaker).trial


def hang(breaker: Breaker, clock: Clock, seconds: float, times: int = 1, usual_s: float = 0.0) -> None:
    """Send that many requests in sequence, each of which waits in vain for that long."""
    for _ in range(times):
        permit = let(breaker)
        clock.now += seconds
        failure = ProviderFailure("timeout", phase="headers", elapsed_ms=seconds * 1000)
        breaker.settle(permit, Outcome.of(failure, silent_s=seconds, usual_s=usual_s))


@pytest.mark.parametrize("seconds", [0.125, 1.0, 4.0, 60.0, 600.0])
def test_a_silent_host_is_parked_whatever_the_timeout_is(breaker: Breaker, clock: Clock, seconds: float) -> None:
    """The time of all requests counts together: many short ones, or one long one."""
    times = math.ceil(SILENT_S / seconds)
    hang(breaker, clock, seconds, times - 1)
    assert not breaker.parked()
    hang(breaker, clock, seconds)
    held = breaker.parked()[E]
    assert held.seconds == OPEN_S
    assert held.why.startswith("requests waited ")
    assert not held.requested


def test_one_success_ends_the_silence(breaker: Breaker, clock: Clock) -> None:
    """A host that answers others does not hang: the caller's timeouts are too short."""
    for _ in range(20):
        hang(breaker, clock, 2.0, 4)
        ask(breaker, True)
    assert not breaker.parked()


def test_requests_that_wait_at_the_same_time_count_once(breaker: Breaker, clock: Clock) -> None:
    """Fifty requests that time out together after one second are one second of silence."""
    for _ in range(9):
        together = [let(breaker) for _ in range(50)]
        clock.now += 1.0
        for permit in together:
            breaker.settle(permit, Outcome(silent_s=1.0))
    assert not breaker.parked()
    hang(breaker, clock, 1.0)
    assert E in breaker.parked()


def test_silence_of_long_ago_does_not_count(breaker: Breaker, clock: Clock) -> None:
    """A short timeout now and then says nothing about the host."""
    for _ in range(20):
        hang(breaker, clock, 4.0)
        clock.now += WINDOW_S + 1
    assert not breaker.parked()


def test_a_host_that_is_usually_slow_is_not_taken_for_a_silent_one(breaker: Breaker, clock: Clock) -> None:
    """Up to twice the time that its answers usually take."""
    hang(breaker, clock, 4.0, 19, usual_s=39.0)
    assert not breaker.parked()
    hang(breaker, clock, 4.0, usual_s=39.0)
    assert E in breaker.parked()


def test_a_silent_host_that_is_silent_again_is_parked_for_longer(breaker: Breaker, clock: Clock) -> None:
    """A trial needs no long timeout for that; its success ends the silence."""
    hang(breaker, clock, SILENT_S)
    clock.now += OPEN_S
    hang(breaker, clock, 0.5)
    assert breaker.parked()[E].seconds == OPEN_S
    clock.now += OPEN_S
    hang(breaker, clock, 0.5)
    assert breaker.parked()[E].seconds == 2 * OPEN_S
    clock.now += 2 * OPEN_S
    ask(breaker, True)
    hang(breaker, clock, 1.0, 9)
    assert not breaker.parked()


def test_a_cancelled_request_is_no_silence(breaker: Breaker, clock: Clock) -> None:
    """The caller may have lost interest in a healthy host."""
    for _ in range(100):
        permit = let(breaker)
        clock.now += 5.0
        breaker.settle(permit, Outcome())
    assert not breaker.parked()


def test_a_clock_that_goes_back_neither_parks_nor_adds_silence(breaker: Breaker, clock: Clock) -> None:
    """Time that was counted already is not counted again."""
    hang(breaker, clock, 9.0)
    permit = let(breaker)
    clock.now -= 500.0
    breaker.settle(permit, Outcome(silent_s=0.5))
    assert not breaker.parked()
    ask(breaker, True)
    ask(breaker, False, LEAST_FAILURES - 2)
    assert not breaker.parked()


OTHER = "openrouter/n"


def test_a_host_that_cannot_be_reached_parks_all_its_endpoints(breaker: Breaker, clock: Clock) -> None:
    """One trial then counts for all; its success frees only the endpoint that was asked."""
    refused = Outcome(False, why="connect_refused")
    for _ in range(LEAST_FAILURES):
        breaker.settle(let(breaker), refused, also=[OTHER])
    assert {one.endpoint: one.seconds for one in breaker.parked().values()} == {E: OPEN_S, OTHER: OPEN_S}
    clock.now += OPEN_S
    breaker.settle(let(breaker), refused, also=[OTHER])
    assert set(breaker.parked()) == {E, OTHER}
    clock.now += OPEN_S
    ask(breaker, True)
    given = breaker.admit(OTHER)
    assert isinstance(given, Permit)
    assert given.trial


def test_a_host_that_is_silent_while_connecting_parks_all_its_endpoints(breaker: Breaker, clock: Clock) -> None:
    """The silence of one is the silence of all, and is counted once."""
    for _ in range(2):
        permit = let(breaker)
        clock.now += SILENT_S / 2
        breaker.settle(permit, Outcome(None, silent_s=SILENT_S / 2), also=[OTHER])
    assert set(breaker.parked()) == {E, OTHER}


def test_a_trial_under_way_is_not_replaced_by_a_failure_of_its_host(breaker: Breaker, clock: Clock) -> None:
    """Its outcome decides."""
    for _ in range(LEAST_FAILURES):
        breaker.settle(let(breaker), Outcome(False), also=[OTHER])
    clock.now += OPEN_S
    trial = breaker.admit(OTHER)
    assert isinstance(trial, Permit)
    breaker.settle(let(breaker), Outcome(False), also=[OTHER])
    assert breaker.parked()[OTHER].seconds == 0
    breaker.settle(trial, Outcome(True))
    assert OTHER not in breaker.parked()


def test_a_forked_child_may_ask_what_its_parent_is_asking(breaker: Breaker, clock: Clock) -> None:
    """The parent's request never ends in the child. Another thread of the parent may have held the lock."""
    opened(breaker)
    clock.now += OPEN_S
    inherited = let(breaker)
    breaker._lock.acquire()
    breaker.after_fork()
    trial = let(breaker)
    assert trial.trial
    breaker.settle(inherited, Outcome(True))
    assert isinstance(breaker.admit(E), Parked)
    breaker.settle(trial, Outcome(True))
    assert not breaker.parked()


TOLD: list[tuple[ExchangeError | None, Outcome]] = [
    (None, Outcome(True)),
    (BadAnswer("tool_use_failed", status=400), Outcome(True)),
    (ProviderFailure("server_error"), Outcome(False, None, 60.0, 3.0, "server_error")),
    (ProviderFailure("rate_limited", retry_after_s=3.0), Outcome(False, 3.0, 60.0, 3.0, "rate_limited")),
    (
        ProviderFailure("timeout", phase="headers", elapsed_ms=PATIENCE_S * 1000),
        Outcome(False, None, 60.0, 3.0, "timeout"),
    ),
    (ProviderFailure("timeout", phase="headers", elapsed_ms=1000), Outcome(None, None, 60.0, 3.0, "timeout")),
    (ProviderFailure("timeout", phase="connect", elapsed_ms=1000), Outcome(None, None, 60.0, 3.0, "timeout")),
    (ProviderFailure("connect_refused", phase="connect"), Outcome(False, None, 60.0, 3.0, "connect_refused")),
    (ProviderFailure("timeout", phase="headers", status=504), Outcome(False, None, 60.0, 3.0, "timeout")),
    (RequestRejected("bad_request", retry_after_s=3.0), Outcome()),
    (AccountError("unauthorized"), Outcome(why="unauthorized")),
    (AccountError("no_credit", retry_after_s=3.0), Outcome(None, 3.0, why="no_credit")),
    (EndpointUnavailable("model_retired"), Outcome()),
]


@pytest.mark.parametrize(("error", "told"), TOLD, ids=range(len(TOLD)))
def test_only_failures_that_the_provider_caused_count(error: ExchangeError | None, told: Outcome) -> None:
    """Not counted: errors of the caller or the account, wrong answers. Of a short timeout only the time counts."""
    assert Outcome.of(error, silent_s=60.0, usual_s=3.0) == told


class Machine(RuleBasedStateMachine):
    """Requests, outcomes and time in any order, beside a count of what speaks against the endpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(self.clock)
        self.open: list[tuple[Permit, float]] = []
        self.asking = 0
        """The number of open requests that were sent to the endpoint while it was parked."""
        self.failures, self.waited_s, self.pauses_until = 0, 0.0, 0.0

    @property
    def held(self) -> Parked | None:
        return self.breaker.parked().get(E)

    @rule(force=st.booleans())
    def begin(self, force: bool) -> None:
        before = self.held
        due = self.breaker._states.get(E)
        parked = due is not None and due.until is not None
        given = self.breaker.admit(E, force=force)
        if isinstance(given, Parked):
            assert before == given
            assert not force or self.asking == 1
            return
        assert before is None or force
        assert given.trial == parked
        self.asking += given.trial
        self.open.append((given, self.clock.now))

    @rule(
        at=st.integers(0, 30),
        right=st.sampled_from([True, False, None]),
        pause=st.sampled_from([None, None, None, 0.0, 5.0, 7200.0]),
        silent=st.booleans(),
    )
    def end(self, at: int, right: bool | None, pause: float | None, silent: bool) -> None:
        if not self.open:
            return
        permit, began = self.open.pop(at % len(self.open))
        silent_s = self.clock.now - began if silent and not right else 0.0
        before = self.held
        self.breaker.settle(permit, Outcome(right, pause, silent_s))
        self.asking -= permit.trial
        self.failures += right is False
        self.waited_s += silent_s
        if pause:
            self.pauses_until = max(self.pauses_until, self.clock.now + min(pause, MAX_RETRY_AFTER_S))
        if self.held and not before and not permit.trial:
            assert pause or self.failures >= LEAST_FAILURES or self.waited_s >= SILENT_S
        self.waited_s *= not right
        if right and permit.trial:
            self.failures = 0
        assert self.held is None or not (right and permit.trial and not pause)

    @rule(seconds=st.sampled_from([0.5, 1.0, 29.0, 30.0, 61.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def it_is_asked_by_one_request_at_a_time(self) -> None:
        assert 0 <= self.asking <= 1
        held = self.held
        if held is not None:
            assert 0 <= held.seconds <= MAX_RETRY_AFTER_S
            assert held.seconds == 0 or self.asking == 0

    @invariant()
    def a_pause_that_the_host_asked_for_is_kept(self) -> None:
        """A success of a forced request ends it earlier."""
        held = self.held
        if held is not None and held.requested and not self.asking:
            assert held.seconds <= self.pauses_until - self.clock.now + 1e-6

    @invariant()
    def it_is_never_lost(self) -> None:
        """Without requests under way the endpoint is asked again in the end."""
        if self.asking == 0:
            held = self.held
            later = Breaker(lambda: self.clock.now + (held.seconds if held else 0.0))
            later._states = deepcopy(self.breaker._states)
            assert isinstance(later.admit(E), Permit)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=examples(50), stateful_step_count=40)
