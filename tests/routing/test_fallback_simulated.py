"""The attempt loop in virtual time: hosts that fail in any way at any time, and requests that come and are cancelled."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Unpack

import pytest
from asking import CATALOG, KEY
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import VirtualTimeLoop, run

from routing import AllAttemptsFailed, fallback, time_budget
from routing.circuit_breaker import SILENT_S, Breaker
from routing.errors import ExchangeError, ProviderFailure, RequestRejected
from routing.exchange import Exchange, Target
from routing.fallback import FallbackLoop, SharedResources
from routing.request_options import Options
from routing.selection import Candidate, Route, _without_parked
from routing.types import Answer, ChatRequest, RequestOptions, Usage

HOSTS = [
    "moonshot/kimi-k2.6",
    "openrouter/moonshotai/kimi-k2.6+novita/fp8",
    "openrouter/moonshotai/kimi-k2.6+wandb/fp8",
    "moonshot-cn/kimi-k2.6",
]
REQUEST = ChatRequest([{"role": "user", "content": "hi"}])
ROUGHLY_S = 1e-6


@dataclass(frozen=True)
class Spell:
    """How a host behaves from a time on. `kind` hang: no answer; refused: no connection; busy: 429 with a pause."""

    since_s: float
    kind: str
    takes_s: float = 0.1
    pause_s: float | None = None


WELL = Spell(0.0, "well")


@dataclass
class World:
    """Hosts, the router's shared state, and a log of what was sent."""

    scripts: dict[str, list[Spell]]
    loop: VirtualTimeLoop = field(default_factory=VirtualTimeLoop)

    def __post_init__(self) -> None:
        self.breaker = Breaker(lambda: self.loop.now)
        transport: Any = SimpleNamespace(pause=asyncio.sleep)
        self.shared = SharedResources(transport, CATALOG, self.breaker)
        self.in_flight: dict[str, int] = defaultdict(int)
        self.asking: dict[str, int] = defaultdict(int)
        """Open requests by endpoint that were sent while it was parked."""
        self.sent: list[tuple[float, str]] = []

    def spell(self, endpoint: str) -> Spell:
        now = self.loop.now - VirtualTimeLoop.now
        return [WELL, *(one for one in self.scripts.get(endpoint, []) if one.since_s <= now)][-1]

    async def exchange(self, _: Any, target: Target, __: Any, *, timeout_s: float, **more: Any) -> Exchange:
        """What `routing.exchange.exchange` would give."""
        endpoint, began, spell = target.endpoint.id, self.loop.now, self.spell(target.endpoint.id)
        parked = self.breaker._states[endpoint].until is not None
        assert not (parked and self.asking[endpoint])
        self.sent.append((began, endpoint))
        self.in_flight[endpoint] += 1
        self.asking[endpoint] += parked
        try:
            takes_s = timeout_s if spell.kind == "hang" else spell.takes_s
            await asyncio.sleep(min(takes_s, timeout_s))
        finally:
            self.in_flight[endpoint] -= 1
            self.asking[endpoint] -= parked
        elapsed_s = self.loop.now - began
        error = failure(spell, elapsed_s, late=takes_s >= timeout_s)
        if error is not None:
            error.endpoint, error.elapsed_ms, error.attempt = endpoint, elapsed_s * 1000, more["number"]
        answer = None if error else Answer("hello", finish_reason="stop", usage=Usage(5, 5))
        return Exchange(
            endpoint,
            {},
            answer=answer,
            error=error,
            total_ms=elapsed_s * 1000,
            cost_usd=Decimal(0),
            cost_origin="catalog",
            silent_ms=elapsed_s * 1000,
        )

    async def ask(self, **options: Unpack[RequestOptions]) -> tuple[float, list[str]]:
        """Seconds that a request took, and the endpoints that it was sent to. Raises what the router would raise."""
        candidates = [Candidate(one, "", "works", None) for one in self.scripts]
        free, parked = _without_parked(candidates, self.breaker.parked())
        route = Route("kimi-k2.6", tuple(free), tuple(parked))
        began = self.loop.now
        reply = await FallbackLoop(self.shared, REQUEST, route, Options.of(options)).run()
        return self.loop.now - began, [one.endpoint for one in reply.attempts if one.sent]

    def play(self, work: Any) -> Any:
        return run(self.loop, work)


def failure(spell: Spell, elapsed_s: float, *, late: bool) -> ExchangeError | None:
    if late:
        return ProviderFailure("timeout", phase="headers", retryable=True)
    kinds: dict[str, ExchangeError | None] = {
        "well": None,
        "down": ProviderFailure("server_error", phase="headers", status=500, retryable=True),
        "busy": ProviderFailure("rate_limited", status=429, retryable=True, retry_after_s=spell.pause_s),
        "refused": ProviderFailure("connect_refused", phase="connect", retryable=True),
        "wrong": RequestRejected("bad_request", status=400),
    }
    assert elapsed_s >= 0
    return kinds[spell.kind]


@pytest.fixture(autouse=True)
def in_virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """All clocks of the attempt loop are the event loop's."""

    async def here(work: Any, *arguments: Any) -> Any:
        return work(*arguments)

    def monotonic() -> float:
        return asyncio.get_running_loop().time()

    monkeypatch.setattr(asyncio, "to_thread", here)
    monkeypatch.setattr(time_budget, "time", SimpleNamespace(monotonic=monotonic))
    for provider in CATALOG.providers.values():
        monkeypatch.setenv(provider.key_env, KEY)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(**scripts: list[Spell]) -> World:
        made = World({HOSTS[int(name[1:])]: script for name, script in scripts.items()})
        monkeypatch.setattr(fallback, "exchange", made.exchange)
        return made

    return make


# ------------------------------------------------------------------------------------------------- one fault, full scale


@pytest.mark.parametrize("timeout", [2.0, 8.0, 120.0, 600.0])
def test_of_24_calls_to_a_hanging_host_few_wait(world: Any, timeout: float) -> None:
    """Whatever the timeout is, all of them together wait a few times `SILENT_S`, or half of one timeout."""
    it = world(h0=[Spell(0, "hang")], h3=[])

    async def calls() -> list[tuple[float, list[str]]]:
        return [await it.ask(timeout=timeout) for _ in range(24)]

    took = it.play(calls())
    assert all(sent[-1] == HOSTS[3] for _, sent in took)
    waited = sum(one for one, _ in took) - 24 * WELL.takes_s
    assert waited <= max(SILENT_S + timeout / 2, timeout / 2) * 2
    assert took[-1][1] == [HOSTS[3]]


def test_a_dead_gateway_costs_its_time_once(world: Any) -> None:
    """A request that cannot connect asks another host next, not the gateway's other endpoints."""
    dead = [Spell(0, "refused", takes_s=20.0)]
    it = world(h1=dead, h2=dead, h3=[])

    async def calls() -> list[tuple[float, list[str]]]:
        return [await it.ask(timeout=60.0) for _ in range(3)]

    first, *others = it.play(calls())
    assert first[1] == [HOSTS[1], HOSTS[3]]
    assert [sent for _, sent in others] == [[HOSTS[3]]] * 2


@pytest.mark.parametrize("count", [1, 3])
def test_50_requests_to_hosts_in_a_pause_send_nothing_within_it(world: Any, count: int) -> None:
    """They wait for it, and all are answered."""
    busy = [Spell(0, "busy", pause_s=5.0), Spell(3.0, "well")]
    it = world(**{f"h{number}": busy for number in range(count)})

    async def crowd() -> list[Any]:
        with pytest.raises(AllAttemptsFailed):
            await it.ask(timeout=2.0)
        before = len(it.sent)
        got = await asyncio.gather(*(it.ask() for _ in range(50)))
        assert all(at >= 1005.0 for at, _ in it.sent[before:])
        return got

    got = it.play(crowd())
    assert max(took for took, _ in got) < 6.0
    assert len(it.sent) == count + 50


# ----------------------------------------------------------------------------------------------------- any fault at all


spells = st.builds(
    Spell,
    since_s=st.sampled_from([0.0, 1.0, 20.0, 60.0, 200.0]),
    kind=st.sampled_from(["well", "well", "down", "busy", "hang", "refused", "wrong"]),
    takes_s=st.sampled_from([0.0, 0.1, 3.0, 30.0]),
    pause_s=st.sampled_from([None, 0.0, 1.0, 5.0, 40.0, 7200.0]),
)
scripts = st.lists(st.lists(spells, max_size=4).map(lambda all_: sorted(all_, key=lambda one: one.since_s)), max_size=3)
calls = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.05, 2.0, 15.0, 90.0]),  # seconds after the call before
        st.sampled_from([0.5, 4.0, 30.0, 120.0]),  # its timeout
        st.sampled_from([None, None, None, 0.0, 1.0, 10.0]),  # seconds after which it is cancelled
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=examples(60), deadline=None)
@given(scripts, calls, st.booleans(), st.randoms(use_true_random=False))
def test_whatever_fails_when_the_rules_hold(
    scripts: list[list[Spell]], calls: list[tuple[float, float, float | None]], healthy: bool, chance: random.Random
) -> None:
    """No call exceeds its timeout, none asks an endpoint three times, no permission to ask a parked host is lost.

    If one host is healthy and quick all the time, each call that is not cancelled is answered.
    """
    it = World(dict(zip(HOSTS, scripts, strict=False)) | ({HOSTS[3]: []} if healthy or not scripts else {}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fallback, "exchange", it.exchange)
        patch.setattr(random, "uniform", chance.uniform)
        it.play(played(it, calls, answered=healthy or not scripts))
    assert not any(it.in_flight.values())
    assert not any(state.trial for state in it.breaker._states.values())


async def played(it: World, calls: list[tuple[float, float, float | None]], *, answered: bool) -> None:
    async def one(limit_s: float, cancel: float | None) -> None:
        began, sent = it.loop.now, list[str]()
        task = asyncio.ensure_future(it.ask(timeout=limit_s))
        if cancel is not None:
            it.loop.call_later(cancel, task.cancel)
        try:
            _, sent = await task
        except asyncio.CancelledError:
            assert cancel is not None
        except AllAttemptsFailed as failed:
            assert not answered or limit_s < 4.0
            sent = [attempt.endpoint for attempt in failed.attempts if attempt.sent]
            assert {attempt.endpoint for attempt in failed.attempts} == set(it.scripts)
        assert all(sent.count(endpoint) <= 2 for endpoint in sent)
        assert it.loop.now - began <= limit_s + ROUGHLY_S

    tasks = []
    for after, limit_s, cancel in calls:
        await asyncio.sleep(after)
        tasks.append(asyncio.ensure_future(one(limit_s, cancel)))
    await asyncio.gather(*tasks)
