"""One invocation with `--kimiprobe`: sends what its scope says, gives back each verdict, and ends as a run."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ..cases.plan import ProbePlan
from ..config import options
from ..engine.dispatch import Dispatcher, Order
from ..engine.moment import Moment
from ..engine.throttle import refusal_words
from ..recording.replays import Replayer
from ..reporting.summary import Spent, Summary
from ..verdicts import Run
from .items import PairProbe, RowProbe
from .probe_facts import is_skipped, planned_by, to_send
from .run_config import Scope
from .verdict_store import VerdictStore


class ProbeSession:
    """A run from its first request to its report. Made in `pytest_configure`; raises UsageError."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.scope = Scope(config)
        self.recorder = self.scope.recorder()
        self.kept = VerdictStore(self.scope, self.recorder)
        self.verbose: bool = options.value(config, "verbose")
        self.summary: Summary | None = None
        self.cancelled = 0
        self.everything = False
        """A replay of all that was recorded, not of certain ids."""
        self.on_progress: Callable[[Mapping[str, int]], None] = lambda _waiting: None
        self._under_way: Sequence[tuple[pytest.Item, ProbePlan]] = ()
        self._began = Moment.now()
        self._stack = ExitStack()
        self._dispatcher: Dispatcher[pytest.Item] | Replayer | None = None

    def money(self) -> Spent:
        """What the run has cost so far, and how long it took."""
        usd, cut_off = self._dispatcher.spent_usd if self._dispatcher else (Decimal(0), Decimal(0))
        began = (self._dispatcher.began if self._dispatcher else None) or self._began
        span = began.until(self.kept.last or began)
        return Spent(usd, self.scope.budget, span.wall_s, span.cpu_s, cut_off)

    def refusals(self) -> list[str]:
        """What providers refused for being asked too often, and what the run made of it; a sentence each."""
        if self._dispatcher is None:
            return []
        return [refusal_words(str(scope), slow) for scope, slow in self._dispatcher.throttles.items() if slow.refused]

    def send(self, items: Sequence[pytest.Item]) -> None:
        """Start sending; `serve` then waits for what comes back."""
        self._began = Moment.now()
        self._spare_the_collector()
        self._under_way = to_send(items)
        if self._under_way:
            dispatcher = self._dispatcher = self._dispatcher or self._started()
            dispatcher.submit(Order(item, plan, self.scope.target(plan.endpoint)) for item, plan in self._under_way)

    def serve(self, items: Sequence[pytest.Item]) -> Generator[pytest.Item, None, None]:
        """Give each item back, judged, in the order in which answers come; a pair as soon as both its halves are in.

        Must be closed: until then requests may go on in the caller's thread alone.
        """
        pairs = {half: item for item in items if isinstance(item, PairProbe) and not item.late for half in item.halves}
        with closing(self._served(items)) as served:
            for item in served:
                yield item
                pair = pairs.get(item.nodeid)
                if pair is not None and all(half in self.kept.results for half in pair.halves):
                    yield self.kept.pair(pair)
        for pair in dict.fromkeys(pairs.values()):
            if not self.kept.knows(pair):
                yield self.kept.pair(pair)

    def finish(self) -> None:
        """Cancel what is on its way, judge what came back unseen, close everything."""
        if self._dispatcher is not None:
            self._dispatcher.close()
            for outcome in self._dispatcher.drain():
                self.kept.take(outcome)
            self.cancelled = sum(not self.kept.knows(item) for item, _ in self._under_way)
        self._stack.close()

    def run(self, *, complete: bool) -> Run:
        """The run as it stands."""
        return Run(
            id=self.scope.run_id,
            attempt=int(self.scope.environment.get("GITHUB_RUN_ATTEMPT", "1") or 1),
            source=self.scope.source,
            suite=self.scope.suite,
            started_at=self.scope.started_at,
            finished_at=datetime.now(UTC),
            complete=complete,
            probes=tuple(self.kept.results.values()),
            references=self.scope.references,
            lag_p95_ms=round(self._dispatcher.lag.p95_ms(), 1) if self._dispatcher else 0.0,
        )

    def _spare_the_collector(self) -> None:
        """Have it leave alone what was there before, and come less often.

        Going through all of pytest's objects stops the loop for 100 ms, 50,000 new ones for 40 ms; 5,000 take 4 ms.
        """
        if not gc.get_freeze_count():
            gc.freeze()
            self._stack.callback(gc.unfreeze)
            self._stack.callback(gc.set_threshold, *gc.get_threshold())
            gc.set_threshold(5_000, 50, 100)

    def _started(self) -> Dispatcher[pytest.Item] | Replayer:
        if self.scope.choice.kind == "replay":
            return Replayer(self.scope.replays.samples)
        if self.scope.choice.kind == "simulator":
            from ..simulator import Simulator

            self.scope.meet(self._stack.enter_context(Simulator(self.scope.scenario())).environment())
        return Dispatcher(
            self.scope.catalog,
            concurrency=self.scope.concurrency,
            timeout_s=self.scope.timeout_s,
            budget=self.scope.budget,
            patience_s=self.scope.patience_s,
            record=self.recorder is not None,
        )

    def _served(self, items: Sequence[pytest.Item]) -> Generator[pytest.Item, None, None]:
        for item in items:
            planned = planned_by(item)
            if isinstance(item, RowProbe):
                yield self.kept.replay(item)
            elif planned is not None and planned.unsent:
                self.kept.not_sent(item, planned.unsent)
                yield item
            elif planned is not None and is_skipped(item):
                yield item  # pytest says so
        if self._dispatcher is not None:
            yield from self._answered(self._dispatcher)

    def _answered(self, dispatcher: Dispatcher[pytest.Item] | Replayer) -> Iterator[pytest.Item]:
        providers = {item: plan.endpoint.provider for item, plan in self._under_way}
        left = Counter(providers.values())
        # At a debugger's prompt the loop needs a thread of its own, and below somebody else's loop none can run.
        quick = not self.config.getoption("usepdb", False) and not _below_a_loop()
        with closing(dispatcher.outcomes(quick=quick)) as outcomes:
            while left.total():
                outcome = next(outcomes)
                if outcome is not None:
                    left[providers[outcome.ticket]] -= 1
                self.on_progress(left)
                if outcome is not None:
                    yield self.kept.take(outcome)
        self.on_progress(left)


def _below_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
