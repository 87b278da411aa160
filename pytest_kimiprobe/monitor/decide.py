"""Whether evidence and flags agree, and what to propose where they do not: one pure function, `decide`.

The rule is plain. An endpoint is *good* with at least 95 % right answers of at least 60 judged calls in the last 7
days, of two cases at least where that was counted. It is *bad* when fewer than 80 % of the last 7 days, or of its newest run, were right (10 judged calls at least),
or when it is gone: retired, or down in its newest run. A flag is turned on, for the first step of its ladder, when an
endpoint that it controls is good; it is turned off when none that was probed lately is anything but bad: traffic never
goes to a bad endpoint anyway, so one that works is enough to keep a flag.

Without fresh evidence nothing changes, and the newest run counts as such only where it came to its end. Errors of an account or of the request say nothing of an endpoint. Where more
than half of the newest run's endpoints are down, our own network or key is the likelier cause, and none counts as gone.
A pinned flag belongs to a human.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Literal, TypeAlias

from routing.catalog import Catalog
from routing.evidence.model import FRESH_FOR, Counts, EndpointEvidence, Evidence
from routing.flags.source import Flag, Flags

from ..results.store import evidence_row
from ..stats.status import DEGRADED_AT, LEAST_JUDGED, WORKS_AT

ENABLE_RATE = WORKS_AT
ENABLE_JUDGED = 60
ENABLE_CASES = 2
DISABLE_RATE = DEGRADED_AT
DISABLE_JUDGED = LEAST_JUDGED
INFRASTRUCTURE_SHARE = 0.5

Kind: TypeAlias = Literal["enable", "disable", "agree", "no_evidence", "pinned"]
Standing: TypeAlias = Literal["good", "bad", "between", "unknown"]


@dataclass(frozen=True, slots=True)
class Setting:
    """How a flag stands. `share` is the percent of users that it is on for."""

    enabled: bool
    percent: int

    @property
    def share(self) -> int:
        """0 while the flag is off, whatever `percent` says."""
        return self.percent if self.enabled else 0


@dataclass(frozen=True, slots=True)
class Judged:
    """One controlled endpoint: its evidence, how it stands by the rule, and the sentence that says why."""

    evidence: EndpointEvidence
    standing: Standing
    why: str
    share: float = 0.0
    """Of the window's judged answers, those that were right by this flag's measure, 0..1."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What follows for one flag. `before` and `after` are equal unless `kind` is enable or disable.

    `endpoint` is the one that the decision rests on, `counts` its last seven days and `right` those that pass by the
    flag's measure; `reasons` are those of all controlled endpoints; `evidence` is the SHA-256 of the evidence used,
    `run` the newest run of it.
    """

    flag: str
    kind: Kind
    before: Setting
    after: Setting
    verdict: str
    endpoints: tuple[Judged, ...] = ()
    endpoint: str = ""
    counts: Counts = field(default_factory=Counts)
    right: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    run: str = ""
    at: datetime | None = None
    evidence: str = ""

    @property
    def changes(self) -> bool:
        """Whether it asks for a change."""
        return self.kind in {"enable", "disable"}


def decide(flags: Flags, evidence: Evidence, catalog: Catalog, now: datetime) -> list[Proposal]:
    """One proposal per flag, in the order of the file. Pure."""
    refusal = _no_evidence(flags, evidence)
    outage = outage_of(row for row in evidence.endpoints.values() if row.run == evidence.run)
    return [_proposal(_Case(flag, flags, evidence, catalog, now, outage), refusal) for flag in flags.flags.values()]


@dataclass(frozen=True, slots=True)
class _Case:
    """One flag before the rule."""

    flag: Flag
    flags: Flags
    evidence: Evidence
    catalog: Catalog
    now: datetime
    outage: str

    @property
    def before(self) -> Setting:
        return Setting(self.flag.enabled, self.flag.percent)

    def controlled(self) -> tuple[list[str], list[str]]:
        """Endpoints of the catalogue that this flag turns on and off: those still served, those retired."""
        mine = [endpoint for endpoint in self.catalog.endpoints.values() if self._controls(endpoint.id)]
        today = self.now.date()
        return [e.id for e in mine if not e.retired_at(today)], [e.id for e in mine if e.retired_at(today)]

    def _controls(self, endpoint: str) -> bool:
        flag = self.flags.flag_for(endpoint)
        return flag is not None and flag.name == self.flag.name

    def judged(self, endpoints: Iterable[str]) -> list[Judged]:
        known = [self.evidence.endpoints[endpoint] for endpoint in endpoints if endpoint in self.evidence.endpoints]
        return [_judged(row, self) for row in known]


def _proposal(case: _Case, refusal: str) -> Proposal:
    flag = case.flag
    if flag.pin:
        return _keep(case, "pinned", f'pinned "{flag.pin}" by a human: not touched')
    served, retired = case.controlled()
    if retired and not served:
        told = f"every endpoint that it controls is retired: {', '.join(retired)}"
        return _disable(case, (), told) if flag.enabled else _keep(case, "agree", told)
    if refusal:
        return _keep(case, "no_evidence", f"no evidence, no change: {refusal}")
    judged = tuple(sorted(case.judged(served), key=_merit, reverse=True))
    known = tuple(row for row in judged if row.standing != "unknown")
    if not known:
        whys = _whys(judged) or "no endpoint that it controls was probed"
        return _keep(case, "no_evidence", f"no evidence, no change: {whys}", judged)
    best = known[0]
    if best.standing == "good" and not case.before.share:
        return _based(case, "enable", Setting(enabled=True, percent=flag.ladder[0]), best.why, judged)
    if best.standing == "bad" and flag.enabled:
        return _disable(
            case, judged, best.why if len(known) == 1 else f"none of {len(known)} works; at best, {best.why}"
        )
    return _keep(case, "agree", best.why, judged)


def _whys(judged: Sequence[Judged]) -> str:
    """Each reason once, with the endpoints that it holds of."""
    told: dict[str, list[str]] = {}
    for row in judged:
        endpoint = row.evidence.endpoint
        told.setdefault(row.why.removeprefix(f"{endpoint} "), []).append(endpoint)
    return "; ".join(f"{', '.join(endpoints)} {why}" for why, endpoints in told.items())


def _disable(case: _Case, judged: tuple[Judged, ...], told: str) -> Proposal:
    return _based(case, "disable", Setting(enabled=False, percent=0), told, judged)


def _keep(case: _Case, kind: Kind, told: str, judged: tuple[Judged, ...] = ()) -> Proposal:
    return _based(case, kind, case.before, told, judged)


def _based(case: _Case, kind: Kind, after: Setting, told: str, judged: tuple[Judged, ...]) -> Proposal:
    rows = [row.evidence for row in judged]
    newest = max(rows, key=lambda row: row.probed_at, default=None)
    reasons: Counter[str] = Counter()
    for row in rows:
        reasons.update(row.reasons)
    return Proposal(
        flag=case.flag.name,
        kind=kind,
        before=case.before,
        after=after,
        verdict=told,
        endpoints=judged,
        endpoint=rows[0].endpoint if rows else "",
        counts=rows[0].window if rows else Counts(),
        right=_right(rows[0].window, case.flag) if rows else 0,
        reasons=dict(sorted(reasons.items())),
        run=newest.run if newest else "",
        at=newest.probed_at if newest else None,
        evidence=_digest(rows, case.evidence.source),
    )


def _judged(row: EndpointEvidence, case: _Case) -> Judged:
    """How one endpoint stands by the rule."""
    standing, why = _unheard(row, case) or _gone(row, case) or _measured(row, case)
    return Judged(row, standing, f"{row.endpoint} {why}", _share(row.window, case) or 0.0)


def _unheard(row: EndpointEvidence, case: _Case) -> tuple[Standing, str] | None:
    if row.probed_at > case.now and not row.is_fresh(case.now):
        return "unknown", f"has evidence of the future ({row.probed_at:%Y-%m-%d}): a clock is wrong"
    if row.age(case.now) > FRESH_FOR:
        return "unknown", f"was last probed on {row.probed_at:%Y-%m-%d}"
    return ("unknown", "gave nothing to judge in its newest run") if row.status == "unknown" else None


def _gone(row: EndpointEvidence, case: _Case) -> tuple[Standing, str] | None:
    if not row.complete:
        return None
    if row.status == "retired":
        return "bad", "is gone: the provider says that it does not serve this model"
    if row.status == "down" and row.run == case.evidence.run and not case.outage:
        return "bad", f"is down: none of {row.counts.errors} probes was answered"
    return None


def _measured(row: EndpointEvidence, case: _Case) -> tuple[Standing, str]:
    days = f"in the last {row.window_days} days"
    newest = row.counts if row.complete else Counts()
    for counts, when in ((row.window, days), (newest, "in the newest run")):
        share = _share(counts, case)
        if share is not None and counts.judged >= DISABLE_JUDGED and share < DISABLE_RATE:
            return "bad", f"{_told(counts, when, case)}; that is below {percent_text(DISABLE_RATE)}"
    if row.status == "down":
        return "unknown", f"was not reached, and {case.outage or 'the newest run left it out'}"
    week = _share(row.window, case)
    if week is None:
        return "unknown", f"gave nothing to judge {days}"
    told = _told(row.window, days, case)
    if 0 < row.cases < ENABLE_CASES:
        return "between", f"{told}, all of one case; at least {ENABLE_CASES} cases are asked for"
    if week >= ENABLE_RATE and row.window.judged >= ENABLE_JUDGED:
        return "good", told
    return "between", f"{told}; {percent_text(ENABLE_RATE)} of at least {ENABLE_JUDGED} are asked for"


def _merit(row: Judged) -> tuple[int, float, int]:
    """Best first: how it stands, then the share that was right, then on how many calls."""
    rank = ("unknown", "bad", "between", "good").index(row.standing)
    return rank, row.share, row.evidence.window.judged


def _share(counts: Counts, case: _Case) -> float | None:
    return counts.pass_rate(accept_rescued=case.flag.accept_rescued)


def _right(counts: Counts, flag: Flag) -> int:
    return counts.passed + (counts.rescued if flag.accept_rescued else 0)


def _told(counts: Counts, when: str, case: _Case) -> str:
    right, accepted = _right(counts, case.flag), case.flag.accept_rescued
    rescued = f", {counts.rescued} of them rescued" if accepted and counts.rescued else ""
    held = f" ({counts.rescued} more needed rescue)" if counts.rescued and not accepted else ""
    share = percent_text(right / counts.judged)
    return f"passed {right} of {counts.judged} judged calls {when}{rescued} ({share}){held}"


def percent_text(share: float) -> str:
    """`98.5 %`, rounded down: what is below a threshold never reads as reaching it."""
    # Nine digits first: 0.57 * 1000 is 569.9999999999999.
    return f"{math.floor(round(share * 1000, 6)) / 10:g} %"


def _no_evidence(flags: Flags, evidence: Evidence) -> str:
    """Why this evidence may move no flag at all; empty where it may."""
    if not evidence.endpoints:
        return "there are no results"
    if evidence.source == "local" and flags.environment != "test":
        return "the runs went to this machine (local), and the flags are not of `environment: test`"
    if evidence.source not in {"live", "local"}:
        return f"the runs are of source {evidence.source!r}"
    return ""


def outage_of(newest: Iterable[EndpointEvidence]) -> str:
    """What of one run speaks for a fault of ours rather than of the endpoints; empty where nothing does."""
    statuses = [row.status for row in newest]
    down = statuses.count("down")
    if down <= INFRASTRUCTURE_SHARE * len(statuses):
        return ""
    return f"{down} of {len(statuses)} endpoints of the newest run were down: that is rather our network or key"


def _digest(rows: Sequence[EndpointEvidence], source: str) -> str:
    """SHA-256 of the evidence that was used; its age is no part of it."""
    data = [source, *({"endpoint": row.endpoint, **evidence_row(row, row.probed_at)} for row in rows)]
    return sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
