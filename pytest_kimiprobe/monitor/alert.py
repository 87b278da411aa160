"""Finds the status changes that need an alert, and writes the alert texts. pytest_kimiprobe.monitor.notify sends them.

The subject of an alert is a provider with a model (`openrouter/kimi-k2.6`). A subject is working while at least one of
its endpoints works. It has stopped if all its endpoints that were probed in the last 7 days are broken, down or
retired. Otherwise (endpoints are degraded or need rescue) the subject keeps its last state, and no alert is sent. The
first state of a subject causes an alert only if it is "working".

If more than half of a run's endpoints are down, one alert about the monitor itself is sent. The down endpoints of that
run do not count. Endpoints that no flag controls are ignored, except references and the vision endpoint.

Pure: nothing is read or sent.
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
"""`Alert.key` of alerts about the monitor itself; other alerts have a provider with a model there."""
MOST_A_DAY = 4
"""Maximum number of alerts on one subject in 24 hours. Its further changes wait until one of these is a day old."""
_STOPPED: frozenset[Status] = frozenset({"broken", "down", "retired"})
_DAY = timedelta(days=1)

State: TypeAlias = Literal["working", "stopped"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One change of one subject from working to stopped or back, to be reported.

    `key` names the subject, `text` is the alert's sentence, and `details` has one line for each endpoint of the
    subject. `run` is the run that caused the alert. `since` is when the last run before it that gave the subject a
    state ended; None if there was none.
    """

    key: str
    state: State
    text: str
    details: tuple[str, ...]
    run: str
    since: datetime | None = None


def alerts(runs: Iterable[StoredRun], catalog: Catalog, now: datetime, *, flags: Flags | None = None) -> list[Alert]:
    """Alerts for the state changes between the newest of these runs and the runs before it.

    If `flags` are given, endpoints that no flag controls are ignored, except references and the vision endpoint.
    """
    states = _SubjectStates(catalog, flags)
    newest: list[Alert] = []
    for run in counted(runs, now):
        newest = states.add_run(run.evidence, run.name, run.finished_at)
    return newest


def alerts_between(
    before: Evidence, after: Evidence, catalog: Catalog, now: datetime, *, flags: Flags | None = None
) -> list[Alert]:
    """Alerts for the state changes from the evidence `before` to the evidence `after`.

    If `flags` are given, endpoints that no flag controls are ignored, except references and the vision endpoint.
    """
    states = _SubjectStates(catalog, flags)
    states.add_run(before.endpoints, before.run, before.generated_at or now)
    return states.add_run(after.endpoints, after.run, after.generated_at or now)


@dataclass(slots=True)
class _SubjectStates:
    """State (working or stopped) of each subject, and the alerts sent on it; updated by adding runs, oldest first."""

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
        """Whether requests may go to the endpoint: a flag controls it, or it is a reference or the vision endpoint.

        If there are no flags, every endpoint counts as one that requests may go to.
        """
        if self.flags is None or self.flags.flag_for(name) is not None or name == self.catalog.vision_endpoint:
            return True
        return name in {model.reference for model in self.catalog.models.values()}


def _is_worth_a_first_alert(key: str, state: State, catalog: Catalog) -> bool:
    """Whether to alert on the first state of a subject: only on "working", and not if the subject is a reference."""
    return key != MONITOR and state == "working" and not _is_reference(key, catalog)


def _monitor_text(state: State, outage: str) -> str:
    return "kimiprobe reaches the endpoints again." if state == "working" else f"kimiprobe: {outage}."


def _states(rows: Mapping[str, EndpointEvidence], catalog: Catalog) -> dict[str, State]:
    """State of each subject, by key.

    A subject is left out if none of its endpoints works, but not all that were probed are broken, down or retired.
    """
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
    """Sentence of the alert on a provider with a model: `OpenRouter + Kimi K2 tool calling is now WORKING! …`."""
    provider, _, model = key.partition("/")
    subject = f"{catalog.providers[provider].title} + {family_title(catalog.models[model])} tool calling"
    if state == "working":
        return f"{subject} is now WORKING! Consider gradual rollout."
    if _is_reference(key, catalog):
        return f"{subject} has STOPPED working. It is what the others fall back to."
    return f"{subject} has STOPPED working. Falling back to direct API."


def family_title(model: Model) -> str:
    """Title of a model in alerts: `Kimi K2` for Kimi K2.6 and Kimi K2 Thinking; for other families the full title."""
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
