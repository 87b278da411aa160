"""Which endpoints may serve a request, in which order, and why: pure, no I/O.

Order: endpoints that are trusted (a flag lets this user in, fresh evidence says they work) by price; then the model's
reference endpoint; then endpoints whose flag lets the user in but which nothing fresh vouches for, by price. Within each
of these, endpoints that have no tools of their own (`tools:emulated`) come last where tools are offered. An
endpoint that no flag controls is off, except the reference and the vision endpoint. What is parked (breaker.py) is left
out; where that would leave nothing, the one whose parking ends first stays. Everything left out is told.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from .catalog import Catalog, Endpoint
from .evidence.model import Evidence
from .flags.source import Flags
from .tokens import ASSUMED_REQUEST, DEFAULT_COMPLETION, request_text
from .types import Parked, Status, ToolChoice, Usage

_TRUSTED, _REFERENCE, _UNPROVEN = range(3)
_WIDTH = 80
_OUT: frozenset[Status] = frozenset({"broken", "down", "retired", "unsupported"})


@dataclass(frozen=True, slots=True)
class Needs:
    """What of a request decides where it may go."""

    model: str
    fallback_models: tuple[str, ...] = ()
    tools: bool = False
    vision: bool = False
    tool_choice: ToolChoice | None = None
    user: str | None = None
    groups: tuple[str, ...] = ()
    prompt_tokens: int = 0
    max_tokens: int | None = None

    @property
    def priced_for(self) -> Usage:
        """The tokens that endpoints' prices are compared for."""
        return Usage(self.prompt_tokens, self.max_tokens or DEFAULT_COMPLETION)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at the moment of choosing."""

    catalog: Catalog
    flags: Flags
    evidence: Evidence
    now: datetime
    parked: Mapping[str, Parked] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint that will be tried, and why it stands where it does. `estimate_usd` None: price unknown."""

    endpoint: str
    why: str
    status: Status
    estimate_usd: Decimal | None
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An endpoint that will not be tried, and why. `parked`: it would stand in the route but for that."""

    endpoint: str
    why: str
    parked: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """The ordered candidates for one request; `str()` explains each of them and each that was left out."""

    model: str
    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...] = ()
    priced_for: Usage = ASSUMED_REQUEST
    """The tokens that the candidates' prices are for."""

    @property
    def endpoint(self) -> str | None:
        """The first candidate's endpoint; None where nothing fits."""
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
    """One endpoint on one line, or on as many as 80 columns ask for."""
    text = f"  {mark:<2} {endpoint} {why}"
    return textwrap.wrap(text, _WIDTH, subsequent_indent=" " * 5, break_long_words=False, break_on_hyphens=False)


def price_order(price: Decimal | None, endpoint: str, *, is_reference: bool) -> tuple[Decimal, bool, str]:
    """Sort key: the cheapest first, an unknown price last; at one price the reference endpoint after the others."""
    return Decimal("Infinity") if price is None else price, is_reference, endpoint


def choose(needs: Needs, facts: Facts) -> Route:
    """The route of one request. Raises CatalogError for an unknown model."""
    if needs.vision:
        return _vision_route(needs, facts)
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    for model in dict.fromkeys((needs.model, *needs.fallback_models)):
        of_model, out = _of_model(model, needs, facts)
        candidates += of_model
        left_out += out
    candidates, parked = _spared(candidates, facts.parked)
    return Route(needs.model, tuple(candidates), (*parked, *left_out), needs.priced_for)


def _spared(candidates: list[Candidate], parked: Mapping[str, Parked]) -> tuple[list[Candidate], list[LeftOut]]:
    """Those that are not parked, and the others; where all are, the least bad is tried rather than nothing."""
    free = [candidate for candidate in candidates if candidate.endpoint not in parked]
    if not free and candidates:
        least = min(candidates, key=lambda candidate: parked[candidate.endpoint].seconds)
        why = f"{least.why}; {parked[least.endpoint]}, but nothing else is left"
        free = [replace(least, why=why, trusted=False)]
    kept = {candidate.endpoint for candidate in free}
    out = [candidate.endpoint for candidate in candidates if candidate.endpoint not in kept]
    return free, [LeftOut(endpoint, str(parked[endpoint]), parked=True) for endpoint in out]


def _of_model(model: str, needs: Needs, facts: Facts) -> tuple[list[Candidate], list[LeftOut]]:
    ranked: list[tuple[tuple[int, bool, tuple[Decimal, bool, str]], Candidate]] = []
    left_out: list[LeftOut] = []
    reference = facts.catalog.model(model).reference
    for endpoint in facts.catalog.of_model(model):
        placed = _placed(endpoint, needs, facts, is_reference=endpoint.id == reference)
        if isinstance(placed, LeftOut):
            left_out.append(placed)
            continue
        tier, candidate = placed
        by_price = price_order(candidate.estimate_usd, endpoint.id, is_reference=endpoint.id == reference)
        ranked.append(((tier, _emulated(endpoint, needs), by_price), candidate))
    return [candidate for _, candidate in sorted(ranked, key=lambda pair: pair[0])], left_out


def _placed(endpoint: Endpoint, needs: Needs, facts: Facts, *, is_reference: bool) -> tuple[int, Candidate] | LeftOut:
    if unfit := _unfit(endpoint, needs, facts.now):
        return LeftOut(endpoint.id, unfit)
    status, words = _standing(endpoint, facts)
    estimate = estimate_usd(endpoint, needs, facts.now)
    if is_reference:
        trusted = status not in _OUT and status != "unknown"
        why = f"the reference endpoint; {words}"
        return (_TRUSTED if trusted else _REFERENCE), Candidate(endpoint.id, why, status, estimate, trusted)
    flag = facts.flags.flag_for(endpoint.id)
    if flag is None:
        return LeftOut(endpoint.id, "no flag controls it")
    decision = facts.flags.evaluate(flag.name, needs.user, needs.groups)
    if not decision.on:
        return LeftOut(endpoint.id, f"flag {flag.name}: {decision.why}")
    if status in _OUT:
        return LeftOut(endpoint.id, words)
    trusted = status != "unknown" and (status != "needs_rescue" or flag.accept_rescued)
    why = f"flag {flag.name}: {decision.why}; {words}"
    if _emulated(endpoint, needs):
        why += "; tools described in the prompt"
    return (_TRUSTED if trusted else _UNPROVEN), Candidate(endpoint.id, why, status, estimate, trusted)


def _vision_route(needs: Needs, facts: Facts) -> Route:
    """A request with an image goes to the vision endpoint; it needs no flag."""
    endpoint = facts.catalog.endpoint(facts.catalog.vision_endpoint)
    if unfit := _unfit(endpoint, needs, facts.now):
        return Route(endpoint.model, (), (LeftOut(endpoint.id, unfit),), needs.priced_for)
    status, words = _standing(endpoint, facts)
    why = f"the request holds an image; {words}"
    estimate = estimate_usd(endpoint, needs, facts.now)
    candidates, _ = _spared([Candidate(endpoint.id, why, status, estimate)], facts.parked)
    return Route(endpoint.model, tuple(candidates), (), needs.priced_for)


def estimate_usd(endpoint: Endpoint, needs: Needs, now: datetime) -> Decimal | None:
    """About what the request costs there, for comparing; None where no price is known."""
    price = endpoint.price_at(now.date())
    return price.cost(needs.priced_for) if price else None


def _unfit(endpoint: Endpoint, needs: Needs, now: datetime) -> str | None:
    if endpoint.retired_at(now.date()):
        return f"retired on {endpoint.retired_on}"
    if needs.tools and not endpoint.capabilities & {"tools", "tools:emulated"}:
        return "no tools"
    if needs.vision and "vision" not in endpoint.capabilities:
        return "takes no images"
    choice = needs.tool_choice
    form = choice if isinstance(choice, str) else "named" if choice is not None else None
    if form and form not in endpoint.tool_choices:
        return f"does not accept tool_choice {form}"
    return None


def _emulated(endpoint: Endpoint, needs: Needs) -> bool:
    """Whether tools would be described in its prompt: after native ones of the same standing, whatever the price."""
    return needs.tools and "tools" not in endpoint.capabilities


def _standing(endpoint: Endpoint, facts: Facts) -> tuple[Status, str]:
    evidence, now = facts.evidence, facts.now
    if evidence.source in {"simulator", "replay"} or (evidence.source == "local" and facts.flags.environment != "test"):
        return "unknown", f"the evidence comes from a {evidence.source} run"
    known = evidence.endpoints.get(endpoint.id)
    if known is None:
        return "unknown", "never probed"
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
