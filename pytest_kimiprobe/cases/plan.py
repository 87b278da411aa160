"""Plans a run: the probes of each case and endpoint, and an estimate of their cost. Pure."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal, TypeAlias

from routing.catalog import Catalog, Endpoint, Requirements
from routing.tokens import prompt_bound
from routing.types import ChatRequest, Mode, Usage

from ..verdicts import ProbeMode, Verdict
from .model import Case

Load: TypeAlias = Literal["mixed", "alone", "crowd"]
"""Other probes in flight at the same endpoint: any number (`mixed`), none (`alone`), a fixed number (`crowd`)."""
MODES: tuple[Mode, ...] = ("plain", "stream")
_TYPICAL_COMPLETION = 150
"""Completion tokens assumed for the cost estimate."""


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """One probe: case x endpoint x mode x repeat, under a load. Becomes one pytest item."""

    case: Case
    endpoint: Endpoint
    mode: Mode
    repeat: int
    load: Load = "mixed"

    @property
    def name(self) -> str:
        """The item's name. It can be pasted into a command line, and into `-k`, which accepts `+`."""
        return f"{self.case.name}[{self.variant(self.mode)}]"

    def variant(self, mode: ProbeMode) -> str:
        """The part of the name in brackets: endpoint, mode, repeat, and `crowd` for that load."""
        crowded = "-crowd" if self.load == "crowd" else ""
        return f"{self.endpoint.id}-{mode}-{self.repeat}{crowded}"

    @property
    def request(self) -> ChatRequest:
        """The request to send."""
        return self.case.request(self.mode)


@dataclass(frozen=True, slots=True)
class Unsent:
    """Why a probe is not sent: a reason code and a sentence."""

    reason: str
    detail: str

    @property
    def verdict(self) -> Verdict:
        """`unsupported` if the endpoint lacks the capability, otherwise `not_run`."""
        return "unsupported" if self.reason == "no_capability" else "not_run"


@dataclass(frozen=True, slots=True)
class Planned:
    """A planned probe. `unsent` says why it will not be sent; None if it will."""

    plan: ProbePlan
    unsent: Unsent | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Cost of a run in USD: `about` assumes typical answers, `most` the longest allowed answers."""

    about: Decimal
    most: Decimal


class UnknownEndpoint(ValueError):
    """No endpoint matches a glob; the message lists the known endpoints."""


def select(catalog: Catalog, model: str, globs: Sequence[str], today: date) -> list[Endpoint]:
    """Endpoints to probe: those of `model` that match any glob, or without globs all of `model` that are not retired.

    A glob that matches only endpoints of other models selects those. Raises UnknownEndpoint for a glob that matches
    nothing.
    """
    if not globs:
        return [endpoint for endpoint in catalog.of_model(model) if not endpoint.retired_at(today)]
    chosen: dict[str, Endpoint] = {}
    for glob in globs:
        of_model = _matching(catalog.of_model(model), glob)
        found = of_model or _matching(catalog.endpoints.values(), glob)
        if not found:
            raise UnknownEndpoint(f"no endpoint matches {glob!r}; available:\n  " + "\n  ".join(catalog.endpoints))
        chosen |= {endpoint.id: endpoint for endpoint in found}
    return list(chosen.values())


def _matching(endpoints: Iterable[Endpoint], glob: str) -> list[Endpoint]:
    return [endpoint for endpoint in endpoints if fnmatch.fnmatchcase(endpoint.id, glob)]


def expand(
    case: Case, endpoints: Sequence[Endpoint], repeats: int, loads: Sequence[Load] = ("mixed",)
) -> Iterator[ProbePlan]:
    """All probes of one case, endpoint by endpoint."""
    for endpoint in endpoints:
        for mode in MODES:
            for repeat in range(1, repeats + 1):
                for load in loads:
                    yield ProbePlan(case, endpoint, mode, repeat, load)


def cannot(case: Case, endpoint: Endpoint, mode: Mode) -> str:
    """Reason not to send the case to the endpoint: an unmet need, or an unusable schema. Empty if it can be sent."""
    needs = Requirements(
        tools="native" if case.tools and not case.emulate_tools else "",
        stream=mode == "stream",
        vision="vision" in case.need,
        native_ids="native_ids" in case.need,
        dynamic_tools=case.dynamic_tools,
        tool_choice=case.tool_choice,
        thinking=True if "thinking" in case.need else False if "thinking_off" in case.need else None,
    )
    if unmet := endpoint.unmet(needs):
        return f"it {unmet}"
    if case.expect.prompt_tokens is not None and endpoint.family != "kimi":
        return "its tokens are not those of Kimi models"
    counted = case.expect.usage or case.expect.prompt_tokens is not None or "length" in case.expect.finish_reason
    if mode == "stream" and "bare_streams" in endpoint.quirks and counted:
        return "its streams report neither tokens nor a cut"
    return f"the judge cannot use this schema: {case.unusable}" if case.unusable else ""


def cost_bound(plan: ProbePlan, catalog: Catalog, day: date) -> Decimal:
    """Upper bound of the probe's cost in USD; an unknown price counts as the dearest of the catalogue."""
    price = plan.endpoint.price_at(day) or catalog.dearest_at(day)
    return price.cost(Usage(prompt_bound([*plan.request.messages, *plan.case.tools]), plan.case.max_tokens))


def estimate(plans: Sequence[ProbePlan], catalog: Catalog, day: date) -> Estimate:
    """Estimate the cost of a run before anything is sent."""
    dearest = catalog.dearest_at(day)
    about = most = Decimal(0)
    for plan in plans:
        price = plan.endpoint.price_at(day) or dearest
        parts = [dict(part) for part in (*plan.case.request("plain").messages, *plan.case.tools)]
        prompt_bytes = len(json.dumps(parts, ensure_ascii=False).encode())
        about += price.cost(Usage(prompt_bytes // 4 + 1, _TYPICAL_COMPLETION))
        most += cost_bound(plan, catalog, day)
    return Estimate(about, most)
