"""Which status changes people are told of, and in which words. Pure; pytest_kimiprobe.monitor.notify delivers.

The subject of an alert is a provider with a model (`openrouter/kimi-k2.6`): it works while any of its endpoints works,
and has stopped when all that were probed lately are broken, down or gone. In between (degraded, needing rescue) nobody
is told: the last definite word stands. A first word is told only when it is good. Where most endpoints of a run are
down, that is told once, as our own trouble, and moves none of the others. Endpoints that no request may be sent to are
nobody's news.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from routing.catalog import Catalog, Model
from routing.evidence.model import FRESH_FOR, EndpointEvidence, Evidence
from routing.flags.source import Flags
from routing.types import Status

from ..results.store import StoredRun, counted
from ..stats.status import evidence_of
from .decide import outage_of, percent_text

MONITOR = "monitor"
"""The key of alerts about ourselves."""
MOST_A_DAY = 4
"""Changes of one subject within 24 hours after which it counts as flapping, and is told of no more."""
_STOPPED: frozenset[Status] = frozenset({"broken", "down", "retired"})
_DAY = timedelta(days=1)

State: TypeAlias = Literal["working", "stopped"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One change to tell. `key` is the subject, `since` the time of the last run that said otherwise."""

    key: str
    state: State
    text: str
    details: tuple[str, ...]
    run: str
    since: datetime | None = None


def alerts(runs: Iterable[StoredRun], catalog: Catalog, now: datetime, *, flags: Flags | None = None) -> list[Alert]:
    """What the newest of these runs changed, by the runs before it; of `flags`, only what requests may be sent to."""
    story = _Story(catalog, flags)
    told: list[Alert] = []
    for run in counted(runs, now):
        rows = evidence_of(run.totals, run.figures, run.finished_at, run.name)
        told = story.take(rows, run.name, run.finished_at)
    return told


def alerts_between(
    before: Evidence, after: Evidence, catalog: Catalog, now: datetime, *, flags: Flags | None = None
) -> list[Alert]:
    """What changed between two files of evidence."""
    story = _Story(catalog, flags)
    story.take(before.endpoints, before.run, before.generated_at or now)
    return story.take(after.endpoints, after.run, after.generated_at or now)


@dataclass(slots=True)
class _Story:
    """Run after run: what each subject's last definite word is, and what people were told of it."""

    catalog: Catalog
    flags: Flags | None = None
    rows: dict[str, EndpointEvidence] = field(default_factory=dict)
    words: dict[str, tuple[State, datetime]] = field(default_factory=dict)
    told: dict[str, State] = field(default_factory=dict)
    moments: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def take(self, rows: Mapping[str, EndpointEvidence], run: str, at: datetime) -> list[Alert]:
        """Take one run in, and return what is to be told of it."""
        outage = outage_of(row for row in rows.values() if row.run == run)
        self.rows |= {name: row for name, row in rows.items() if not (outage and row.status == "down")}
        states = _states(self._fresh(at), self.catalog)
        if rows:
            states[MONITOR] = "stopped" if outage else "working"
        found = [self._word(key, state, run, at, outage) for key, state in sorted(states.items())]
        return [alert for alert in found if alert]

    def _word(self, key: str, state: State, run: str, at: datetime, outage: str) -> Alert | None:
        former = self.words.get(key)
        self.words[key] = (state, at)
        if key not in self.told and not _worth_a_first_word(key, state, self.catalog):
            self.told[key] = state
        if self.told.get(key) == state:
            return None
        recent = [moment for moment in self.moments[key] if at - moment < _DAY]
        if len(recent) >= MOST_A_DAY:
            return None  # it stays untold, and is told once the subject has come to rest
        self.moments[key] = [*recent, at]
        self.told[key] = state
        details = tuple(
            _line(row) for name, row in sorted(self._fresh(at).items()) if _key_of(name, self.catalog) == key
        )
        text = _about_us(state, outage) if key == MONITOR else sentence(key, state, self.catalog)
        return Alert(key, state, text, details, run, former[1] if former else None)

    def _fresh(self, at: datetime) -> dict[str, EndpointEvidence]:
        fresh = {name: row for name, row in self.rows.items() if at - row.probed_at <= FRESH_FOR}
        return {name: row for name, row in fresh.items() if self._is_routable(name)}

    def _is_routable(self, name: str) -> bool:
        """What no flag controls is off, except the reference and the vision endpoint: nobody misses it."""
        if self.flags is None or self.flags.flag_for(name) is not None or name == self.catalog.vision_endpoint:
            return True
        return name in {model.reference for model in self.catalog.models.values()}


def _worth_a_first_word(key: str, state: State, catalog: Catalog) -> bool:
    """Of what was never heard of, only that something works that one could switch to."""
    return key != MONITOR and state == "working" and not _is_reference(key, catalog)


def _about_us(state: State, outage: str) -> str:
    return "kimiprobe reaches the endpoints again." if state == "working" else f"kimiprobe: {outage}."


def _states(rows: Mapping[str, EndpointEvidence], catalog: Catalog) -> dict[str, State]:
    """The definite words: a subject in between, or without any, is left out."""
    statuses: dict[str, list[Status]] = defaultdict(list)
    for name, row in rows.items():
        if name in catalog.endpoints:
            endpoint = catalog.endpoints[name]
            statuses[f"{endpoint.provider}/{endpoint.model}"].append(row.status)
    found: dict[str, State] = {}
    for key, group in statuses.items():
        probed = [status for status in group if status not in {"unknown", "unsupported"}]
        if "works" in probed:
            found[key] = "working"
        elif probed and all(status in _STOPPED for status in probed):
            found[key] = "stopped"
    return found


def sentence(key: str, state: State, catalog: Catalog) -> str:
    """The line that people know: `OpenRouter + Kimi K2 tool calling is now WORKING! …`."""
    provider, _, model = key.partition("/")
    subject = f"{catalog.providers[provider].title} + {family_title(catalog.models[model])} tool calling"
    if state == "working":
        return f"{subject} is now WORKING! Consider gradual rollout."
    if _is_reference(key, catalog):
        return f"{subject} has STOPPED working. It is what the others fall back to."
    return f"{subject} has STOPPED working. Falling back to direct API."


def family_title(model: Model) -> str:
    """`Kimi K2` for Kimi K2.6 and Kimi K2 Thinking; other families go by the model's own title."""
    found = re.match(r"Kimi K\d+", model.title)
    return found[0] if found else model.title


def _is_reference(key: str, catalog: Catalog) -> bool:
    model = catalog.models.get(key.partition("/")[2])
    return model is not None and _key_of(model.reference, catalog) == key


def _key_of(endpoint: str, catalog: Catalog) -> str:
    row = catalog.endpoints.get(endpoint)
    return f"{row.provider}/{row.model}" if row else ""


def _line(row: EndpointEvidence) -> str:
    counts = row.counts
    errors = f", {counts.errors} errors" if counts.errors else ""
    if not counts.judged:
        return f"{row.endpoint}: {row.status}, nothing judged{errors}"
    share = percent_text(counts.passed / counts.judged)
    return f"{row.endpoint}: {row.status}, {counts.passed} of {counts.judged} right ({share}){errors}"
