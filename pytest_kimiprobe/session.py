"""One invocation with `--kimiprobe`: what it was asked to do, what came back, what is written at its end."""

from __future__ import annotations

import re
import shlex
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from glob import escape
from pathlib import Path
from typing import Any

import pytest

from routing import catalog as catalogs
from routing.catalog import Catalog, Endpoint
from routing.errors import ConfigError, KeyMissing
from routing.exchange import Exchange, Target

from . import options, recordings
from .cases import Case, in_suite
from .collect import CaseProbe, Probe, RowProbe
from .dispatch import Dispatcher, Order, Outcome
from .judge import Judgement, judge, judge_any
from .plan import Estimate, Load, ProbePlan, UnknownEndpoint, estimate, expand, select
from .report import Spent, Summary
from .safe_text import one_line, redact
from .sources import SourceChoice, no_keys
from .throttle import refusal_words
from .verdicts import ProbeResult, Run, Source

PATIENCE_S = 90.0
_PROBE_ID = re.compile(r"\[(?P<endpoint>[^\[\]]+)-(?:plain|stream)-(?P<repeat>[1-9][0-9]{0,4})(?P<crowd>-crowd)?\]$")


class ProbeSession:
    """Everything a run knows. Made in `pytest_configure`; raises UsageError for what cannot be run."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.choice = SourceChoice.read(options.value(config, "source"))
        self.environment: Mapping[str, str] = self.choice.environment()
        self.suite: str = options.value(config, "suite")
        self.repeats: int = options.value(config, "repeat")
        self.budget: Decimal = options.value(config, "budget")
        self.concurrency: int = options.value(config, "concurrency")
        self.timeout_s: float = options.value(config, "timeout")
        self.patience_s: float | None = options.value(config, "patience")
        self.loads: tuple[Load, ...] = options.value(config, "load")
        self.verbose: bool = options.value(config, "verbose")
        self.started_at = datetime.now(UTC)
        self.run_id = uuid.uuid4().hex[:12]
        self.results: dict[str, ProbeResult] = {}
        self.exchanges: dict[str, Exchange] = {}
        self.cancelled = 0
        self.discovered: Sequence[str] = ()
        self.on_progress: Callable[[Mapping[str, int]], None] = lambda _waiting: None
        self._under_way: Sequence[CaseProbe] = ()
        self._sent = self._answered = 0.0
        self.summary: Summary | None = None
        self._stack = ExitStack()
        self._dispatcher: Dispatcher[CaseProbe] | None = None
        try:
            path = options.value(config, "catalog")
            self.catalog: Catalog = catalogs.load(Path(path) if path else None, environment=self.environment)
            self.model: str = options.value(config, "model") or self.catalog.default_model
            self._discover(given=options.value(config, "discover"))
            self.compared: tuple[str, ...] = options.value(config, "compare")
            self.endpoints: list[Endpoint] = self._endpoints()
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

    def refusals(self) -> list[str]:
        """What providers refused for being asked too often, and what the run made of it; a sentence each."""
        if self._dispatcher is None:
            return []
        return [refusal_words(str(scope), slow) for scope, slow in self._dispatcher.throttles.items() if slow.refused]

    def live_keys(self) -> list[str]:
        """Providers whose key is there."""
        return [name for name in self.catalog.providers if not self._key_problem(name)]

    def plans(self, case: Case, *, packaged: bool = False) -> Iterator[tuple[ProbePlan, str]]:
        """All probes of a case of the suite, each with why it is not sent for want of a key (empty where it is)."""
        if in_suite(case, self.suite):
            for plan in expand(case, self.endpoints, self.repeats, self._loads(packaged=packaged)):
                yield plan, self._key_problem(plan.endpoint.provider) if self.choice.kind == "live" else ""

    def _loads(self, *, packaged: bool) -> Sequence[Load]:
        """The packaged core cases meet real hosts alone and in a crowd, unless the option says otherwise."""
        if self.loads:
            return self.loads
        thorough = packaged and self.suite != "smoke" and self.source == "live"
        return ("alone", "crowd") if thorough else ("mixed",)

    def estimate(self, probes: Sequence[CaseProbe]) -> Estimate:
        """What these probes cost, before they are sent."""
        plans = [probe.plan for probe in probes if not probe.skip_reason]
        return estimate(plans, self.catalog, datetime.now(UTC).date())

    def serve(self, probes: Sequence[Probe]) -> Iterator[Probe]:
        """Send what must be sent and give each item back, judged, in the order in which answers come."""
        for probe in probes:
            if isinstance(probe, RowProbe):
                self._judged(probe, probe.row.exchange(), judge_any)
                yield probe
            elif isinstance(probe, CaseProbe) and probe.skip_reason:
                self._not_sent(probe, "no_key", probe.skip_reason)
                yield probe
        waiting = [probe for probe in probes if isinstance(probe, CaseProbe) and not probe.skip_reason]
        yield from self._dispatched(waiting)

    def send(self, probes: Sequence[Probe]) -> None:
        """Start sending; `serve` then waits for what comes back."""
        self._sent = time.perf_counter()
        waiting = [probe for probe in probes if isinstance(probe, CaseProbe) and not probe.skip_reason]
        if waiting:
            self._under_way = waiting
            self._start()
            assert self._dispatcher is not None  # noqa: S101 - for the type checker; _start made it
            self._dispatcher.submit(Order(probe, probe.plan, self._target(probe.plan.endpoint)) for probe in waiting)

    def finish(self) -> None:
        """Cancel what is on its way, judge what came back unseen, close everything."""
        if self._dispatcher is not None:
            self._dispatcher.close()
            for outcome in self._dispatcher.drain():
                self._take(outcome)
            self.cancelled = sum(probe.nodeid not in self.results for probe in self._under_way)
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
            references={endpoint.id: self.catalog.models[endpoint.model].reference for endpoint in self.endpoints},
            lag_p95_ms=round(self._dispatcher.lag.p95_ms(), 1) if self._dispatcher else 0.0,
        )

    def _discover(self, *, given: bool) -> None:
        """Add what gateways list today; only real ones are asked."""
        if given and self.choice.kind == "live":
            from .discovery import discover

            found = discover(self.catalog, self.model, self.environment, self.started_at.date())
            self.catalog, self.discovered = found.catalog, found.notes

    def _endpoints(self) -> list[Endpoint]:
        globs: list[str] = options.value(self.config, "endpoint") or [escape(name) for name in self.compared]
        named = [match for argument in self.config.args if (match := _PROBE_ID.search(argument))]
        if named and not globs and len(named) == len(self.config.args):
            # An id says which endpoint, repeat and load it means, whatever the defaults are.
            self.repeats = max(self.repeats, *(int(match["repeat"]) for match in named))
            self.loads = self.loads or (("alone", "crowd") if any(match["crowd"] for match in named) else ())
            globs = [match["endpoint"] for match in named]
        chosen = select(self.catalog, self.model, globs, self.started_at.date())
        left_out = set(self.compared) - {endpoint.id for endpoint in chosen}
        if left_out and self.choice.kind != "replay":
            raise UnknownEndpoint(f"--kimiprobe-compare: not among the endpoints of this run: {', '.join(left_out)}")
        return chosen

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
            concurrency=self.concurrency,
            timeout_s=self.timeout_s,
            budget=self.budget,
            patience_s=self._patience_s(),
        )

    def _patience_s(self) -> float:
        """Seconds; simulated refusals are played for their own sake and not waited for, unless one says so."""
        if self.patience_s is not None:
            return self.patience_s
        return 0.0 if self.choice.kind == "simulator" else PATIENCE_S

    def _target(self, endpoint: Endpoint) -> Target:
        provider = self.catalog.provider_of(endpoint)
        return Target(endpoint, provider, provider.key(self.environment))

    def _dispatched(self, waiting: Sequence[CaseProbe]) -> Iterator[Probe]:
        if self._dispatcher is None:
            return
        left = Counter(probe.plan.endpoint.provider for probe in waiting)
        while left.total():
            outcome = self._dispatcher.outcome()
            if outcome is not None:
                left[outcome.ticket.plan.endpoint.provider] -= 1
                self.on_progress(+left)
                yield self._take(outcome)
            else:
                self.on_progress(+left)
        self.on_progress(left)

    def _take(self, outcome: Outcome[CaseProbe]) -> CaseProbe:
        probe = outcome.ticket
        if outcome.exchange is None:
            self._not_sent(probe, outcome.not_run, f"--kimiprobe-budget ${self.budget} is used up")
        else:
            told = {"at_once": outcome.at_once, "refusals": outcome.refusals, "late_ms": outcome.late_ms}
            self._judged(probe, outcome.exchange, lambda done, _tools: judge(probe.plan.case, done), **told)
        return probe

    def _not_sent(self, probe: CaseProbe, reason: str, detail: str) -> None:
        self._keep(probe, None, Judgement("not_run", reason, detail), **_of_plan(probe))

    def _judged(self, probe: Probe, done: Exchange, word: Any, **told: Any) -> None:
        facts = told | (_of_row(probe) if isinstance(probe, RowProbe) else _of_plan(probe))
        tools = probe.row.tools if isinstance(probe, RowProbe) else ()
        self.exchanges[probe.nodeid] = done
        try:
            judgement = word(done, tools)
        except Exception as error:  # noqa: BLE001 - one answer that the judge cannot bear must not cost the others
            judgement = Judgement("error", "malformed_body", f"the judge failed: {type(error).__name__}")
        self._keep(probe, done, judgement, **facts)

    def _keep(self, probe: Probe, done: Exchange | None, judgement: Judgement, **facts: Any) -> None:
        self._answered = time.perf_counter()
        answer, checked = (done.answer if done else None), judgement.checked
        probe.result = self.results[probe.nodeid] = ProbeResult(
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
        probe.user_properties = _properties(probe.result)


def _of_plan(probe: Any) -> dict[str, Any]:
    plan = probe.plan
    return {
        "case": plan.case.name,
        "endpoint": plan.endpoint.id,
        "mode": plan.mode,
        "repeat": plan.repeat,
        "capability": plan.case.capability,
        "load": plan.load,
    }


def _of_row(probe: RowProbe) -> dict[str, Any]:
    row = probe.row
    return {"case": row.id, "endpoint": row.endpoint, "mode": "stream" if row.stream else "plain", "repeat": 1}


def _properties(result: ProbeResult) -> list[tuple[str, object]]:
    """Facts for JUnit XML and for the letter that is shown."""
    facts: list[tuple[str, object]] = [("kimiprobe_verdict", result.verdict), ("kimiprobe_endpoint", result.endpoint)]
    if result.total_ms is not None:
        facts.append(("latency_ms", round(result.total_ms, 1)))
    return facts
