"""The dispatcher against a server on this machine: refusals, deadlines, crowds, money, cancelling."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kimiprobe.cases import model as cases
from pytest_kimiprobe.cases.plan import Load, ProbePlan, cost_bound
from pytest_kimiprobe.engine.budget import RunBudget
from pytest_kimiprobe.engine.clock import Timestamp
from pytest_kimiprobe.engine.dispatch import Dispatcher, ProbeJob, ProbeOutcome
from routing import catalog as catalogs
from routing.exchange import Target

CASE = next(case for case in cases.load(cases.FOLDER / "core.yaml") if case.name == "weather")
ANSWER = {
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Sunny."}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5},
}


class Account:
    """A provider's account with limits for concurrent requests and for requests in a window; a 429 says how long to wait.

    Answers come after `delay_s` seconds, or when `together` requests wait for them.
    """

    def __init__(
        self,
        *,
        at_once: int = 99,
        a_window: int = 10**9,
        window_s: float = 0.3,
        delay_s: float = 0.0,
        together: asyncio.Barrier | None = None,
    ) -> None:
        self.together = together
        self.at_once, self.a_window, self.window_s, self.delay_s = at_once, a_window, window_s, delay_s
        self.busy = self.peak = 0
        self.accepted: list[float] = []
        self.sent = Counter[int]()

    async def answer(self) -> tuple[int, dict[str, str], object]:
        now = asyncio.get_running_loop().time()
        recent = [moment for moment in self.accepted if now - moment < self.window_s]
        if self.busy >= self.at_once or len(recent) >= self.a_window:
            self.sent[429] += 1
            left_s = recent[0] + self.window_s - now if len(recent) >= self.a_window else 0.02
            return 429, {"retry-after-ms": str(max(left_s * 1000, 1))}, {"error": {"message": "Rate limit"}}
        self.accepted.append(now)
        self.busy += 1
        self.peak = max(self.peak, self.busy)
        try:
            await (self.together.wait() if self.together else asyncio.sleep(self.delay_s))
        finally:
            self.busy -= 1
        self.sent[200] += 1
        return 200, {}, ANSWER


@contextmanager
def serving(answer: Callable[[], object]) -> Iterator[str]:
    """Base URL of a server that answers every request with what `answer` gives."""
    ready, ports, loops = threading.Event(), list[int](), list[asyncio.AbstractEventLoop]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                status, headers, body = await answer()  # type: ignore[misc]
                raw = json.dumps(body).encode()
                extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(raw)}\r\n{extra}\r\n".encode() + raw)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.transport.abort()

    async def main() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        loops.append(asyncio.get_running_loop())
        stop.append(asyncio.Event())
        ready.set()
        await stop[0].wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stop: list[asyncio.Event] = []
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    ready.wait(10)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loops[0].call_soon_threadsafe(stop[0].set)
        thread.join(10)


def jobs_for(url: str, count: int, load: Load = "mixed", endpoint: str = "moonshot/kimi-k2.6") -> list[ProbeJob[int]]:
    provider = endpoint.partition("/")[0].upper()
    catalog = catalogs.load(environment={f"KIMIPROBE_BASE_URL_{provider}": url})
    row = catalog.endpoint(endpoint)
    target = Target(row, catalog.provider_of(row), "sk-test-key-of-no-account")
    return [ProbeJob(number, ProbePlan(CASE, row, "plain", number, load), target) for number in range(count)]


def sent(
    jobs: list[ProbeJob[int]], *, budget: str = "10", concurrency: int = 8, timeout_s: float = 20, patience_s: float = 5
) -> tuple[list[ProbeOutcome[int]], Dispatcher[int]]:
    """All outcomes, and the dispatcher, closed."""
    dispatcher: Dispatcher[int] = Dispatcher(
        catalogs.load(environment={}),
        concurrency=concurrency,
        timeout_s=timeout_s,
        budget=Decimal(budget),
        patience_s=patience_s,
    )
    try:
        dispatcher.submit(jobs)
        found: list[ProbeOutcome[int]] = []
        while len(found) < len(jobs):
            outcome = dispatcher.outcome(30)
            assert outcome is not None, "nothing came back"
            found.append(outcome)
        return found, dispatcher
    finally:
        dispatcher.close()


def reasons(outcomes: list[ProbeOutcome[int]]) -> Counter[str]:
    done = [outcome.exchange for outcome in outcomes]
    return Counter(one.error.reason if one and one.error else "ok" for one in done)


def test_three_a_window_and_one_at_once_still_finishes() -> None:
    """Moonshot's Tier 0 in small: every probe is answered, refusals are counted, none becomes a verdict."""
    account = Account(at_once=1, a_window=3, window_s=0.3)
    with serving(account.answer) as url:
        outcomes, dispatcher = sent(jobs_for(url, 12))
    assert reasons(outcomes) == {"ok": 12}
    assert account.peak == 1
    refused = account.sent[429]
    assert refused > 0
    assert sum(outcome.refusals for outcome in outcomes) == refused == dispatcher.throttles["moonshot"].refused
    assert dispatcher.throttles["moonshot"].limit == 1


def test_it_learns_the_rate_instead_of_hammering() -> None:
    """When requests are sent one at a time and far enough apart, 429s are the exception."""
    account = Account(at_once=1, a_window=1, window_s=0.05)
    with serving(account.answer) as url:
        sent(jobs_for(url, 30), concurrency=1)
    assert account.sent[429] <= 6


def test_a_provider_that_only_refuses_is_given_up_and_each_probe_told() -> None:
    """Nothing waits for ever, nothing is dropped: availability errors, one for each probe."""
    account = Account(a_window=0)

    async def never() -> object:
        account.sent[429] += 1
        return 429, {"retry-after-ms": "20"}, {"error": {"message": "Rate limit"}}

    with serving(never) as url:
        outcomes, _ = sent(jobs_for(url, 10), patience_s=0.2)
    assert reasons(outcomes) == {"rate_limited": 10}


def test_a_refusing_upstream_does_not_slow_the_others() -> None:
    """Behind a gateway a 429 speaks for its upstream alone."""

    async def never() -> object:
        return 429, {"retry-after-ms": "30"}, {"error": {"message": "Rate limit"}}

    account = Account()
    first, second = "openrouter/moonshotai/kimi-k2.6+novita/fp8", "openrouter/moonshotai/kimi-k2.6+deepinfra/fp4"
    with serving(never) as bad, serving(account.answer) as good:
        jobs = jobs_for(bad, 4, endpoint=first) + jobs_for(good, 8, endpoint=second)
        outcomes, dispatcher = sent([ProbeJob(n, job.plan, job.target) for n, job in enumerate(jobs)], patience_s=0.1)
    assert reasons(outcomes) == {"ok": 8, "rate_limited": 4}
    assert not dispatcher.throttles[second].slowed


def test_each_probe_of_a_crowd_was_among_eight() -> None:
    """The server saw them, and each outcome says so."""
    account = Account(together=asyncio.Barrier(8))
    with serving(account.answer) as url:
        outcomes, _ = sent(jobs_for(url, 16, "crowd"))
    assert account.peak >= 8
    assert min(outcome.at_once for outcome in outcomes) >= 8


def test_probes_alone_come_one_by_one() -> None:
    """As the server saw it."""
    account = Account(delay_s=0.02)
    with serving(account.answer) as url:
        outcomes, _ = sent(jobs_for(url, 6, "alone"))
    assert account.peak == 1
    assert {outcome.at_once for outcome in outcomes} == {1}


def test_a_provider_slower_than_the_deadline_is_a_timeout() -> None:
    """One total deadline a probe, counted from its own start."""
    with serving(Account(delay_s=30).answer) as url:
        outcomes, _ = sent(jobs_for(url, 3), timeout_s=0.2)
    assert reasons(outcomes) == {"timeout": 3}
    assert all(outcome.exchange and outcome.exchange.total_ms < 2000 for outcome in outcomes)


def test_closing_cancels_what_is_under_way() -> None:
    """It does not wait, and a cancelled request gives no outcome."""
    dispatcher: Dispatcher[int] = Dispatcher(
        catalogs.load(environment={}), concurrency=8, timeout_s=60, budget=Decimal(1)
    )
    with serving(Account(delay_s=30).answer) as url:
        dispatcher.submit(jobs_for(url, 20))
        assert dispatcher.outcome(0.1) is None
        dispatcher.close()
    assert dispatcher.drain() == []


def test_an_error_of_ours_comes_back_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the wait for that probe, and is not blamed on the host."""

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pytest_kimiprobe.engine.dispatch.PreparedExchange.exchange", broken)
    outcomes, _ = sent(jobs_for("http://127.0.0.1:9", 2))
    assert reasons(outcomes) == {"local_failure": 2}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), max_size=40), st.integers(1, 300), st.integers(0, 1000))
def test_the_budget_is_never_exceeded(costs: list[tuple[int, float]], limit: int, seed: int) -> None:
    """Random concurrent reservations: spent and reserved together never exceed the limit."""
    generator = random.Random(seed)

    async def main() -> None:
        budget = RunBudget(Decimal(limit))

        async def one(most: int, part: float) -> bool:
            if not await budget.reserve(Decimal(most)):
                return False
            assert budget.spent + budget._reserved <= limit
            for _ in range(generator.randrange(4)):
                await asyncio.sleep(0)
            budget.settle(Decimal(most), (Decimal(most) * Decimal(part)).quantize(Decimal("0.01")))
            assert budget.spent <= limit
            return True

        ran = await asyncio.gather(*(one(most, part) for most, part in costs))
        assert budget._reserved == 0
        assert all(ran) or max(most for most, _ in costs) + budget.spent > limit

    asyncio.run(main())


def test_refusals_cost_nothing_of_the_budget() -> None:
    """A probe that was refused and sent again pays once."""
    account = Account(at_once=1)
    with serving(account.answer) as url:
        _, dispatcher = sent(jobs_for(url, 4), budget="0.05")
    price = jobs_for("http://127.0.0.1:9", 1)[0].plan.endpoint.prices[-1]
    assert dispatcher.spent_usd[0] == 4 * (10 * price.input + 5 * price.output) / 1_000_000


@pytest.mark.parametrize(
    "body",
    [
        ANSWER | {"usage": None},
        ANSWER | {"usage": {"prompt_tokens": 0, "completion_tokens": 0}},
        {"error": {"message": "internal", "code": 500}},
    ],
    ids=["no usage", "usage of zero", "an error with status 200"],
)
def test_a_host_that_counts_no_tokens_is_booked_at_the_estimate(body: object) -> None:
    """It is not free, and it does not use up the budget of other hosts: only reservations are upper bounds."""

    async def answer() -> tuple[int, dict[str, str], object]:
        return 200, {}, body

    with serving(answer) as url:
        jobs = jobs_for(url, 20)
        day = datetime.now(UTC).date()
        most = cost_bound(jobs[0].plan, catalogs.load(environment={}), day)
        outcomes, dispatcher = sent(jobs, budget=str(most * 2), concurrency=1)
    assert not any(one.not_run for one in outcomes)
    spent, estimated = dispatcher.spent_usd
    assert spent == estimated
    assert 0 < spent < most
    assert all(one.exchange.cost_usd is None for one in outcomes if one.exchange)


def test_a_request_that_was_never_sent_costs_nothing() -> None:
    """Neither on a refused connection nor if this machine raised an exception."""
    _, dispatcher = sent(jobs_for("http://127.0.0.1:9", 4))
    assert dispatcher.spent_usd == (Decimal(0), Decimal(0))


def test_probes_of_one_case_share_their_request() -> None:
    """It is built once for an endpoint and a mode, and other modes have their own."""
    account = Account()
    with serving(account.answer) as url:
        plain = jobs_for(url, 4)
        streamed = [replace(job, plan=replace(job.plan, mode="stream")) for job in jobs_for(url, 2)]
        outcomes, _ = sent(plain + streamed)
    requests = [outcome.exchange.request for outcome in outcomes if outcome.exchange]
    assert len(requests) == 6
    assert len({id(request) for request in requests}) == 2
    assert Counter(bool(request.get("stream")) for request in requests) == {False: 4, True: 2}


def test_the_span_begins_with_the_first_request() -> None:
    """What was done before, importing the HTTP library above all, is no part of it."""
    before = Timestamp.now()
    account = Account()
    with serving(account.answer) as url:
        _, dispatcher = sent(jobs_for(url, 1))
    assert dispatcher.began is not None
    assert before.wall_s < dispatcher.began.wall_s < Timestamp.now().wall_s
