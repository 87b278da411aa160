"""Which endpoints are parked, since when, until when; with a clock that the tests turn."""

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
    MOST_ASKED_S,
    MOST_OPEN_S,
    NEWEST,
    OPEN_S,
    PROBES,
    WINDOW_S,
    Breaker,
    Pass,
)
from routing.errors import AccountError, BadAnswer, EndpointUnavailable, ExchangeError, ProviderFailure, RequestRejected
from routing.types import Parked

E = "openrouter/m"


class Clock:
    """Seconds that go on when told to."""

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


def let(breaker: Breaker, **how: Any) -> Pass:
    """A pass, which must be given."""
    given = breaker.admit(E, **how)
    assert isinstance(given, Pass)
    return given


def ask(breaker: Breaker, right: bool | None, times: int = 1, **told: Any) -> None:
    """So many requests, one after another, of this outcome."""
    for _ in range(times):
        breaker.settle(let(breaker), right, **told)


def opened(breaker: Breaker) -> None:
    ask(breaker, False, LEAST_FAILURES, why="server_error")
    assert E in breaker.parked()


def test_a_host_that_asks_for_a_pause_is_parked_until_then(breaker: Breaker, clock: Clock) -> None:
    """Told with its reason and the seconds left; then it is asked again."""
    ask(breaker, False, why="rate_limited", pause_s=60.0)
    clock.now += 20
    held = breaker.admit(E)
    assert isinstance(held, Parked)
    assert (held.endpoint, held.seconds) == (E, 40.0)
    assert str(held) == "parked for 40 s more: it asked for a pause of 60 s (rate_limited)"
    assert breaker.parked() == {E: held}
    clock.now += 40
    assert not breaker.parked()
    assert let(breaker).probe


def test_no_pause_is_longer_than_an_hour(breaker: Breaker) -> None:
    """A host that asks for a day is asked again today."""
    ask(breaker, False, pause_s=86_400.0)
    assert breaker.parked()[E].seconds == MOST_ASKED_S


@pytest.mark.parametrize("pause", [0.0, -1.0, float("nan")])
def test_a_pause_that_is_none_parks_nothing(breaker: Breaker, pause: float) -> None:
    """The failure counts as any other."""
    ask(breaker, False, LEAST_FAILURES - 1, pause_s=pause)
    assert not breaker.parked()
    ask(breaker, False, pause_s=pause)
    assert E in breaker.parked()


def test_the_longest_pause_wins(breaker: Breaker, clock: Clock) -> None:
    """What an older request brings later neither shortens it nor is lost."""
    first, second, third = let(breaker), let(breaker), let(breaker)
    breaker.settle(first, False, pause_s=100.0)
    breaker.settle(second, False, pause_s=10.0)
    assert breaker.parked()[E].seconds == 100
    breaker.settle(third, False, pause_s=200.0)
    assert breaker.parked()[E].seconds == 200


def test_failures_park_it_once_there_are_enough(breaker: Breaker) -> None:
    """Five of at most nine; fewer say nothing."""
    ask(breaker, True, LEAST_FAILURES)
    ask(breaker, False, LEAST_FAILURES - 1)
    assert not breaker.parked()
    ask(breaker, False, why="server_error")
    assert breaker.parked()[E].why == "5 of its last 10 requests failed (server_error)"


def test_failures_that_are_few_among_many_do_not(breaker: Breaker) -> None:
    """Less than half of the newest: a host at 60 % is for the flags to judge."""
    for _ in range(20):
        ask(breaker, True, 3)
        ask(breaker, False, 2)
    assert not breaker.parked()


def test_what_is_old_or_far_back_does_not_count(breaker: Breaker, clock: Clock) -> None:
    """Neither failures of a minute ago nor right answers before the newest twenty."""
    ask(breaker, False, LEAST_FAILURES - 1)
    clock.now += WINDOW_S + 1
    ask(breaker, False)
    assert not breaker.parked()
    ask(breaker, True, 100)
    ask(breaker, False, NEWEST // 2)
    assert E in breaker.parked()


def test_when_the_time_is_over_one_request_asks_it(breaker: Breaker, clock: Clock) -> None:
    """The others are passed on meanwhile; its success ends the parking for all."""
    opened(breaker)
    clock.now += OPEN_S
    with ThreadPoolExecutor(16) as crowd:
        given = list(crowd.map(lambda _: breaker.admit(E), range(64)))
    (probe,) = (one for one in given if isinstance(one, Pass))
    assert str(breaker.parked()[E]).startswith("parked while another request asks it again")
    breaker.settle(probe, True)
    assert not breaker.parked()
    assert not let(breaker).probe


def test_a_probe_that_fails_parks_it_for_longer(breaker: Breaker, clock: Clock) -> None:
    """30 s, 60 s, 90 s, five minutes at most; after a success 30 s again."""
    opened(breaker)
    for turn in range(2, 14):
        clock.now += breaker.parked()[E].seconds
        ask(breaker, False, why="timeout")
        assert breaker.parked()[E].seconds == min(OPEN_S * turn, MOST_OPEN_S)
    clock.now += MOST_OPEN_S
    ask(breaker, True)
    opened(breaker)
    assert breaker.parked()[E].seconds == OPEN_S


def test_a_probe_that_tells_nothing_lets_the_next_one_through(breaker: Breaker, clock: Clock) -> None:
    """It was cancelled, or failed by the caller's own doing."""
    opened(breaker)
    clock.now += OPEN_S
    probe = let(breaker)
    assert isinstance(breaker.admit(E), Parked)
    breaker.settle(probe, None)
    assert let(breaker).probe


def test_outcomes_from_before_the_parking_neither_end_nor_prolong_it(breaker: Breaker, clock: Clock) -> None:
    """A crowd that was under way when it broke comes back late."""
    late = [let(breaker) for _ in range(10)]
    opened(breaker)
    for given, right in zip(late, [True, False] * 5, strict=True):
        breaker.settle(given, right)
        assert breaker.parked()[E].seconds == OPEN_S
    clock.now += OPEN_S
    assert let(breaker).probe


def test_a_probe_that_comes_back_after_all_is_over_frees_nobody(breaker: Breaker, clock: Clock) -> None:
    """Somebody else ended the parking meanwhile, and the next one has a probe of its own."""
    opened(breaker)
    clock.now += OPEN_S
    late = let(breaker)
    breaker.settle(let(breaker, anyway=True), True)
    opened(breaker)
    clock.now += OPEN_S
    assert let(breaker).probe
    breaker.settle(late, None)
    assert isinstance(breaker.admit(E), Parked)


def test_whoever_has_nothing_else_may_ask_anyway(breaker: Breaker) -> None:
    """A failure then changes nothing, a success ends the parking."""
    opened(breaker)
    breaker.settle(let(breaker, anyway=True), False)
    assert breaker.parked()[E].seconds == OPEN_S
    breaker.settle(let(breaker, anyway=True), True)
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
def test_only_the_providers_doing_counts(error: Any, given_s: float, told: tuple[bool | None, float | None]) -> None:
    """Not the caller's, not the account's, not a wrong answer, not a deadline too short for any host."""
    assert module.told_by(error, given_s) == told


class Machine(RuleBasedStateMachine):
    """Any order of requests, outcomes and time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(self.clock)
        self.open: list[Pass] = []

    @rule(anyway=st.booleans())
    def begin(self, anyway: bool) -> None:
        before = self.breaker.parked()
        given = self.breaker.admit(E, anyway=anyway)
        assert isinstance(given, Parked) == (E in before and not anyway)
        if isinstance(given, Pass):
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
        """Whatever happened, it is asked again in the end."""
        state = self.breaker._states.get(E)
        assert state is None or 0 <= state.probes <= PROBES
        assert all(0 <= one.seconds <= MOST_ASKED_S for one in self.breaker.parked().values())
        if state is not None and not self.open:
            assert state.probes == 0


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=examples(50), stateful_step_count=40)
