"""Which probe is sent next: alone, mixed, in a crowd; within limits."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kimiprobe.cases.plan import Load
from pytest_kimiprobe.engine.queue import CROWD, InFlight, ProviderQueue


@dataclass(frozen=True, slots=True)
class QueuedProbe:
    endpoint: str
    load: Load
    number: int = 0
    scope: str = "provider"


def probes(endpoint: str, load: Load, count: int) -> list[QueuedProbe]:
    return [QueuedProbe(endpoint, load, number) for number in range(count)]


def play(queue: ProviderQueue[QueuedProbe], seed: int = 0) -> list[InFlight[QueuedProbe]]:
    """Send all, ending them in random order; returns them as they were sent."""
    generator, sent, open_ones = random.Random(seed), [], []
    while not queue.done:
        in_flight, wait_s = queue.take(0.0)
        if in_flight is not None:
            sent.append(in_flight)
            open_ones.append(in_flight)
            assert wait_s is None
            assert len(open_ones) <= queue.limit
            continue
        assert open_ones, "nothing is under way and nothing may start"
        ended = open_ones.pop(generator.randrange(len(open_ones)))
        queue.end(ended)
    return sent


def test_a_probe_alone_meets_nobody() -> None:
    """One at a time at its endpoint; other endpoints go on meanwhile."""
    queue: ProviderQueue[QueuedProbe] = ProviderQueue(8, 0)
    queue.add([*probes("a", "alone", 5), *probes("b", "alone", 5)])
    sent = play(queue)
    assert {in_flight.at_once for in_flight in sent} == {1}
    assert [in_flight.probe.endpoint for in_flight in sent[:2]] == ["a", "b"]


def test_each_probe_of_a_crowd_is_among_eight() -> None:
    """Also the first ones and the last ones, endpoint after endpoint."""
    queue: ProviderQueue[QueuedProbe] = ProviderQueue(8, 0)
    queue.add([*probes("a", "crowd", 20), *probes("b", "crowd", 9)])
    assert {in_flight.at_once for in_flight in play(queue)} == {CROWD}


def test_alone_comes_before_the_crowd() -> None:
    """So that a crowd never spoils what should be alone."""
    queue: ProviderQueue[QueuedProbe] = ProviderQueue(8, 0)
    queue.add([*probes("a", "crowd", 10), *probes("a", "alone", 3), *probes("b", "alone", 1)])
    sent = play(queue)
    assert [in_flight.probe.load for in_flight in sent] == ["alone"] * 4 + ["crowd"] * 10
    assert all(in_flight.at_once == (1 if in_flight.probe.load == "alone" else CROWD) for in_flight in sent)


def test_a_crowd_that_is_too_few_says_so() -> None:
    """Three probes are three concurrent requests, and are recorded as that."""
    queue: ProviderQueue[QueuedProbe] = ProviderQueue(8, 0)
    queue.add(probes("a", "crowd", 3))
    assert [in_flight.at_once for in_flight in play(queue)] == [3, 3, 3]


def test_an_account_that_allows_one_at_once_gets_no_crowd() -> None:
    """The throttle bounds it; the probes still run."""
    queue: ProviderQueue[QueuedProbe] = ProviderQueue(8, 0)
    queue.add(probes("a", "crowd", 10))
    queue.throttle_of(QueuedProbe("a", "crowd")).limit = 1
    assert {in_flight.at_once for in_flight in play(queue)} == {1}


def test_what_is_refused_goes_to_the_front_again() -> None:
    """The same probe is sent next."""
    queue: ProviderQueue[QueuedProbe] = ProviderQueue(1, 0)
    queue.add(probes("a", "mixed", 3))
    first, _ = queue.take(0.0)
    assert first is not None
    queue.end(first, again=True)
    second, _ = queue.take(0.0)
    assert second is not None
    assert second.probe is first.probe


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["alone", "mixed", "crowd"])), max_size=60),
    st.integers(1, 12),
    st.integers(0, 99),
)
def test_every_probe_is_sent_once_and_none_waits_for_ever(kinds: list[tuple[str, Load]], limit: int, seed: int) -> None:
    """For any mixture and limit; a probe of load `alone` is alone at its endpoint."""
    wanted = [QueuedProbe(endpoint, load, number) for number, (endpoint, load) in enumerate(kinds)]
    queue: ProviderQueue[QueuedProbe] = ProviderQueue(limit, 0)
    queue.add(wanted)
    sent = play(queue, seed)
    assert sorted(in_flight.probe.number for in_flight in sent) == list(range(len(wanted)))
    assert all(in_flight.at_once == 1 for in_flight in sent if in_flight.probe.load == "alone")
