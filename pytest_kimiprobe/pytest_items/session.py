"""State of one invocation with `--kimiprobe`: sends the probes, collects their verdicts, and returns them as a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from ..cases.plan import ProbePlan
from ..config import options
from ..engine.clock import Timestamp
from ..engine.dispatch import Dispatcher, ProbeJob
from ..engine.throttle import refusal_words
from ..reporting.summary import Spent, Summary
from ..safe_text import one_line
from ..verdicts import Run
from .items import RowProbe, planned_by, to_send
from .run_config import Scope
from .verdict_store import VerdictStore

if TYPE_CHECKING:
    from ..recording.replays import Replayer


class ProbeSession:
    """A run from its first request to its report. Created in `pytest_configure`; raises UsageError."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.scope = Scope(config)
        self.recorder = self.scope.recorder()
        self.kept = VerdictStore(self.scope, self.recorder)
        self.verbose: bool = options.value(config, "verbose")
        self.summary: Summary | None = None
        self.cancelled = 0
        self.everything = False
        """Whether no path or id was given: then all packaged cases run, or all recordings."""
        self.named: dict[str, set[str]] = {}
        """Names that are collected instead of paths, such as `kimiprobe/core.yaml` → the selected cases or probes."""
        self.on_progress: Callable[[Mapping[str, int]], None] = lambda _waiting: None
        self._under_way: Sequence[tuple[pytest.Item, ProbePlan]] = ()
        self._began = Timestamp.now()
        self._stack = ExitStack()
        self._dispatcher: Dispatcher[pytest.Item] | Replayer | None = None

    def money(self) -> Spent:
        """Cost, budget and duration (wall and CPU time) of the run so far."""
        usd, estimated = self._dispatcher.spent_usd if self._dispatcher else (Decimal(0), Decimal(0))
        began = (self._dispatcher.began if self._dispatcher else None) or self._began
        span = began.until(self.kept.last or began)
        return Spent(usd, self.scope.budget, span.wall_s, span.cpu_s, estimated)

    def refusals(self, *, waited: bool) -> list[str]:
        """One sentence for each provider or upstream that answered 429.

        With `waited`, only those that the run waited for are included.
        """
        throttles = self._dispatcher.throttles if self._dispatcher else {}
        return [
            refusal_words(str(scope), slow)
            for scope, slow in throttles.items()
            if slow.refused and (slow.waited_s or not waited)
        ]

    def send(self, items: Sequence[pytest.Item]) -> None:
        """Start to send the probes of `items`. `serve` then waits for the answers."""
        self._began = Timestamp.now()
        self._under_way = to_send(items)
        if self._under_way:
            try:
                sender, scope = self._started(), self.scope
                self._dispatcher = sender
                sender.submit(ProbeJob(item, plan, scope.target(plan.endpoint)) for item, plan in self._under_way)
            except Exception as error:  # noqa: BLE001 - a plugin that replaces sockets may raise anything
                why = error.__cause__ or error
                text = f"no request can be sent: {type(why).__name__}: {one_line(str(why), 200)}"
                raise pytest.UsageError(f"{text}; does a plugin or conftest.py replace sockets?") from None

    def serve(self, items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
        """Each item with its verdict, in the order in which answers come. Pairs are left out."""
        for item in items:
            planned = planned_by(item)
            if isinstance(item, RowProbe):
                yield self.kept.replay(item)
            elif planned is not None and planned.unsent:
                self.kept.not_sent(item, planned.unsent)
                yield item
            elif planned is not None and item.get_closest_marker("skip"):
                yield item  # pytest reports it as skipped
        if self._dispatcher is not None:
            yield from self._answered(self._dispatcher)

    def finish(self) -> None:
        """Cancel the requests in flight, judge the answers that were not judged yet, close everything."""
        if self._dispatcher is not None:
            self._dispatcher.close()
            for outcome in self._dispatcher.drain():
                self.kept.take(outcome)
            self.cancelled = sum(not self.kept.knows(item) for item, _ in self._under_way)
        self._stack.close()

    def run(self, *, complete: bool) -> Run:
        """The run with all verdicts so far."""
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

    def _started(self) -> Dispatcher[pytest.Item] | Replayer:
        if self.scope.choice.kind == "replay":
            from ..recording.replays import Replayer

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

    def _answered(self, dispatcher: Dispatcher[pytest.Item] | Replayer) -> Iterator[pytest.Item]:
        providers = {item: plan.endpoint.provider for item, plan in self._under_way}
        left = Counter(providers.values())
        while left.total():
            outcome = dispatcher.outcome()
            if outcome is not None:
                left[providers[outcome.item]] -= 1
            self.on_progress(left)
            if outcome is not None:
                yield self.kept.take(outcome)
        self.on_progress(left)
