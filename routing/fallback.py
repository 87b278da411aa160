"""The attempt loop of one request: try the endpoints of its route in order, verify each answer, account for its cost.

All attempts share one deadline and one budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from .budgets.per_request import Paid, RequestBudget
from .catalog import Catalog, Endpoint
from .catalog.key_pool import REFUSALS, KeyPool
from .circuit_breaker import Breaker, Outcome, Permit
from .errors import AllAttemptsFailed, ExchangeError, InvalidRequest, KeyMissing, RequestRejected
from .evidence.model import Evidence
from .exchange import WRONG_UPSTREAM, Exchange, Target, exchange
from .reasons import reason_of
from .request_options import Options
from .selection import Route
from .time_budget import MIN_ATTEMPT_S, TimeBudget, jittered
from .transport import Transport
from .transport.event_loop import in_thread
from .types import Answer, Attempt, ChatRequest, Parked, Reply, strictest_rescue
from .verify import Checked, check, check_generation, expectations_of, may_hold_calls

if TYPE_CHECKING:
    from .captures.store import Captures

_POLL_S = 0.05
"""Seconds between two checks whether another request's attempt at a parked endpoint has ended."""
_READ_HERE = 1 << 14
"""An answer with more bytes than this is verified in a thread instead of on the event loop."""
_COMPARED_HERE = 8_000
"""A call is compared with a request of more prompt tokens than this in a thread, not on the event loop."""
_CALLERS_MISTAKES = frozenset({"bad_request", "image_refused", "tool_schema"})
"""Reasons of attempts that were not sent because the request itself is wrong."""


@dataclass(frozen=True, slots=True)
class SharedResources:
    """Objects that all requests of a router share."""

    transport: Transport
    catalog: Catalog
    breaker: Breaker
    evidence: Evidence = field(default_factory=Evidence)
    keys: KeyPool = field(default_factory=KeyPool)
    captures: Captures | None = None


class FallbackLoop:
    """Runs the attempts of one request. An instance can be run once."""

    def __init__(self, shared: SharedResources, request: ChatRequest, route: Route, options: Options) -> None:
        self._shared = shared
        self._request = request
        self._route = route
        self._options = options
        self._time = TimeBudget(options, shared.evidence, route.priced_for.prompt_tokens)
        self._budget = RequestBudget(shared.catalog, options.max_cost_usd)
        self._attempts: list[Attempt] = []
        self._last_error: ExchangeError | None = None
        self._leaked = False
        """Whether the last answer held a leaked call: one in its text that could not be rescued. A second try cures
        most of these (docs/failures.md)."""
        self._rescue = {one.endpoint: one.rescue for one in route.candidates}
        self._rescue |= {one.endpoint: one.rescue for one in route.left_out}
        self._expected = replace(expectations_of(self._request), refuse_repeated=options.refuse_repeated_calls)

    async def run(self) -> Reply:
        """Run the attempts, and return the first answer that can be delivered.

        Raises AllAttemptsFailed if there is none.
        """
        why = {left.endpoint: left.why for left in self._route.left_out if left.parked}
        held, parked = self._shared.breaker.parked(), self._targets(why)
        for target in parked:
            self._skip(target.endpoint, "parked", why[target.endpoint.id], held.get(target.endpoint.id))
        targets = self._targets([candidate.endpoint for candidate in self._route.candidates])
        left = list(targets)
        while left:
            target = left.pop(0)
            reply = await self._attempt_at(target, last=not left)
            if reply is not None:
                return reply
            if self._last_error is not None and self._last_error.reason == "content_filter":
                break  # a refusal is not taken from host to host until one of them does not refuse
            if self._unreachable:  # other hosts first
                host = target.provider.name
                left = sorted(left, key=lambda other: other.provider.name == host)
        else:
            may_ask = [*targets, *parked] if self._options.fallback else targets
            reply = await self._retry(targets) or await self._ask_parked(may_ask)
            if reply is not None:
                return reply
        wrong = not self._sent and any(attempt.reason in _CALLERS_MISTAKES for attempt in self._attempts)
        kind = InvalidRequest if wrong else AllAttemptsFailed
        raise kind(self._summary(), tuple(self._attempts)) from self._last_error

    @property
    def _sent(self) -> int:
        """The number of requests that were sent."""
        return sum(attempt.sent for attempt in self._attempts)

    def _targets(self, endpoints: Iterable[str]) -> list[Target]:
        """Targets for the endpoints whose provider has a key, or needs none.

        The other endpoints are recorded as attempts that were not sent.
        """
        targets = []
        for endpoint in map(self._shared.catalog.endpoint, endpoints):
            provider = self._shared.catalog.provider_of(endpoint)
            try:
                targets.append(Target(endpoint, provider, provider.key()))
            except KeyMissing as error:
                self._skip(endpoint, "no_key", str(error))
        return targets

    async def _attempt_at(self, target: Target, *, last: bool) -> Reply | None:
        """Try one endpoint; try it a second time if its answer held a leaked call."""
        reply = await self._try(target, last=last)
        if reply is None and self._leaked:
            reply = await self._try(target, last=last)
        return reply

    async def _retry(self, targets: Sequence[Target]) -> Reply | None:
        """Retry after a short pause if only one request was sent and it failed temporarily.

        There is no retry if the host asked for a pause, or if failures have parked the endpoint: retries must not
        worsen an outage. None if there was no retry, or no answer that can be delivered.
        """
        error = self._last_error
        if self._sent != 1 or error is None or error.error_class != "provider" or not error.retryable:
            return None
        if error.retry_after_s or error.endpoint in self._shared.breaker.parked():
            return None
        left = self._time.left_s
        # A second request may take as long as the first and must fit.
        if left < max(error.elapsed_ms / 1000, 4 * MIN_ATTEMPT_S):
            return None
        await self._shared.transport.pause(jittered(left))
        return await self._try(next(one for one in targets if one.endpoint.id == error.endpoint), last=True)

    async def _ask_parked(self, targets: Sequence[Target]) -> Reply | None:
        """Ask the parked endpoint whose parking ends first; if its host asked for a short pause, after that pause.

        If no request was sent and there is no short pause, an endpoint is asked immediately. While another request asks
        the endpoint, this one waits for the outcome, and gives up if the endpoint is still parked then.
        """
        left = [target for target in targets if self._may_be_asked_again(target)]
        force = not self._sent
        while True:
            parked = self._shared.breaker.parked()
            held_by = [(parked.get(target.endpoint.id), target) for target in left]
            may = [(held, one) for held, one in held_by if force or held is None or self._time.allows_waiting(held)]
            if not may:
                return None
            held, target = min(may, key=lambda pair: pair[0].seconds if pair[0] else 0.0)
            if held is not None and self._time.allows_waiting(held):
                await self._shared.transport.pause(max(held.seconds, _POLL_S))
                force = False
                continue
            passed_over, sent = self._attempts, self._sent
            self._attempts = [row for row in passed_over if row.sent or row.endpoint != target.endpoint.id]
            reply = await self._try(target, last=True, force=force)
            if self._sent > sent or self._attempts[-1].reason != "parked":
                return reply
            self._attempts = passed_over  # another request was faster

    def _may_be_asked_again(self, target: Target) -> bool:
        """Whether the endpoint was passed over because it is parked, or asked for a pause with each of its keys."""
        here = [attempt for attempt in self._attempts if attempt.endpoint == target.endpoint.id]
        return bool(here) and all(one.reason == "parked" or (one.retryable and one.retry_after_s) for one in here)

    async def _try(self, target: Target, *, last: bool, force: bool = False) -> Reply | None:
        """Try one endpoint. If the host refuses a key, try again with the provider's next key."""
        try:
            keys = self._shared.keys.of(target.provider)
        except KeyMissing as error:  # it was there when the request began
            self._skip(target.endpoint, "no_key", str(error))
            return None
        for position, key in enumerate(keys, 1):
            others = position < len(keys)
            reply = await self._try_key(
                Target(target.endpoint, target.provider, key), last=last, force=force, others=others
            )
            newest = self._attempts[-1]
            if len(keys) > 1 and newest.sent and newest.outcome == "failed":
                self._attempts[-1] = replace(newest, detail=f"key {position} of {len(keys)}: {newest.detail}")
            if newest.reason not in REFUSALS or not newest.sent:
                return reply
        return None

    async def _try_key(self, target: Target, *, last: bool, force: bool, others: bool) -> Reply | None:
        """Try one endpoint with one key. `others`: the provider has another key that was not refused lately."""
        endpoint = target.endpoint
        self._leaked = False
        timeout_s = self._time.attempt_s(stream=self._request.stream, last=last)
        if timeout_s < MIN_ATTEMPT_S:
            self._skip(endpoint, "timeout", f"less than {MIN_ATTEMPT_S:g} s were left of the timeout")
            return None
        try:
            request = self._budget.affordable(endpoint, self._request)
        except RequestRejected as error:
            self._skip(endpoint, error.reason, error.detail)
            return None
        if request is None:
            self._skip(endpoint, "budget", "it could cost more than what is left of max_cost_usd")
            return None
        permit = self._shared.breaker.admit(endpoint.id, force=force)
        if isinstance(permit, Parked):
            self._skip(endpoint, "parked", str(permit), permit)
            return None
        done = await self._exchanged(target, request, permit, timeout_s, last=last, others=others)
        paid = self._budget.settled(done, endpoint, request)
        # A long text is read in a thread, so that other requests do not wait: it may be hostile.
        long = len(done.body) > _READ_HERE or self._compares(done.answer)
        checked = await in_thread(lambda: self._checked(done)) if long else self._checked(done)
        self._leaked = checked is not None and checked.leaked
        return self._judged(done, paid, checked, last=last)

    async def _exchanged(
        self, target: Target, request: ChatRequest, permit: Permit, timeout_s: float, *, last: bool, others: bool
    ) -> Exchange:
        """Make one exchange and report its outcome to the circuit breaker, even if the exchange is cancelled."""
        endpoint, outcome = target.endpoint, Outcome()
        self._last_error = None
        try:
            number, limits = self._sent + 1, self._time.stream_limits(endpoint.id, last=last)
            done = await exchange(
                self._shared.transport, target, request, timeout_s=timeout_s, limits=limits, number=number
            )
            self._last_error = done.error
            self._shared.keys.settle(target.key, done.error)
            misrouted = done.answer is not None and WRONG_UPSTREAM in done.answer.notes
            if not misrouted and (done.error is None or done.error.reason not in REFUSALS or not others):
                usual_s = self._time.usual_s(endpoint.id, stream=request.stream) if done.error else 0.0
                outcome = Outcome.of(done.error, silent_s=done.silent_ms / 1000, usual_s=usual_s)
        finally:
            known = self._shared.catalog.endpoints.values() if self._unreachable else ()
            also = [one.id for one in known if one.provider == endpoint.provider and one.id != endpoint.id]
            self._shared.breaker.settle(permit, outcome, also=also)
        return done

    @property
    def _unreachable(self) -> bool:
        """Whether the last attempt could not connect to its host."""
        error = self._last_error
        return error is not None and error.error_class == "provider" and error.phase == "connect"

    def _judged(self, done: Exchange, paid: Paid, checked: Checked | None, *, last: bool) -> Reply | None:
        answer = done.answer or Answer()
        if checked is None:
            error = done.error
            self._record(done, paid, "failed", error.reason if error else "", error.detail if error else "")
            return None
        # An answer that lost one of its calls is delivered only if no other endpoint is left.
        partial = last and checked.reason == "dropped_call" and bool(checked.tool_calls)
        if checked.outcome == "failed" and not partial:
            self._record(done, paid, "failed", checked.reason, checked.detail)
            return None
        self._record(done, paid, "ok" if checked.outcome == "ok" else "rescued", checked.reason, checked.detail)
        return self._reply(done, answer, checked)

    def _compares(self, answer: Answer | None) -> bool:
        """Whether a call in the answer's text would be compared with a long request."""
        prompt = self._route.priced_for.prompt_tokens
        return prompt > _COMPARED_HERE and answer is not None and may_hold_calls(answer, self._request.tools)

    def _checked(self, done: Exchange) -> Checked | None:
        """The result of verifying the answer, or the call that the provider refused.

        None if the exchange has neither.
        """
        mode = strictest_rescue(self._options.rescue or "all", self._rescue.get(done.endpoint, "all"))
        expected = replace(self._expected, rescue=mode)
        if done.answer is not None:
            return check(done.answer, self._request.tools, expected)
        if done.error is not None and done.error.failed_generation is not None:
            return check_generation(done.error.failed_generation, self._request.tools, expected)
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
            notes=(*answer.notes, *checked.notes, *(f"dropped {call}" for call in checked.dropped)),
        )

    def _record(
        self, done: Exchange, paid: Paid, outcome: Literal["ok", "rescued", "failed"], reason: str, detail: str
    ) -> None:
        error = done.error
        if outcome == "failed" and self._shared.captures is not None:
            provider = self._shared.catalog.provider_of(self._shared.catalog.endpoint(done.endpoint))
            self._shared.captures.keep(done, provider, tuple(self._request.tools), reason)
        attempt = Attempt(
            endpoint=done.endpoint,
            outcome=outcome,
            reason=reason,
            error_class=error.error_class if error and error.reason == reason else reason_of(reason).error_class,
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

    def _skip(self, endpoint: Endpoint, reason: str, detail: str, held: Parked | None = None) -> None:
        kind = reason_of(reason).error_class
        attempt = Attempt(endpoint.id, "failed", reason, kind, detail, 0.0, Decimal(0), "catalog", sent=False)
        self._attempts.append(replace(attempt, retry_after_s=held.seconds or None if held else None))

    def _summary(self) -> str:
        lines = [f"no candidate gave an answer that can be delivered (candidates: {len(self._route.candidates)})"]
        lines += [f"  {a.endpoint}: {a.reason}{f' ({a.detail})' if a.detail else ''}" for a in self._attempts]
        return "\n".join(lines)
