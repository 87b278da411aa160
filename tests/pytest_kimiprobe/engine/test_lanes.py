"""Which probe goes out next: alone, mixed, in a crowd; within limits."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kimiprobe.cases.plan import Load
from pytest_kimiprobe.engine.lanes import CROWD, Flight, Lane


@dataclass(frozen=True, slots=True)
class Order:
    endpoint: str
    load: Load
    number: int = 0
    scope: str = "provider"


def orders(endpoint: str, load: Load, count: int) -> list[Order]:
    return [Order(endpoint, load, number) for number in range(count)]


def play(lane: Lane[Order], seed: int = 0) -> list[Flight[Order]]:
    """Send all, ending flights in random order; returns them as they were sent."""
    generator, sent, open_ones = random.Random(seed), [], []
    while not lane.done:
        flight, wait_s = lane.take(0.0)
        if flight is not None:
            sent.append(flight)
            open_ones.append(flight)
            assert wait_s is None
            assert len(open_ones) <= lane.limit
            continue
        assert open_ones, "nothing is under way and nothing may start"
        ended = open_ones.pop(generator.randrange(len(open_ones)))
        lane.end(ended)
    return sent


def test_a_probe_alone_meets_nobody() -> None:
    """One at a time at its endpoint; other endpoints go on meanwhile."""
    lane: Lane[Order] = Lane(8, 0)
    lane.add([*orders("a", "alone", 5), *orders("b", "alone", 5)])
    sent = play(lane)
    assert {flight.at_once for flight in sent} == {1}
    assert [flight.order.endpoint for flight in sent[:2]] == ["a", "b"]


def test_each_probe_of_a_crowd_is_among_eight() -> None:
    """Also the first ones and the last ones, endpoint after endpoint."""
    lane: Lane[Order] = Lane(8, 0)
    lane.add([*orders("a", "crowd", 20), *orders("b", "crowd", 9)])
    assert {flight.at_once for flight in play(lane)} == {CROWD}


def test_alone_comes_before_the_crowd() -> None:
    """So that a crowd never spoils what should be alone."""
    lane: Lane[Order] = Lane(8, 0)
    lane.add([*orders("a", "crowd", 10), *orders("a", "alone", 3), *orders("b", "alone", 1)])
    sent = play(lane)
    assert [flight.order.load for flight in sent] == ["alone"] * 4 + ["crowd"] * 10
    assert all(flight.at_once == (1 if flight.order.load == "alone" else CROWD) for flight in sent)


def test_a_crowd_that_is_too_few_says_so() -> None:
    """Three probes are three at once, and are recorded as that."""
    lane: Lane[Order] = Lane(8, 0)
    lane.add(orders("a", "crowd", 3))
    assert [flight.at_once for flight in play(lane)] == [3, 3, 3]


def test_an_account_that_allows_one_at_once_gets_no_crowd() -> None:
    """The throttle bounds it; the probes still run."""
    lane: Lane[Order] = Lane(8, 0)
    lane.add(orders("a", "crowd", 10))
    lane.throttle_of(Order("a", "crowd")).limit = 1
    assert {flight.at_once for flight in play(lane)} == {1}


def test_what_is_refused_goes_to_the_front_again() -> None:
    """The same probe is sent next."""
    lane: Lane[Order] = Lane(1, 0)
    lane.add(orders("a", "mixed", 3))
    first, _ = lane.take(0.0)
    assert first is not None
    lane.end(first, again=True)
    second, _ = lane.take(0.0)
    assert second is not None
    assert second.order is first.order


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["alone", "mixed", "crowd"])), max_size=60),
    st.integers(1, 12),
    st.integers(0, 99),
)
def test_every_order_is_sent_once_and_none_waits_for_ever(kinds: list[tuple[str, Load]], limit: int, seed: int) -> None:
    """Whatever the mixture and the limit; whoever is alone meets nobody."""
    wanted = [Order(endpoint, load, number) for number, (endpoint, load) in enumerate(kinds)]
    lane: Lane[Order] = Lane(limit, 0)
    lane.add(wanted)
    sent = play(lane, seed)
    assert sorted(flight.order.number for flight in sent) == list(range(len(wanted)))
    assert all(flight.at_once == 1 for flight in sent if flight.order.load == "alone")
