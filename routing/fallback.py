"""One request on its way along a route: attempt, verify, fall back, account, inside one deadline and one budget."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .budgets.per_request import Paid, Spending
from .catalog import Catalog, Endpoint
from .circuit_breaker import Breaker, Pass, told_by
from .errors import AllAttemptsFailed, ExchangeError, KeyMissing, RequestRejected
from .exchange import Exchange, Target, exchange
from .reasons import error_class_of
from .selection import Route
from .transport import Transport
from .types import Answer, Attempt, ChatRequest, Parked, Reply
from .verify import Checked, asked_of, check, check_generation

_MIN_ATTEMPT_S = 0.05
RETRY_S = 0.5
"""The longest pause before the one retry, as AWS's SDKs take it for throttling; full jitter below it."""


def jittered(left_s: float) -> float:
    """Seconds to wait before a retry: any up to `RETRY_S`, and no more than a quarter of what is left."""
    return random.uniform(0.0, max(min(RETRY_S, left_s / 4), 0.0))  # noqa: S311 - no secret


@dataclass(frozen=True, slots=True)
class Means:
    """What all requests of a router share."""

    transport: Transport
    catalog: Catalog
    breaker: Breaker


class Delivery:
    """Run once; holds the attempts made so far."""

    def __init__(
        self,
        means: Means,
        request: ChatRequest,
        route: Route,
        *,
        timeout: float,
        max_cost_usd: float | Decimal | None = None,
    ) -> None:
        self._means = means
        self._request = request
        self._route = route
        self._deadline = time.monotonic() + timeout
        self._spending = Spending(means.catalog, max_cost_usd)
        self._attempts: list[Attempt] = []
        self._last_error: ExchangeError | None = None
        self._leaked = False
        """The last answer held a leaked call: a bare retry has cured most of these (docs/failures.md)."""
        self._asked = asked_of(self._request)

    async def run(self) -> Reply:
        """The first deliverable answer. Raises AllAttemptsFailed."""
        spared = self._targets([left.endpoint for left in self._route.left_out if left.parked])
        for target in spared:
            self._spare(target)
        targets = self._targets([candidate.endpoint for candidate in self._route.candidates])
        for position, target in enumerate(targets):
            reply = await self._turn(target, last=position == len(targets) - 1)
            if reply is not None:
                return reply
        reply = await self._once_more(targets) or await self._last_resort([*targets, *spared])
        if reply is not None:
            return reply
        raise AllAttemptsFailed(self._story(), tuple(self._attempts)) from self._last_error

    @property
    def _sent(self) -> int:
        """How many requests went out."""
        return sum(attempt.sent for attempt in self._attempts)

    def _targets(self, endpoints: Sequence[str]) -> list[Target]:
        """Those that there is a key for; the others are told as attempts that were never sent."""
        targets = []
        for endpoint in map(self._means.catalog.endpoint, endpoints):
            provider = self._means.catalog.provider_of(endpoint)
            try:
                targets.append(Target(endpoint, provider, provider.key()))
            except KeyMissing as error:
                self._skip(endpoint, "no_key", str(error))
        return targets

    async def _turn(self, target: Target, *, last: bool) -> Reply | None:
        """All that is tried at one endpoint."""
        reply = await self._try(target, last=last)
        if reply is None and self._leaked:
            reply = await self._try(target, last=last)
        return reply

    async def _once_more(self, targets: Sequence[Target]) -> Reply | None:
        """Where one endpoint alone could be asked, and failed in passing: a second request, after a moment.

        Not where a pause was asked for, nor where failures have parked it: so retries cannot multiply an outage.
        """
        error = self._last_error
        if self._sent != 1 or error is None or error.error_class != "provider" or not error.retryable:
            return None
        left = self._deadline - time.monotonic()
        # What takes as long again must still fit.
        if error.endpoint in self._means.breaker.parked() or left < max(error.elapsed_ms / 1000, 4 * _MIN_ATTEMPT_S):
            return None
        await asyncio.sleep(jittered(left))
        return await self._try(next(one for one in targets if one.endpoint.id == error.endpoint), last=True)

    async def _last_resort(self, targets: Sequence[Target]) -> Reply | None:
        """The parked endpoint whose parking ends first, rather than failing without an attempt."""
        if self._sent:
            return None
        parked = self._means.breaker.parked()
        passed_over = {attempt.endpoint for attempt in self._attempts if attempt.reason == "parked"}
        left = [target for target in targets if target.endpoint.id in passed_over]
        if not left:
            return None
        least = min(left, key=lambda one: parked[one.endpoint.id].seconds if one.endpoint.id in parked else 0.0)
        self._attempts = [attempt for attempt in self._attempts if attempt.endpoint != least.endpoint.id]
        return await self._try(least, last=True, anyway=True)

    async def _try(self, target: Target, *, last: bool, anyway: bool = False) -> Reply | None:
        endpoint, left = target.endpoint, self._deadline - time.monotonic()
        self._leaked = False
        # While another endpoint is left, half of the remaining time is kept for it.
        share = left if last else left / 2
        if share < _MIN_ATTEMPT_S:
            self._skip(endpoint, "timeout", f"less than {_MIN_ATTEMPT_S:g} s were left of the timeout")
            return None
        try:
            request = self._spending.affordable(endpoint, self._request)
        except RequestRejected as error:
            self._skip(endpoint, error.reason, error.detail)
            return None
        if request is None:
            self._skip(endpoint, "budget", "it could cost more than what is left of max_cost_usd")
            return None
        given = self._means.breaker.admit(endpoint.id, anyway=anyway)
        if isinstance(given, Parked):
            self._skip(endpoint, "parked", str(given))
            return None
        done = await self._exchanged(target, request, given, share)
        paid = self._spending.settled(done, endpoint, request)
        # Beside the event loop: other requests must not wait while a long hostile text is read.
        checked = await asyncio.to_thread(self._checked, done)
        self._leaked = checked is not None and checked.leaked
        return self._judged(done, paid, checked, last=last)

    async def _exchanged(self, target: Target, request: ChatRequest, given: Pass, share: float) -> Exchange:
        """One exchange; the breaker hears of it also where it is cancelled."""
        right, pause_s, why = None, None, ""
        try:
            done = await exchange(self._means.transport, target, request, timeout_s=share, number=self._sent + 1)
            right, pause_s = told_by(done.error, share)
            why = done.error.reason if done.error else ""
        finally:
            self._means.breaker.settle(given, right, why=why, pause_s=pause_s)
        self._last_error = done.error
        return done

    def _spare(self, target: Target) -> None:
        why = next(left.why for left in self._route.left_out if left.endpoint == target.endpoint.id)
        self._skip(target.endpoint, "parked", why)

    def _judged(self, done: Exchange, paid: Paid, checked: Checked | None, *, last: bool) -> Reply | None:
        answer = done.answer or Answer()
        if checked is None:
            error = done.error
            self._record(done, paid, "failed", error.reason if error else "", error.detail if error else "")
            return None
        # A message that lost one of its calls is worth another endpoint, while there is one.
        partial = last and checked.reason == "dropped_call" and bool(checked.tool_calls)
        if checked.outcome == "failed" and not partial:
            self._record(done, paid, "failed", checked.reason, checked.detail)
            return None
        self._record(done, paid, "ok" if checked.outcome == "ok" else "rescued", checked.reason, checked.detail)
        return self._reply(done, answer, checked)

    def _checked(self, done: Exchange) -> Checked | None:
        """The judgement of what came back; None where there is nothing to judge."""
        if done.answer is not None:
            return check(done.answer, self._request.tools, self._asked)
        if done.error is not None and done.error.failed_generation is not None:
            return check_generation(done.error.failed_generation, self._request.tools, self._asked)
        return None

    def _reply(self, done: Exchange, answer: Answer, checked: Checked) -> Reply:
        return Reply(
            text=checked.text,
            tool_calls=checked.tool_calls,
            endpoint=done.endpoint,
            rescued=checked.outcome != "ok",
            cost_usd=sum((attempt.cost_usd for attempt in self._attempts), Decimal(0)),
            attempts=tuple(self._attempts),
            finish_reason="tool_calls" if checked.tool_calls else answer.finish_reason,
            reasoning=answer.reasoning,
            usage=answer.usage,
            upstream=answer.upstream,
            notes=(*answer.notes, *(f"dropped {call}" for call in checked.dropped)),
        )

    def _record(
        self, done: Exchange, paid: Paid, outcome: Literal["ok", "rescued", "failed"], reason: str, detail: str
    ) -> None:
        error = done.error
        attempt = Attempt(
            endpoint=done.endpoint,
            outcome=outcome,
            reason=reason,
            error_class=error_class_of(reason),
            detail=detail,
            elapsed_ms=done.total_ms,
            cost_usd=paid[0],
            cost_origin=paid[1],
            usage=done.answer.usage if done.answer else None,
            sent=error is None or error.attempt > 0,
            phase=None if outcome != "failed" else error.phase if error else "verify",
            status=done.status,
            retryable=error is not None and error.retryable,
            retry_after_s=error.retry_after_s if error else None,
        )
        self._attempts.append(attempt)

    def _skip(self, endpoint: Endpoint, reason: str, detail: str) -> None:
        self._attempts.append(
            Attempt(
                endpoint.id, "failed", reason, error_class_of(reason), detail, 0.0, Decimal(0), "catalog", sent=False
            )
        )

    def _story(self) -> str:
        lines = [f"no endpoint of {len(self._route.candidates)} gave an answer that may be delivered"]
        lines += [f"  {a.endpoint}: {a.reason}{f' ({a.detail})' if a.detail else ''}" for a in self._attempts]
        return "\n".join(lines)
