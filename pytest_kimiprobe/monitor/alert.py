"""Selects the status changes to alert on, and writes their texts. Pure; pytest_kimiprobe.monitor.notify delivers.

The subject of an alert is a provider with a model (`openrouter/kimi-k2.6`). It is working while any of its endpoints
works. It has stopped when all that were probed lately are broken, down or retired. Intermediate statuses (degraded,
needing rescue) do not alert; the last definite state is kept. A first alert is sent only for "working".

If most endpoints of a run are down, one alert about the monitor itself is sent, and no other subject changes.
Endpoints that no flag controls are ignored, except references and the vision endpoint.
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
from routing.flags.model import Flags
from routing.types import Status

from ..results.run_file import StoredRun
from ..results.store import counted
from .decide import outage_of, percent_text

MONITOR = "monitor"
"""Key of alerts about the monitor itself."""
MOST_A_DAY = 4
"""Alerts on one subject within 24 hours; after that it counts as flapping, and further alerts wait."""
_STOPPED: frozenset[Status] = frozenset({"broken", "down", "retired"})
_DAY = timedelta(days=1)

State: TypeAlias = Literal["working", "stopped"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One change to report. `key` is the subject, `since` the time of its last definite state before this one."""

    key: str
    state: State
    text: str
    details: tuple[str, ...]
    run: str
    since: datetime | None = None


def alerts(runs: Iterable[StoredRun], catalog: Catalog, now: datetime, *, flags: Flags | None = None) -> list[Alert]:
    """Changes of the newest run against the runs before it. With `flags`: only endpoints that requests may go to."""
    states = _SubjectStates(catalog, flags)
    newest: list[Alert] = []
    for run in counted(runs, now):
        newest = states.add_run(run.evidence, run.name, run.finished_at)
    return newest


def alerts_between(
    before: Evidence, after: Evidence, catalog: Catalog, now: datetime, *, flags: Flags | None = None
) -> list[Alert]:
    """Changes between two files of evidence."""
    states = _SubjectStates(catalog, flags)
    states.add_run(before.endpoints, before.run, before.generated_at or now)
    return states.add_run(after.endpoints, after.run, after.generated_at or now)


@dataclass(slots=True)
class _SubjectStates:
    """Last definite state of each subject, and the alerts sent so far, updated run by run."""

    catalog: Catalog
    flags: Flags | None = None
    rows: dict[str, EndpointEvidence] = field(default_factory=dict)
    latest: dict[str, tuple[State, datetime]] = field(default_factory=dict)
    alerted: dict[str, State] = field(default_factory=dict)
    alert_times: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def add_run(self, rows: Mapping[str, EndpointEvidence], run: str, at: datetime) -> list[Alert]:
        """Add one run, and return the alerts that it causes."""
        outage = outage_of(row for row in rows.values() if row.run == run)
        self.rows |= {name: row for name, row in rows.items() if not (outage and row.status == "down")}
        states = _states(self._fresh(at), self.catalog)
        if rows:
            states[MONITOR] = "stopped" if outage else "working"
        found = [self._alert(key, state, run, at, outage) for key, state in sorted(states.items())]
        return [alert for alert in found if alert]

    def _alert(self, key: str, state: State, run: str, at: datetime, outage: str) -> Alert | None:
        former = self.latest.get(key)
        self.latest[key] = (state, at)
        if key not in self.alerted and not _is_worth_a_first_alert(key, state, self.catalog):
            self.alerted[key] = state
        if self.alerted.get(key) == state:
            return None
        recent = [time for time in self.alert_times[key] if at - time < _DAY]
        if len(recent) >= MOST_A_DAY:
            return None  # the state stays unreported until the subject has changed less often for a day
        self.alert_times[key] = [*recent, at]
        self.alerted[key] = state
        details = tuple(
            _line(row) for name, row in sorted(self._fresh(at).items()) if _key_of(name, self.catalog) == key
        )
        text = _monitor_text(state, outage) if key == MONITOR else sentence(key, state, self.catalog)
        return Alert(key, state, text, details, run, former[1] if former else None)

    def _fresh(self, at: datetime) -> dict[str, EndpointEvidence]:
        fresh = {name: row for name, row in self.rows.items() if at - row.probed_at <= FRESH_FOR}
        return {name: row for name, row in fresh.items() if self._is_routable(name)}

    def _is_routable(self, name: str) -> bool:
        """Whether requests may go to the endpoint: a flag controls it, or it is a reference or the vision endpoint."""
        if self.flags is None or self.flags.flag_for(name) is not None or name == self.catalog.vision_endpoint:
            return True
        return name in {model.reference for model in self.catalog.models.values()}


def _is_worth_a_first_alert(key: str, state: State, catalog: Catalog) -> bool:
    """Whether to alert on a subject without an earlier state. It must work, and be able to replace the reference."""
    return key != MONITOR and state == "working" and not _is_reference(key, catalog)


def _monitor_text(state: State, outage: str) -> str:
    return "kimiprobe reaches the endpoints again." if state == "working" else f"kimiprobe: {outage}."


def _states(rows: Mapping[str, EndpointEvidence], catalog: Catalog) -> dict[str, State]:
    """Definite state of each subject; one whose endpoints are neither working nor all stopped is left out."""
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
    """Sentence of an alert: `OpenRouter + Kimi K2 tool calling is now WORKING! …`."""
    provider, _, model = key.partition("/")
    subject = f"{catalog.providers[provider].title} + {family_title(catalog.models[model])} tool calling"
    if state == "working":
        return f"{subject} is now WORKING! Consider gradual rollout."
    if _is_reference(key, catalog):
        return f"{subject} has STOPPED working. It is what the others fall back to."
    return f"{subject} has STOPPED working. Falling back to direct API."


def family_title(model: Model) -> str:
    """`Kimi K2` for Kimi K2.6 and Kimi K2 Thinking; for other families the model's own title."""
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
