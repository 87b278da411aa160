"""Judges the exchanges of a run and stores the verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from routing.exchange import Exchange
from routing.reasons import LEAKS
from routing.types import Tool
from routing.verify import ANYTHING

from ..cases.plan import ProbePlan, Unsent
from ..engine.clock import Timestamp
from ..engine.dispatch import ProbeOutcome
from ..judging.judge import Judgement, SeenAnswer, judge, judge_any
from ..judging.parity import PairAnswer, compare
from ..safe_text import one_line, redact
from ..verdicts import PARITY, ProbeMode, ProbeResult
from .items import PairProbe, Probe, RowProbe, planned_by
from .run_config import Scope

if TYPE_CHECKING:
    from ..recording.recorder import Recorder


class VerdictStore:
    """Verdicts of a run by item id, with the answers and exchanges that they are based on."""

    def __init__(self, scope: Scope, recorder: Recorder | None = None) -> None:
        self._scope = scope
        self._recorder = recorder
        self._hook = scope.config.hook
        self.results: dict[str, ProbeResult] = {}
        self.held: dict[str, ProbeResult] = {}
        """Verdicts on answers that a test function has yet to judge, by item id.

        They are kept after the function ran, because a plugin may run it again.
        """
        self.seen: dict[str, SeenAnswer] = {}
        self.exchanges: dict[str, Exchange] = {}
        self.last: Timestamp | None = None
        """Time of the last verdict."""

    def knows(self, item: pytest.Item) -> bool:
        """Whether there is a verdict on the item, final or not."""
        return item.nodeid in self.results or item.nodeid in self.held

    def record(self, result: ProbeResult) -> None:
        """Store a final verdict, and call the hook `pytest_kimiprobe_result` with it."""
        self.results[result.id] = result
        self._hook.pytest_kimiprobe_result(result=result)

    def interrupt(self) -> None:
        """Store a verdict on each answer whose test function did not run before the session ended."""
        for result in [held for probe, held in self.held.items() if probe not in self.results]:
            self.record(replace(result, verdict="not_run", reason="interrupted", detail="", error_class=None))

    def not_sent(self, item: pytest.Item, unsent: Unsent) -> None:
        """Store the verdict on a probe that was not sent, with the reason."""
        self._keep(item, None, Judgement(unsent.verdict, unsent.reason, unsent.detail), _facts(item))

    def take(self, outcome: ProbeOutcome[pytest.Item]) -> pytest.Item:
        """Judge the outcome of a probe, store the verdict, and return the item."""
        item = outcome.item
        if outcome.exchange is None:
            self.not_sent(item, Unsent(outcome.not_run, f"--kimiprobe-budget ${self._scope.budget} is used up"))
        else:
            measured = {"at_once": outcome.at_once, "refusals": outcome.refusals, "late_ms": outcome.late_ms}
            self._judged(item, outcome.exchange, _facts(item) | measured)
            self._record_exchange(item, outcome)
        return item

    def _record_exchange(self, item: pytest.Item, outcome: ProbeOutcome[pytest.Item]) -> None:
        planned = planned_by(item)
        if self._recorder is not None and planned is not None:
            provider = self._scope.catalog.provider_of(planned.plan.endpoint)
            self._recorder.keep(item.nodeid, planned.plan, outcome, provider)

    def replay(self, probe: RowProbe) -> RowProbe:
        """Judge a recorded exchange again, store the verdict, and return the item."""
        row = probe.row
        facts = {"case": row.id, "endpoint": row.endpoint, "mode": "stream" if row.stream else "plain", "repeat": 1}
        self._judged(probe, row.exchange(), facts, row.tools)
        return probe

    def pair(self, pair: PairProbe) -> None:
        """Judge a pair by comparing its two answers, and store the verdict."""
        plain, stream = (self._pair_answer(probe) for probe in pair.halves)
        self._keep(pair, None, compare(pair.plan.case, plain, stream), facts_of(pair.plan, PARITY))

    def _pair_answer(self, probe: str) -> PairAnswer:
        seen, result = self.seen.get(probe), self.results.get(probe)
        return PairAnswer(result.verdict, seen.tool_calls if seen else ()) if result else PairAnswer()

    def _judged(self, item: pytest.Item, done: Exchange, facts: Mapping[str, Any], tools: Sequence[Tool] = ()) -> None:
        self.exchanges[item.nodeid] = done
        try:
            judgement = self._judgement(item, done, tools)
        except Exception as error:  # noqa: BLE001 - a failure of the judge on one answer must not lose the others
            judgement = Judgement("error", "local_failure", f"the judge failed: {type(error).__name__}")
        self._keep(item, done, judgement, facts)

    def _judgement(self, item: pytest.Item, done: Exchange, tools: Sequence[Tool]) -> Judgement:
        planned = planned_by(item)
        if planned is None:
            return judge_any(done, tools, item.row.asked if isinstance(item, RowProbe) else ANYTHING)
        hook = self._hook.pytest_kimiprobe_judge
        judgement = judge(planned.plan.case, done, lambda case, answer: hook(case=case, answer=answer))
        if judgement.checked is not None:
            self.seen[item.nodeid] = SeenAnswer.of(judgement.checked, done.answer)
        return judgement

    def _keep(self, item: pytest.Item, done: Exchange | None, judgement: Judgement, facts: Mapping[str, Any]) -> None:
        result = result_of(item.nodeid, done, judgement, facts, environment=self._scope.environment)
        if isinstance(item, RowProbe):
            result = replace(result, total_ms=None)
        item.user_properties = _properties(result)
        if isinstance(item, Probe):
            item.judged(result)
            self.record(result)
        else:
            self.held[item.nodeid] = result
        self.last = Timestamp.now()


def _facts(item: pytest.Item) -> dict[str, Any]:
    """Fields of a ProbeResult that describe the planned probe of an item. Raises TypeError for other items."""
    planned = planned_by(item)
    if planned is None:
        raise TypeError(f"not a probe: {item.nodeid}")
    return facts_of(planned.plan, planned.plan.mode)


def facts_of(plan: ProbePlan, mode: ProbeMode) -> dict[str, Any]:
    """Fields of a ProbeResult that describe a planned probe."""
    return {
        "case": plan.case.name,
        "endpoint": plan.endpoint.id,
        "mode": mode,
        "repeat": plan.repeat,
        "capability": plan.case.capability,
        "load": plan.load,
        "wants_call": plan.case.expect.wants_call,
        "evidence": plan.case.evidence,
    }


def _properties(result: ProbeResult) -> list[tuple[str, object]]:
    """The `user_properties` of an item, which JUnit XML and the choice of its progress letter use."""
    facts: list[tuple[str, object]] = [("kimiprobe_verdict", result.verdict), ("kimiprobe_endpoint", result.endpoint)]
    if result.total_ms is not None:
        facts.append(("latency_ms", round(result.total_ms, 1)))
    return facts


def result_of(
    probe: str,
    done: Exchange | None,
    judgement: Judgement,
    facts: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
) -> ProbeResult:
    """Build the result of a probe. Keys that `environment` contains are removed from its detail. Pure."""
    answer, checked = (done.answer if done else None), judgement.checked
    return ProbeResult(
        id=probe,
        verdict=judgement.verdict,
        reason=judgement.reason,
        detail=one_line(redact(judgement.detail, environment), 300),
        error_class=judgement.error_class,
        finish_reason=answer.finish_reason if answer else None,
        tool_calls=answer.tool_calls if answer else (),
        text=answer.text if answer else "",
        first_token_ms=done.first_token_ms if done else None,
        total_ms=done.total_ms if done else None,
        usage=answer.usage if answer else None,
        cost_usd=done.cost_usd if done else None,
        cost_origin=done.cost_origin if done else "unknown",
        calls=checked.calls if checked else 0,
        valid_calls=checked.valid_calls if checked else 0,
        k2vv_valid=checked.k2vv_valid if checked else None,
        upstream=answer.upstream if answer else None,
        leaked=checked is not None and checked.reason in LEAKS,
        **facts,
    )
