"""One invocation with `--kimiprobe`: what it was asked to do, what came back, what is written at its end."""

from __future__ import annotations

import os
import re
import shlex
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from routing import catalog as catalogs
from routing.catalog import Catalog, Endpoint
from routing.errors import ConfigError, KeyMissing
from routing.exchange import Exchange, Target

from . import options, recordings, schema_cases
from .answers import SeenAnswer
from .cases import Case, in_suite
from .collect import SCHEMAS, PairProbe, Probe, RowProbe
from .dispatch import Dispatcher, Order, Outcome
from .judge import Judgement, judge, judge_any
from .pairs import Half, compare
from .plan import Estimate, Planned, ProbePlan, UnknownEndpoint, Unsent, cannot, estimate, expand, select
from .probe_facts import of_plan, of_row, planned_by, properties, to_send
from .report import Spent, Summary
from .safe_text import one_line, redact
from .sources import SourceChoice, no_keys
from .verdicts import PARITY, ProbeResult, Run, Source

_PROBE_ID = re.compile(r"\[(?P<endpoint>[^\[\]]+)-(?:plain|stream|parity)-(?P<repeat>[1-9][0-9]{0,4})\]$")


class ProbeSession:
    """Everything a run knows. Made in `pytest_configure`; raises UsageError for what cannot be run."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.choice = SourceChoice.read(options.value(config, "source"))
        self.environment: Mapping[str, str] = self.choice.environment()
        self.suite: str = options.value(config, "suite")
        self.repeats: int = options.value(config, "repeat")
        self.budget: Decimal = options.value(config, "budget")
        self.verbose: bool = options.value(config, "verbose")
        self.started_at = datetime.now(UTC)
        self.run_id = uuid.uuid4().hex[:12]
        self.results: dict[str, ProbeResult] = {}
        self.held: dict[str, ProbeResult] = {}
        """Verdicts on answers that a test function has still to judge."""
        self.seen: dict[str, SeenAnswer] = {}
        self.exchanges: dict[str, Exchange] = {}
        self.cancelled = 0
        self._under_way: Sequence[pytest.Item] = ()
        self._sent = self._answered = 0.0
        self.summary: Summary | None = None
        self._stack = ExitStack()
        self._dispatcher: Dispatcher[pytest.Item] | None = None
        try:
            path = options.value(config, "catalog")
            self.catalog: Catalog = catalogs.load(Path(path) if path else None, environment=self.environment)
            self._add_endpoints()
            self.model: str = options.value(config, "model") or self.catalog.default_model
            self.endpoints: list[Endpoint] = self._endpoints()
            self.schemas = self._schemas()
            self.recordings = recordings.files(self.choice.path) if self.choice.kind == "replay" else []
        except (ConfigError, UnknownEndpoint) as error:
            raise pytest.UsageError(str(error)) from None
        if self.choice.kind == "live" and not self.live_keys():
            raise pytest.UsageError(no_keys(self.catalog))
        if self.choice.kind == "simulator":
            self._scenario()

    @property
    def source(self) -> Source:
        """The stamp on everything this run writes."""
        return self.choice.stamp(self.catalog, self.endpoints)

    def money(self) -> Spent:
        """What the run has cost so far, and how long it took."""
        usd, cut_off = self._dispatcher.spent_usd if self._dispatcher else (Decimal(0), Decimal(0))
        return Spent(usd, self.budget, max(self._answered - self._sent, 0.0), cut_off)

    def rerun(self) -> str:
        """The command that runs one probe again, but for its id; empty for a replay."""
        if self.choice.kind == "replay":
            return ""
        source = (
            "" if self.choice.kind == "live" else f" --kimiprobe-source simulator:{shlex.quote(self.choice.detail)}"
        )
        catalog = options.value(self.config, "catalog")
        return f"pytest --kimiprobe{source}" + (f" --kimiprobe-catalog {shlex.quote(catalog)}" if catalog else "")

    def live_keys(self) -> list[str]:
        """Providers whose key is there."""
        return [name for name in self.catalog.providers if not self._key_problem(name)]

    def plans(self, case: Case) -> Iterator[Planned]:
        """All probes of a case of the suite, each with why it is not sent where it is not."""
        if in_suite(case, self.suite):
            for plan in expand(case, self.endpoints, self.repeats):
                yield Planned(plan, self._unsent(plan))

    def estimate(self, items: Sequence[pytest.Item]) -> Estimate:
        """What these probes cost, before they are sent."""
        plans = [planned.plan for item in items if (planned := planned_by(item)) and not planned.unsent]
        return estimate(plans, self.catalog, datetime.now(UTC).date())

    def serve(self, items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
        """Give each item back, judged, in the order in which answers come; a pair as soon as both its halves are in."""
        pairs = {half: item for item in items if isinstance(item, PairProbe) for half in item.halves}
        for item in self._served(items):
            yield item
            pair = pairs.get(item.nodeid)
            if pair is not None and all(half in self.results for half in pair.halves):
                yield self._paired(pair)
        for pair in dict.fromkeys(pairs.values()):
            if pair.nodeid not in self.results:
                yield self._paired(pair)

    def send(self, items: Sequence[pytest.Item]) -> None:
        """Start sending; `serve` then waits for what comes back."""
        self._sent = time.perf_counter()
        waiting = to_send(items)
        if waiting:
            self._under_way = [item for item, _ in waiting]
            self._start()
            assert self._dispatcher is not None  # noqa: S101 - for the type checker; _start made it
            self._dispatcher.submit(Order(item, plan, self._target(plan.endpoint)) for item, plan in waiting)

    def record(self, item: pytest.Item, result: ProbeResult) -> None:
        """Keep a verdict for good and tell plugins of it."""
        self.held.pop(item.nodeid, None)
        self.results[item.nodeid] = result
        self.config.hook.pytest_kimiprobe_result(result=result)

    def finish(self) -> None:
        """Cancel what is on its way, judge what came back unseen, close everything."""
        if self._dispatcher is not None:
            self._dispatcher.close()
            for outcome in self._dispatcher.drain():
                self._take(outcome)
            kept = self.results.keys() | self.held.keys()
            self.cancelled = sum(item.nodeid not in kept for item in self._under_way)
        self._stack.close()

    def run(self, *, complete: bool) -> Run:
        """The run as it stands."""
        return Run(
            id=self.run_id,
            attempt=int(self.environment.get("GITHUB_RUN_ATTEMPT", "1") or 1),
            source=self.source,
            suite=self.suite,
            started_at=self.started_at,
            finished_at=datetime.now(UTC),
            complete=complete,
            probes=tuple(self.results.values()),
        )

    def _endpoints(self) -> list[Endpoint]:
        globs: list[str] = options.value(self.config, "endpoint")
        named = [match for argument in self.config.args if (match := _PROBE_ID.search(argument))]
        if named and not globs and len(named) == len(self.config.args):
            # An id says which endpoint and repeat it means, whatever the default model is.
            self.repeats = max(self.repeats, *(int(match["repeat"]) for match in named))
            globs = [match["endpoint"] for match in named]
        return select(self.catalog, self.model, globs, self.started_at.date())

    def _add_endpoints(self) -> None:
        """Lay the endpoints of plugins over the catalogue's."""
        given = self.config.hook.pytest_kimiprobe_endpoints(config=self.config)
        added = {endpoint.id: endpoint for some in reversed(given) for endpoint in some or ()}
        for endpoint in added.values():
            if endpoint.provider not in self.catalog.providers:
                raise ConfigError(f"a plugin's endpoint {endpoint.id!r}: unknown provider {endpoint.provider!r}")
        if added:
            self.catalog = replace(self.catalog, endpoints={**self.catalog.endpoints, **added})

    def _schemas(self) -> dict[str, Path]:
        """Files of schemas by the names that ids have."""
        folder = options.value(self.config, "schemas")
        if not folder or self.choice.kind == "replay":
            return {}
        root = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links, and pytest does not
        return {f"{SCHEMAS}/{file.relative_to(root).as_posix()}": file for file in schema_cases.files(root)}

    def _unsent(self, plan: ProbePlan) -> Unsent | None:
        if lacking := cannot(plan.case, plan.endpoint, plan.mode):
            return Unsent("no_capability", lacking)
        missing = self._key_problem(plan.endpoint.provider) if self.choice.kind == "live" else ""
        return Unsent("no_key", missing) if missing else None

    def _key_problem(self, provider: str) -> str:
        try:
            self.catalog.providers[provider].key(self.environment)
        except KeyMissing as error:
            return str(error)
        return ""

    def _scenario(self) -> Any:
        from .simulator import ScenarioError, load_scenario

        try:
            return load_scenario(self.choice.detail)
        except ScenarioError as error:
            raise pytest.UsageError(str(error)) from None

    def _start(self) -> None:
        if self._dispatcher is not None:
            return
        if self.choice.kind == "simulator":
            from .simulator import Simulator

            simulator = self._stack.enter_context(Simulator(self._scenario()))
            self.environment = simulator.environment()
            self.catalog = self.catalog.with_base_urls(self.environment)
        self._dispatcher = Dispatcher(
            self.catalog,
            concurrency=options.value(self.config, "concurrency"),
            timeout_s=options.value(self.config, "timeout"),
            budget=self.budget,
        )

    def _target(self, endpoint: Endpoint) -> Target:
        provider = self.catalog.provider_of(endpoint)
        return Target(endpoint, provider, provider.key(self.environment))

    def _served(self, items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
        for item in items:
            planned = planned_by(item)
            if isinstance(item, RowProbe):
                self._judged(item, item.row.exchange(), judge_any)
                yield item
            elif planned is not None and planned.unsent:
                self._not_sent(item, planned.unsent)
                yield item
        if self._dispatcher is not None:
            for _ in self._under_way:
                yield self._take(self._dispatcher.outcome())

    def _paired(self, pair: PairProbe) -> PairProbe:
        plain, stream = (self._half(half) for half in pair.halves)
        facts = {"case": pair.case.name, "endpoint": pair.endpoint, "mode": PARITY, "repeat": pair.repeat}
        self._keep(pair, None, compare(pair.case, plain, stream), **facts, capability=pair.case.capability)
        return pair

    def _half(self, probe: str) -> Half:
        seen, result = self.seen.get(probe), self.results.get(probe)
        return Half(result.verdict, seen.tool_calls if seen else ()) if result else Half()

    def _take(self, outcome: Outcome[pytest.Item]) -> pytest.Item:
        item = outcome.ticket
        if outcome.exchange is None:
            self._not_sent(item, Unsent(outcome.not_run, f"--kimiprobe-budget ${self.budget} is used up"))
        else:
            self._judged(item, outcome.exchange, lambda done, _tools: self._word(item, done))
        return item

    def _word(self, item: pytest.Item, done: Exchange) -> Judgement:
        planned = planned_by(item)
        if planned is None:
            return judge_any(done, ())
        hook = self.config.hook.pytest_kimiprobe_judge
        judgement = judge(planned.plan.case, done, lambda case, answer: hook(case=case, answer=answer))
        if judgement.checked is not None:
            self.seen[item.nodeid] = SeenAnswer.of(judgement.checked, done.answer)
        return judgement

    def _not_sent(self, item: pytest.Item, unsent: Unsent) -> None:
        self._keep(item, None, Judgement(unsent.verdict, unsent.reason, unsent.detail), **of_plan(item))

    def _judged(self, probe: pytest.Item, done: Exchange, word: Any) -> None:
        facts = of_row(probe) if isinstance(probe, RowProbe) else of_plan(probe)
        tools = probe.row.tools if isinstance(probe, RowProbe) else ()
        self.exchanges[probe.nodeid] = done
        try:
            judgement = word(done, tools)
        except Exception as error:  # noqa: BLE001 - one answer that the judge cannot bear must not cost the others
            judgement = Judgement("error", "malformed_body", f"the judge failed: {type(error).__name__}")
        self._keep(probe, done, judgement, **facts)

    def _keep(self, probe: pytest.Item, done: Exchange | None, judgement: Judgement, **facts: Any) -> None:
        self._answered = time.perf_counter()
        answer, checked = (done.answer if done else None), judgement.checked
        result = ProbeResult(
            id=probe.nodeid,
            verdict=judgement.verdict,
            reason=judgement.reason,
            detail=one_line(redact(judgement.detail, self.environment), 300),
            error_class=judgement.error_class,
            finish_reason=answer.finish_reason if answer else None,
            tool_calls=answer.tool_calls if answer else (),
            text=answer.text if answer else "",
            first_token_ms=done.first_token_ms if done else None,
            total_ms=done.total_ms if done and self.choice.kind != "replay" else None,
            usage=answer.usage if answer else None,
            cost_usd=done.cost_usd if done else None,
            cost_origin=done.cost_origin if done else "unknown",
            calls=checked.calls if checked else 0,
            valid_calls=checked.valid_calls if checked else 0,
            k2vv_valid=checked.k2vv_valid if checked else None,
            upstream=answer.upstream if answer else None,
            **facts,
        )
        probe.user_properties = properties(result)
        if isinstance(probe, Probe):
            probe.result = result
            self.record(probe, result)
        else:
            self.held[probe.nodeid] = result
