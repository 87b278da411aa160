"""Compares evidence with flags, and proposes a change if they disagree: one pure function, `decide`.

An endpoint is *good* if at least 95 % of at least 60 judged calls in the last 7 days were right. The calls must come
from at least two cases, if cases were counted. An endpoint is *bad* if fewer than 80 % of its judged calls were right,
in the last 7 days or in its newest run. For this, at least 10 judged calls are needed. It is also bad if it is retired,
or down in the newest run.

A flag that is off is turned on if an endpoint that it controls is good. It starts at the first percentage of its
ladder. A flag that is on is turned off if all its endpoints that were probed in the last 7 days are bad. One endpoint
that works is enough to keep a flag on, because the router never sends traffic to a bad endpoint.

Without fresh evidence nothing changes. The newest run counts only if it was complete. Errors of the account or of the
request do not count against an endpoint. If more than half of the newest run's endpoints are down, none of them counts
as down: the likely cause is our network or key. A pinned flag is never changed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Literal, TypeAlias

from routing.catalog import Catalog
from routing.evidence.model import FRESH_FOR, Counts, EndpointEvidence, Evidence
from routing.flags.model import Flag, Flags

from ..results.store import evidence_row
from ..stats.aggregates import added
from ..stats.status import DEGRADED_AT, LEAST_JUDGED, WORKS_AT

ENABLE_RATE = WORKS_AT
ENABLE_JUDGED = 60
ENABLE_CASES = 2
DISABLE_RATE = DEGRADED_AT
DISABLE_JUDGED = LEAST_JUDGED
INFRASTRUCTURE_SHARE = 0.5

Kind: TypeAlias = Literal["enable", "disable", "agree", "no_evidence", "pinned"]
Rating: TypeAlias = Literal["good", "bad", "between", "unknown"]


@dataclass(frozen=True, slots=True)
class FlagSetting:
    """On/off state and percentage of a flag, as they are now or as a proposal would set them."""

    enabled: bool
    percent: int

    @property
    def share(self) -> int:
        """Percentage of users that the flag is on for: `percent` if the flag is enabled, otherwise 0."""
        return self.percent if self.enabled else 0


@dataclass(frozen=True, slots=True)
class RatedEndpoint:
    """One endpoint that a flag controls: its evidence, its rating, and in `why` the reason for the rating."""

    evidence: EndpointEvidence
    rating: Rating
    why: str
    share: float = 0.0
    """Share (0..1) of right answers among those judged in 7 days; rescued ones are right if the flag accepts them."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Decision on one flag. `before` and `after` are equal unless `kind` is enable or disable.

    `verdict` gives the reason. `endpoints` are the flag's endpoints, best first. `endpoint` is the first of them, which
    the decision rests on. `counts` are its counts of the last 7 days; `right` is how many of its calls the flag counts
    as right.

    `reasons` counts the reason codes of all these endpoints. `run` is the newest run among their evidence, and `at` is
    when it probed. `evidence` is the SHA-256 of the evidence used.
    """

    flag: str
    kind: Kind
    before: FlagSetting
    after: FlagSetting
    verdict: str
    endpoints: tuple[RatedEndpoint, ...] = ()
    endpoint: str = ""
    counts: Counts = field(default_factory=Counts)
    right: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    run: str = ""
    at: datetime | None = None
    evidence: str = ""

    @property
    def changes(self) -> bool:
        """Whether the proposal changes the flag."""
        return self.kind in {"enable", "disable"}


def decide(flags: Flags, evidence: Evidence, catalog: Catalog, now: datetime) -> list[Proposal]:
    """Compare the evidence with each flag; return one proposal for each flag, in the order of the flags file. Pure."""
    refusal = _no_evidence(flags, evidence)
    outage = outage_of(row for row in evidence.endpoints.values() if row.run == evidence.run)
    return [
        _proposal(_FlagContext(flag, flags, evidence, catalog, now, outage), refusal) for flag in flags.flags.values()
    ]


@dataclass(frozen=True, slots=True)
class _FlagContext:
    """One flag, and all inputs of the decision on it. `outage` is the result of `outage_of` for the newest run."""

    flag: Flag
    flags: Flags
    evidence: Evidence
    catalog: Catalog
    now: datetime
    outage: str

    @property
    def before(self) -> FlagSetting:
        return FlagSetting(self.flag.enabled, self.flag.percent)

    def controlled(self) -> tuple[list[str], list[str]]:
        """Ids of the endpoints that this flag controls, in two lists: those still served, and those retired."""
        mine = [endpoint for endpoint in self.catalog.endpoints.values() if self._controls(endpoint.id)]
        today = self.now.date()
        return [e.id for e in mine if not e.retired_at(today)], [e.id for e in mine if e.retired_at(today)]

    def _controls(self, endpoint: str) -> bool:
        flag = self.flags.flag_for(endpoint)
        return flag is not None and flag.name == self.flag.name

    def rated(self, endpoints: Iterable[str]) -> list[RatedEndpoint]:
        known = [self.evidence.endpoints[endpoint] for endpoint in endpoints if endpoint in self.evidence.endpoints]
        return [_rated(row, self) for row in known]


def _proposal(context: _FlagContext, refusal: str) -> Proposal:
    flag = context.flag
    if flag.pin:
        return _proposed(context, "pinned", f'pinned "{flag.pin}" by a human: not touched')
    served, retired = context.controlled()
    if retired and not served:
        verdict = f"every endpoint that it controls is retired: {', '.join(retired)}"
        return _proposed(context, "disable" if flag.enabled else "agree", verdict)
    if refusal:
        return _proposed(context, "no_evidence", f"no evidence, no change: {refusal}")
    rated = tuple(sorted(context.rated(served), key=_merit, reverse=True))
    known = tuple(row for row in rated if row.rating != "unknown")
    if not known:
        whys = _whys(rated) or "no endpoint that it controls was probed"
        return _proposed(context, "no_evidence", f"no evidence, no change: {whys}", rated)
    best = known[0]
    if best.rating == "good" and not context.before.share:
        return _proposed(context, "enable", best.why, rated)
    if best.rating == "bad" and flag.enabled:
        why = best.why if len(known) == 1 else f"none of {len(known)} works; at best, {best.why}"
        return _proposed(context, "disable", why, rated)
    return _proposed(context, "agree", best.why, rated)


def _whys(rated: Sequence[RatedEndpoint]) -> str:
    """Reasons of the ratings as one text. Each reason is given once, after the names of the endpoints that have it."""
    endpoints_of: dict[str, list[str]] = {}
    for row in rated:
        endpoint = row.evidence.endpoint
        endpoints_of.setdefault(row.why.removeprefix(f"{endpoint} "), []).append(endpoint)
    return "; ".join(f"{', '.join(endpoints)} {why}" for why, endpoints in endpoints_of.items())


def _proposed(context: _FlagContext, kind: Kind, verdict: str, rated: tuple[RatedEndpoint, ...] = ()) -> Proposal:
    after = context.before
    if kind == "enable":
        after = FlagSetting(enabled=True, percent=context.flag.ladder[0])
    elif kind == "disable":
        after = FlagSetting(enabled=False, percent=0)
    rows = [row.evidence for row in rated]
    newest = max(rows, key=lambda row: row.probed_at, default=None)
    return Proposal(
        flag=context.flag.name,
        kind=kind,
        before=context.before,
        after=after,
        verdict=verdict,
        endpoints=rated,
        endpoint=rows[0].endpoint if rows else "",
        counts=rows[0].window if rows else Counts(),
        right=_right(rows[0].window, context.flag) if rows else 0,
        reasons=added(row.reasons for row in rows),
        run=newest.run if newest else "",
        at=newest.probed_at if newest else None,
        evidence=_digest(rows, context.evidence.source),
    )


def _rated(row: EndpointEvidence, context: _FlagContext) -> RatedEndpoint:
    """Rate one endpoint: unknown without usable evidence, bad if retired or down, otherwise by the measured shares."""
    rating, why = _without_evidence(row, context) or _gone(row, context) or _measured(row, context)
    return RatedEndpoint(row, rating, f"{row.endpoint} {why}", _share(row.window, context) or 0.0)


def _without_evidence(row: EndpointEvidence, context: _FlagContext) -> tuple[Rating, str] | None:
    if row.probed_at > context.now and not row.is_fresh(context.now):
        return "unknown", f"has evidence of the future ({row.probed_at:%Y-%m-%d}): a clock is wrong"
    if row.age(context.now) > FRESH_FOR:
        return "unknown", f"was last probed on {row.probed_at:%Y-%m-%d}"
    return ("unknown", "gave nothing to judge in its newest run") if row.status == "unknown" else None


def _gone(row: EndpointEvidence, context: _FlagContext) -> tuple[Rating, str] | None:
    if not row.complete:
        return None
    if row.status == "retired":
        return "bad", "is gone: the provider says that it does not serve this model"
    if row.status == "down" and row.run == context.evidence.run and not context.outage:
        return "bad", f"is down: none of {row.counts.errors} probes was answered"
    return None


def _measured(row: EndpointEvidence, context: _FlagContext) -> tuple[Rating, str]:
    days = f"in the last {row.window_days} days"
    newest = row.counts if row.complete else Counts()
    for counts, when in ((row.window, days), (newest, "in the newest run")):
        share = _share(counts, context)
        if share is not None and counts.judged >= DISABLE_JUDGED and share < DISABLE_RATE:
            return "bad", f"{_pass_text(counts, when, context)}; that is below {percent_text(DISABLE_RATE)}"
    if row.status == "down":
        return "unknown", f"was not reached, and {context.outage or 'the newest run left it out'}"
    week = _share(row.window, context)
    if week is None:
        return "unknown", f"gave nothing to judge {days}"
    text = _pass_text(row.window, days, context)
    if 0 < row.cases < ENABLE_CASES:
        return "between", f"{text}, all of one case; at least {ENABLE_CASES} cases are asked for"
    if week >= ENABLE_RATE and row.window.judged >= ENABLE_JUDGED:
        return "good", text
    return "between", f"{text}; {percent_text(ENABLE_RATE)} of at least {ENABLE_JUDGED} are asked for"


def _merit(row: RatedEndpoint) -> tuple[int, float, int]:
    """Sort key of endpoints, larger is better: rating, then share of right answers, then number of judged calls."""
    rank = ("unknown", "bad", "between", "good").index(row.rating)
    return rank, row.share, row.evidence.window.judged


def _share(counts: Counts, context: _FlagContext) -> float | None:
    return counts.pass_rate(accept_rescued=context.flag.accept_rescued)


def _right(counts: Counts, flag: Flag) -> int:
    return counts.passed + (counts.rescued if flag.accept_rescued else 0)


def _pass_text(counts: Counts, when: str, context: _FlagContext) -> str:
    right, accepted = _right(counts, context.flag), context.flag.accept_rescued
    rescued = f", {counts.rescued} of them rescued" if accepted and counts.rescued else ""
    held = f" ({counts.rescued} more needed rescue)" if counts.rescued and not accepted else ""
    share = percent_text(right / counts.judged)
    return f"passed {right} of {counts.judged} judged calls {when}{rescued} ({share}){held}"


def percent_text(share: float) -> str:
    """A share (0..1) as text: `98.5 %`. Rounded down, so that a share below a threshold never reads as reaching it."""
    # Nine digits first: 0.57 * 1000 is 569.9999999999999.
    return f"{math.floor(round(share * 1000, 6)) / 10:g} %"


def _no_evidence(flags: Flags, evidence: Evidence) -> str:
    """Reason why no flag may be changed by this evidence, such as simulated runs; empty if the evidence is usable."""
    if not evidence.endpoints:
        return "there are no results"
    if evidence.source == "local" and flags.environment != "test":
        return "the runs went to this machine (local), and the flags are not of `environment: test`"
    if evidence.source not in {"live", "local"}:
        return f"the runs are of source {evidence.source!r}"
    return ""


def outage_of(newest: Iterable[EndpointEvidence]) -> str:
    """Sentence that blames our network or key if more than half of these endpoints of one run are down; else empty."""
    statuses = [row.status for row in newest]
    down = statuses.count("down")
    if down <= INFRASTRUCTURE_SHARE * len(statuses):
        return ""
    return f"{down} of {len(statuses)} endpoints of the newest run were down: that is rather our network or key"


def _digest(rows: Sequence[EndpointEvidence], source: str) -> str:
    """SHA-256 of these rows of evidence and their source. Ages are left out, so it is the same at any later time."""
    data = [source, *({"endpoint": row.endpoint, **evidence_row(row, row.probed_at)} for row in rows)]
    return sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
