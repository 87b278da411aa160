"""Types of the evidence: the committed test results of each endpoint, and their age.

The router reads the results from one file, `results/latest.json`. The monitor derives it from the run files
(pytest_kimiprobe/results):

    {"version": 1, "generated_at": "2026-11-23T05:17:40Z", "run": "<run id>-<attempt>", "source": "live",
     "endpoints": {"<endpoint>": {"status": "works", "probed_at": "...Z", "run": "<run id>-<attempt>",
        "judged": 30, "passed": 29, "rescued": 0, "failed": 1, "errors": 0,           # the newest run
        "window": {"days": 7, "judged": 210, "passed": 207, "rescued": 0, "failed": 3, "errors": 1},
        "p50_ms": 1900.0, "p95_ms": 4100.0, "first_token_p50_ms": 300.0, "first_token_p95_ms": 700.0,
        "latency_unreliable": false,                                                  # see EndpointEvidence
        "cost_per_1k_usd": "0.61", "reasons": {"wrong_tool": 1}, "complete": true, "cases": 9,
        "calls": 40, "valid_calls": 40, "schema_accuracy": 1.0,                       # strict, of the newest run
        "k2vv_calls": 20, "k2vv_valid": 20, "k2vv_compatible": 1.0, "age_s": 12}}}    # age when generated

Counts are those of native tool calls. For an endpoint without native tools they count emulated calls; there a rescued
call is the right answer and counts as passed. The top-level `run` is the newest run. An endpoint that it did not probe
keeps the newest run that did. `source` is `live`, or `local` if there are no live runs.

Evidence older than `FRESH_FOR` is not trusted: the endpoint's status then is `unknown`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, get_args

from ..errors import EvidenceError
from ..types import Status

VERSION = 1
FRESH_FOR = timedelta(days=7)
CLOCK_SKEW = timedelta(days=1)
"""How far ahead of this machine's clock evidence may be dated. Evidence dated further ahead is not trusted, because it
would stay fresh too long."""
MOST_COUNTED = 10**9
MOST_COST = Decimal(10**6)
"""The highest plausible cost in USD per 1000 calls; larger values are refused, as are counts over `MOST_COUNTED`."""
PROBE_PROMPT_TOKENS = 126
"""Median number of prompt tokens of the packaged probes, as `routing.tokens` estimates them."""
MOST_PROMPT_FACTOR = 4.0
"""The most by which a long prompt extends the time that an answer is expected to take."""
MOST_MS, _MOST_DAYS = 10**9, 31
BAD_FIGURE = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError)
"""Errors that reading a row raises if one of its values has a wrong type or form."""
_STATUSES = frozenset(get_args(Status))
_SOURCES = frozenset({"", "live", "local"})


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of verdicts of one endpoint: `judged` = passed + rescued + failed.

    `errors` counts probes without an answer to judge.
    """

    judged: int = 0
    passed: int = 0
    rescued: int = 0
    failed: int = 0
    errors: int = 0

    @property
    def requests(self) -> int:
        """Number of probes that should have got an answer: `judged` and `errors` together."""
        return self.judged + self.errors

    def pass_rate(self, *, accept_rescued: bool = False) -> float | None:
        """Share of judged answers that were right, 0..1; None if none was judged.

        With `accept_rescued`, rescued answers count as right too.
        """
        if not self.judged:
            return None
        return (self.passed + (self.rescued if accept_rescued else 0)) / self.judged


@dataclass(frozen=True, slots=True)
class EndpointEvidence:
    """Evidence of one endpoint. `counts` are the verdicts of its newest run.

    `window` holds the verdicts of the last `window_days` days, including that run.
    """

    endpoint: str
    status: Status
    probed_at: datetime
    counts: Counts = Counts()
    window: Counts = Counts()
    window_days: int = 7
    p50_ms: float | None = None
    p95_ms: float | None = None
    cost_per_1k_usd: Decimal | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    run: str = ""
    first_token_p50_ms: float | None = None
    first_token_p95_ms: float | None = None
    calls: int = 0
    """Number of structured tool calls in finished answers. `valid_calls` of them name an offered tool and satisfy its
    schema."""
    valid_calls: int = 0
    k2vv_calls: int = 0
    """Number of answers that the K2 Vendor Verifier's formula counts. By that formula, `k2vv_valid` of them are valid.
    """
    k2vv_valid: int = 0
    latency_unreliable: bool = False
    """Whether the probing machine was too busy to measure the endpoint's times."""
    complete: bool = True
    """Whether the run finished; an interrupted run gives only part of the evidence."""
    cases: int = 0
    """Number of different cases among the window's judged calls; 0 if they were not counted."""

    @property
    def schema_accuracy(self) -> float | None:
        """Share of structured tool calls that name an offered tool and satisfy its schema, 0..1; None without calls."""
        return self.valid_calls / self.calls if self.calls else None

    @property
    def k2vv_compatible(self) -> float | None:
        """Share of answers that are valid by the K2 Vendor Verifier's formula, 0..1; None if it counts none.

        The answers are those of this project's cases, not of the verifier's.
        """
        return self.k2vv_valid / self.k2vv_calls if self.k2vv_calls else None

    @property
    def times(self) -> dict[str, Any]:
        """The measured percentiles in milliseconds, by field name: `p50_ms`, `first_token_p50_ms` and so on."""
        return {name: getattr(self, name) for name in TIMES}

    def age(self, now: datetime) -> timedelta:
        """Time from the probe to `now`; zero if the probe is dated later than `now`."""
        return max(now - self.probed_at, timedelta(0))

    def status_at(self, now: datetime) -> Status:
        """The endpoint's status at `now`; `unknown` if the evidence is not fresh (see `is_fresh`)."""
        return self.status if self.is_fresh(now) else "unknown"

    def is_fresh(self, now: datetime) -> bool:
        """Whether the evidence is at most `FRESH_FOR` old, and not dated more than `CLOCK_SKEW` ahead."""
        return self.age(now) <= FRESH_FOR and self.probed_at <= now + CLOCK_SKEW


TIMES = tuple(row.name for row in fields(EndpointEvidence) if row.name.endswith("_ms"))
"""Names of those fields of `EndpointEvidence` that hold a percentile in milliseconds."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence of all endpoints, by endpoint id. `source` says from which kind of run it comes (docs/terms.md)."""

    generated_at: datetime | None = None
    run: str = ""
    source: str = ""
    endpoints: Mapping[str, EndpointEvidence] = field(default_factory=dict)
    origin: str = ""
    """The path or URL that the evidence was read from; empty if it was not read from one."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Endpoint → why its row is not used."""

    def status_at(self, endpoint: str, now: datetime) -> Status:
        """Status of one endpoint at `now`; `unknown` if the endpoint was never probed, or its evidence is not fresh."""
        known = self.endpoints.get(endpoint)
        return known.status_at(now) if known else "unknown"

    def usual_s(self, endpoint: str, now: datetime, *, prompt_tokens: int, stream: bool) -> float:
        """Seconds that an answer, or the first token of a stream, usually takes; 0 without fresh, reliable evidence.

        It is the 95th percentile of the probes, multiplied by the length of the prompt relative to theirs (1 to 4).
        """
        known = self.endpoints.get(endpoint)
        if known is None or known.latency_unreliable or not known.is_fresh(now):
            return 0.0
        p95_ms = (known.first_token_p95_ms if stream else known.p95_ms) or 0.0
        return p95_ms / 1000 * min(max(prompt_tokens / PROBE_PROMPT_TOKENS, 1.0), MOST_PROMPT_FACTOR)


def utc_text(moment: datetime) -> str:
    """The time as UTC text, in the format of every stored time: `2026-11-23T05:17:40Z`."""
    return moment.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def parse_utc(text: str) -> datetime:
    """Read an ISO 8601 time, such as `utc_text` writes, as a UTC time. Raises ValueError for a time without zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without zone: {text!r}")
    return moment.astimezone(UTC)


def loads(text: str | bytes, *, origin: str = "") -> Evidence:
    """Parse the content of latest.json. Raises EvidenceError, which names file and field.

    Content of another version than `VERSION` is refused as well. A row with a figure that cannot be right is left out,
    and named in `refused`; if no row is left, the content is refused.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"not JSON: {error}", where=origin) from None
    if not isinstance(data, dict):
        raise EvidenceError("must be a JSON object", where=origin)
    if data.get("version") != VERSION:
        raise EvidenceError(
            f"version {data.get('version')!r}; this release reads version {VERSION}: upgrade pytest-kimiprobe",
            where=origin,
        )
    try:
        endpoints, refused = _rows(_object(data.get("endpoints"), "endpoints"))
        return Evidence(
            generated_at=_time(data.get("generated_at"), "generated_at"),
            run=str(data.get("run", "")),
            source=_source(data.get("source", "")),
            endpoints=endpoints,
            origin=origin,
            refused=refused,
        )
    except BAD_FIGURE as error:
        raise EvidenceError(f"unreadable: {why_bad(error)}", where=origin) from None


def _rows(rows: Mapping[str, Any]) -> tuple[dict[str, EndpointEvidence], dict[str, str]]:
    """The rows that can be read, and why each of the others cannot. Raises the error of a row if none can be read."""
    read: dict[str, EndpointEvidence] = {}
    refused: dict[str, str] = {}
    for name, row in rows.items():
        try:
            read[name] = _endpoint(name, row)
        except BAD_FIGURE as error:
            refused[name] = why_bad(error)
            if len(refused) == len(rows):
                raise
    return read, refused


def why_bad(error: Exception) -> str:
    """Describe an error of `BAD_FIGURE`, which reading a row raised, as text for a message."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is not an object")
    return value


def _time(value: Any, name: str) -> datetime:
    try:
        return parse_utc(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is not a time such as 2026-11-23T05:17:40Z") from None


def _source(value: Any) -> str:
    if not isinstance(value, str) or value not in _SOURCES:
        raise ValueError(f"source {str(value)[:20]!r} is not evidence: only live and local are")
    return str(value)


def _endpoint(name: str, row: Mapping[str, Any]) -> EndpointEvidence:
    status: Any = _object(row, "the row").get("status")
    if str(status) not in _STATUSES:
        raise ValueError(f"status is {str(status)[:40]!r}; one of {', '.join(sorted(_STATUSES))} is needed")
    window = _object(row.get("window") or {}, "window")
    return EndpointEvidence(
        endpoint=name,
        status=status,
        probed_at=_time(row.get("probed_at"), "probed_at"),
        counts=counts_from(row),
        window=counts_from(window),
        window_days=counted(window.get("days", FRESH_FOR.days), "window.days", least=1, most=_MOST_DAYS),
        cost_per_1k_usd=_cost(row.get("cost_per_1k_usd")),
        reasons={
            str(code): counted(count, f"reasons.{code}")
            for code, count in _object(row.get("reasons") or {}, "reasons").items()
        },
        run=str(row.get("run", "")),
        complete=row.get("complete", True) is True,
        cases=counted(row.get("cases", 0), "cases"),
        **{name: milliseconds(row.get(name), name) for name in TIMES},
        latency_unreliable=bool(row.get("latency_unreliable", False)),
        **{name: counted(row.get(name, 0), name) for name in ("calls", "valid_calls", "k2vv_calls", "k2vv_valid")},
    )


def counts_from(row: Mapping[str, Any]) -> Counts:
    """The counts in a JSON row; a missing count is 0.

    Raises ValueError if a value is not a count, or if passed, rescued and failed do not add up to judged.
    """
    names = ("judged", "passed", "rescued", "failed", "errors")
    counts = Counts(*(counted(row.get(name, 0), name) for name in names))
    if counts.passed + counts.rescued + counts.failed != counts.judged:
        raise ValueError(f"judged is {counts.judged}, but passed, rescued and failed add up to another number")
    return counts


def counted(value: Any, name: str, *, least: int = 0, most: int = MOST_COUNTED) -> int:
    """The value, if it is a whole number from `least` to `most`.

    Raises ValueError, which shows `name`, if it is not.
    """
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name[:40]} is not a count from {least} to {most}")
    return value


def _cost(value: Any) -> Decimal | None:
    if value is None:
        return None
    text, cost = str(value), Decimal("NaN")
    if type(value) in {str, int, float} and len(text) <= 40:
        with suppress(InvalidOperation):
            cost = Decimal(text)
    if not cost.is_finite() or not 0 <= cost <= MOST_COST:
        raise ValueError("cost_per_1k_usd is not an amount of money")
    return cost


def milliseconds(value: Any, name: str) -> Any:
    """The value as a float, if it is a plausible number of milliseconds; None if it is None.

    Raises ValueError, which shows `name`, for any other value.
    """
    if value is None:
        return None
    if type(value) not in {int, float} or not 0 <= value <= MOST_MS:
        raise ValueError(f"{name} is not a time in milliseconds")
    return float(value)
