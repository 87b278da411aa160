"""Selects the endpoints that may serve a request, in order, with the reason for each. Pure.

The order is by these groups, and by price within each group:
1. trusted endpoints: a flag is on for this user, and fresh evidence says that they work (the reference needs no flag)
2. the model's reference endpoint, if it is not trusted
3. endpoints whose flag is on for this user, but without fresh evidence

If tools are offered, endpoints without native tools (`tools:emulated`) come last in their group. An endpoint that no
flag controls is off, except the reference and the vision endpoint. Parked endpoints (circuit_breaker.py) are left out;
if all candidates are parked, the one whose parking ends first stays. The route lists everything that was left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from operator import itemgetter

from .catalog import Catalog, Endpoint, Price, Requirements
from .evidence.model import Evidence
from .flags.model import Decision, Flag, Flags
from .redaction import escaped
from .tokens import ASSUMED_REQUEST, DEFAULT_COMPLETION, request_text
from .types import Parked, Status, ToolChoice, Usage

_TRUSTED, _REFERENCE, _UNPROVEN = range(3)
_WIDTH = 80
_OUT: frozenset[Status] = frozenset({"broken", "down", "retired", "unsupported"})


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """The properties of a request that selection depends on.

    `endpoints` are the only endpoints that may be tried, in this order; None leaves both to selection. Without
    `fallback`, the route has one candidate at most.
    """

    model: str
    fallback_models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] | None = None
    fallback: bool = True
    tools: bool = False
    vision: bool = False
    tool_choice: ToolChoice | None = None
    user: str | None = None
    groups: tuple[str, ...] = ()
    prompt_tokens: int = 0
    max_tokens: int | None = None

    @property
    def priced_for(self) -> Usage:
        """The token counts for which the prices of endpoints are compared."""
        return Usage(self.prompt_tokens, self.max_tokens or DEFAULT_COMPLETION)


@dataclass(frozen=True, slots=True)
class RoutingState:
    """Input of selection beside the request: catalogue, flags, evidence, time and parked endpoints."""

    catalog: Catalog
    flags: Flags
    evidence: Evidence
    now: datetime
    parked: Mapping[str, Parked] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint that will be tried, and the reason for its place.

    `estimate_usd` is the estimated cost of the request, None if the price is unknown. `trusted` is defined in
    docs/terms.md. `rescue` is the limit that the endpoint's flag sets.
    """

    endpoint: str
    why: str
    status: Status
    estimate_usd: Decimal | None
    trusted: bool = False
    rescue: str = "all"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An endpoint that will not be tried, and why. `parked` is true if parking is the only reason."""

    endpoint: str
    why: str
    parked: bool = False
    rescue: str = "all"


@dataclass(frozen=True, slots=True)
class Route:
    """The ordered candidates for one request. `str()` explains each of them, and each endpoint that was left out."""

    model: str
    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...] = ()
    priced_for: Usage = ASSUMED_REQUEST
    """The token counts for which the candidates' costs are estimated."""

    @property
    def endpoint(self) -> str | None:
        """The first candidate's endpoint; None if nothing fits."""
        return self.candidates[0].endpoint if self.candidates else None

    def __str__(self) -> str:
        lines = [f"route for {self.model}, prices for {request_text(self.priced_for)}"]
        for place, candidate in enumerate(self.candidates, 1):
            price = "price unknown" if candidate.estimate_usd is None else f"about ${candidate.estimate_usd:.6f}"
            lines += _row(f"{place}.", candidate.endpoint, f"({candidate.status}, {price}): {candidate.why}")
        if not self.candidates:
            lines.append("  no endpoint fits")
        for left in self.left_out:
            lines += _row("-", f"{left.endpoint}:", left.why)
        return "\n".join(lines)


def _row(mark: str, endpoint: str, why: str) -> list[str]:
    """The lines of text about one endpoint, wrapped at 80 columns."""
    text = f"  {mark:<2} {endpoint} {why}"
    return textwrap.wrap(text, _WIDTH, subsequent_indent=" " * 5, break_long_words=False, break_on_hyphens=False)


def price_order(price: Decimal | None, endpoint: str, *, is_reference: bool) -> tuple[Decimal, bool, str]:
    """Sort key: the cheapest endpoint first, an unknown price last.

    At one price the reference endpoint comes after the others, which are sorted by id.
    """
    return Decimal("Infinity") if price is None else price, is_reference, endpoint


def choose(needs: RouteRequest, state: RoutingState) -> Route:
    """The route of one request. Raises UnknownName for a model or endpoint that the catalogue does not have."""
    if needs.endpoints is not None:
        route = _named_route(needs.endpoints, needs, state)
    else:
        route = _vision_route(needs, state) if needs.vision else _models_route(needs, state)
    return route if needs.fallback else _without_fallback(route)


def _without_fallback(route: Route) -> Route:
    """The route with its first candidate only. Parked endpoints are not tried as a last resort either."""
    out = [LeftOut(candidate.endpoint, "fallback=False") for candidate in route.candidates[1:]]
    left_out = (*out, *(replace(left, parked=False) for left in route.left_out))
    return replace(route, candidates=route.candidates[:1], left_out=left_out)


def _named_route(endpoints: tuple[str, ...], needs: RouteRequest, state: RoutingState) -> Route:
    """The route of the endpoints that the caller named, in the caller's order. Flags and evidence apply to them."""
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    for endpoint in map(state.catalog.endpoint, endpoints):
        if needs.vision and endpoint.id == state.catalog.vision_endpoint:
            placed = _vision_candidate(endpoint, needs, state)
        else:
            found = _Placing(needs, state).placed(_Placeable.of(endpoint, needs, state))
            placed = found if isinstance(found, LeftOut) else found[1]
        if isinstance(placed, LeftOut):
            left_out.append(placed)
        else:
            candidates.append(placed)
    candidates, parked = _without_parked(candidates, state.parked)
    return Route(needs.model, tuple(candidates), (*parked, *left_out), needs.priced_for)


def _models_route(needs: RouteRequest, state: RoutingState) -> Route:
    """The route over all endpoints of the model, then of the fallback models."""
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    placing = _Placing(needs, state)
    for model in dict.fromkeys((needs.model, *needs.fallback_models)):
        of_model, out = placing.of_model(model)
        candidates += of_model
        left_out += out
    candidates, parked = _without_parked(candidates, state.parked)
    return Route(needs.model, tuple(candidates), (*parked, *left_out), needs.priced_for)


def _without_parked(candidates: list[Candidate], parked: Mapping[str, Parked]) -> tuple[list[Candidate], list[LeftOut]]:
    """The candidates that are not parked, and those left out because they are parked.

    If all are parked, the one whose parking ends first remains a candidate.
    """
    free = [candidate for candidate in candidates if candidate.endpoint not in parked]
    if not free and candidates:
        least = min(candidates, key=lambda candidate: parked[candidate.endpoint].seconds)
        why = f"{least.why}; {parked[least.endpoint]}, but nothing else is left"
        free = [replace(least, why=why, trusted=False)]
    kept = {candidate.endpoint for candidate in free}
    out = [candidate for candidate in candidates if candidate.endpoint not in kept]
    return free, [LeftOut(one.endpoint, str(parked[one.endpoint]), parked=True, rescue=one.rescue) for one in out]


@dataclass(frozen=True, slots=True)
class _Placeable:
    """What is known of an endpoint before the user and the length of the request count.

    `out` says why it cannot serve the request of any user, and is None if it can. `emulated`: the request's tools
    would be described in the prompt, because the endpoint has no native tools.
    """

    endpoint: str
    out: LeftOut | None
    status: Status
    basis: str
    price: Price | None
    flag: Flag | None
    is_reference: bool
    emulated: bool

    @classmethod
    def of(cls, endpoint: Endpoint, needs: RouteRequest, state: RoutingState) -> _Placeable:
        """What is known of the endpoint for this request and state."""
        status, basis = _status(endpoint, state)
        flag = state.flags.flag_for(endpoint.id)
        is_reference = endpoint.id == state.catalog.model(endpoint.model).reference
        why = _unfit(endpoint, needs, state.now) or ("" if flag or is_reference else "no flag controls it")
        out, price = LeftOut(endpoint.id, why) if why else None, endpoint.price_at(state.now.date())
        emulated = needs.tools and "tools" not in endpoint.capabilities
        return cls(endpoint.id, out, status, basis, price, flag, is_reference, emulated)


_known: dict[tuple[object, ...], tuple[RoutingState, list[_Placeable]]] = {}
"""Results of `_placeable` by all that they depend on; the state keeps the objects alive whose ids are in the key."""


def _placeable(model: str, needs: RouteRequest, state: RoutingState) -> list[_Placeable]:
    """What is known of each endpoint of the model. It is computed again each second: texts show ages in seconds."""
    choice = needs.tool_choice if isinstance(needs.tool_choice, str) or needs.tool_choice is None else "named"
    objects = (id(state.catalog), id(state.flags), id(state.evidence))
    key = (*objects, int(state.now.timestamp()), model, needs.tools, needs.vision, choice)
    if key not in _known:
        if len(_known) >= 64:
            _known.clear()
        _known[key] = (state, [_Placeable.of(endpoint, needs, state) for endpoint in state.catalog.of_model(model)])
    return _known[key][1]


class _Placing:
    """Decides which endpoints are candidates for one request. Each flag and each price is evaluated only once."""

    def __init__(self, needs: RouteRequest, state: RoutingState) -> None:
        self._needs, self._state = needs, state
        self._decisions: dict[str, Decision] = {}
        self._costs: dict[int, Decimal] = {}

    def placed(self, known: _Placeable) -> tuple[int, Candidate] | LeftOut:
        """The endpoint's group and candidate, or why it is left out."""
        if known.out is not None:
            return known.out
        if known.is_reference:
            trusted = known.status not in _OUT and known.status != "unknown"
            why = f"the reference endpoint; {known.basis}"
            return (_TRUSTED if trusted else _REFERENCE), self._candidate(known, why, trusted=trusted)
        flag = known.flag
        assert flag is not None  # noqa: S101 - else it is left out
        if (decision := self._decisions.get(flag.name)) is None:
            decision = self._decisions[flag.name] = flag.evaluate(self._needs.user, self._needs.groups)
        if not decision.on:
            return LeftOut(known.endpoint, f"flag {flag.name}: {decision.why}")
        if known.status in _OUT:
            return LeftOut(known.endpoint, known.basis)
        trusted = known.status != "unknown" and (known.status != "needs_rescue" or flag.accept_rescued)
        told = "; tools described in the prompt" if known.emulated else ""
        why = f"flag {flag.name}: {decision.why}; {known.basis}{told}"
        return (_TRUSTED if trusted else _UNPROVEN), self._candidate(known, why, trusted=trusted)

    def of_model(self, model: str) -> tuple[list[Candidate], list[LeftOut]]:
        """The candidates among the endpoints of a model, in order, and the endpoints that are left out."""
        ranked: list[tuple[int, bool, tuple[Decimal, bool, str], Candidate]] = []
        left_out: list[LeftOut] = []
        for known in _placeable(model, self._needs, self._state):
            placed = self.placed(known)
            if isinstance(placed, LeftOut):
                left_out.append(placed)
                continue
            tier, candidate = placed
            # At the same price the reference endpoint comes last: a flag was turned on for the others.
            by_price = price_order(candidate.estimate_usd, known.endpoint, is_reference=known.is_reference)
            ranked.append((tier, known.emulated, by_price, candidate))
        ranked.sort(key=itemgetter(0, 1, 2))
        return [candidate for *_, candidate in ranked], left_out

    def _candidate(self, known: _Placeable, why: str, *, trusted: bool) -> Candidate:
        cost, price = None, known.price
        if price is not None and (cost := self._costs.get(id(price))) is None:
            cost = self._costs[id(price)] = price.cost(self._needs.priced_for)
        return Candidate(known.endpoint, why, known.status, cost, trusted, known.flag.rescue if known.flag else "all")


def _vision_route(needs: RouteRequest, state: RoutingState) -> Route:
    """The route of a request with an image: the vision endpoint, which needs no flag."""
    endpoint = state.catalog.endpoint(state.catalog.vision_endpoint)
    placed = _vision_candidate(endpoint, needs, state)
    if isinstance(placed, LeftOut):
        return Route(endpoint.model, (), (placed,), needs.priced_for)
    candidates, _ = _without_parked([placed], state.parked)
    return Route(endpoint.model, tuple(candidates), (), needs.priced_for)


def _vision_candidate(endpoint: Endpoint, needs: RouteRequest, state: RoutingState) -> Candidate | LeftOut:
    if unfit := _unfit(endpoint, needs, state.now):
        return LeftOut(endpoint.id, unfit)
    status, basis = _status(endpoint, state)
    return Candidate(
        endpoint.id, f"the request holds an image; {basis}", status, estimate_usd(endpoint, needs, state.now)
    )


def estimate_usd(endpoint: Endpoint, needs: RouteRequest, now: datetime) -> Decimal | None:
    """Estimated cost of the request at this endpoint, for comparison; None if no price is known."""
    price = endpoint.price_at(now.date())
    return price.cost(needs.priced_for) if price else None


def _unfit(endpoint: Endpoint, needs: RouteRequest, now: datetime) -> str:
    """Why the endpoint cannot serve the request, whatever flags and evidence say; empty if it can."""
    if endpoint.retired_at(now.date()):
        return f"retired on {endpoint.retired_on}"
    return endpoint.unmet(
        Requirements(tools="any" if needs.tools else "", vision=needs.vision, tool_choice=needs.tool_choice)
    )


def _status(endpoint: Endpoint, state: RoutingState) -> tuple[Status, str]:
    evidence, now = state.evidence, state.now
    if evidence.source in {"simulator", "replay"} or (evidence.source == "local" and state.flags.environment != "test"):
        return "unknown", f"the evidence comes from a {evidence.source} run"
    known = evidence.endpoints.get(endpoint.id)
    if known is None:
        why = evidence.refused.get(endpoint.id)
        return "unknown", f"its evidence is not used: {escaped(why[:200])}" if why else "never probed"
    status, age = known.status_at(now), _age(known.age(now).total_seconds())
    if status == "unknown":
        return status, f"last probed {age} ago, too long to be trusted"
    right = known.counts.passed + known.counts.rescued
    return status, f"{status}: {right} of {known.counts.judged} right, {age} ago"


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
