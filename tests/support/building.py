"""Flags and evidence for the tests of this folder, in a line each."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_kimiprobe.results.run_file import StoredRun
from pytest_kimiprobe.stats.aggregates import Cell, summed
from routing import catalog
from routing.evidence.model import Counts, EndpointEvidence, Evidence
from routing.flags.model import Flags
from routing.types import Status

NOW = datetime(2026, 11, 23, 5, 30, tzinfo=UTC)
RUN = "77-1"
KIMI = "openrouter/moonshotai/kimi-k2.6"
NOVITA = "openrouter/moonshotai/kimi-k2.6+novita/fp8"
GROQ = "groq/moonshotai/kimi-k2-instruct"
MOONSHOT = "moonshot/kimi-k2.6"
FLAG = "openrouter_kimi_tool_calling"
CATALOG = catalog.load(environment={})

FLAGS_TEXT = """\
# Who may be served where. The bot changes only values.
version: 1
serial: 41
environment: production   # `test` lets local runs move flags
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
flags:
  # The cheap road: ask @kimi-routing before touching it
  openrouter_kimi_tool_calling:
    description: Kimi tool calls through OpenRouter
    owner: "@kimi-routing"
    controls: [openrouter/moonshotai/kimi-k2.6*]
    enabled: false
    percent: 0
    users: {allow: [ci-bot], deny: []}   # data residency
  groq_kimi_tool_calling:
    description: Kimi tool calls through Groq
    owner: "@kimi-routing"
    controls: [groq/moonshotai/*]
    enabled: false
    percent: 0
...
"""


def flags_text(environment: str = "production", **settings: Any) -> str:
    """The file above with other values at the first flag."""
    text = FLAGS_TEXT.replace("environment: production", f"environment: {environment}")
    head, mark, rest = text.partition("    enabled: false\n    percent: 0\n")
    assert mark
    values = {"enabled": "false", "percent": "0", **settings}
    return head + "".join(f"    {key}: {value}\n" for key, value in values.items()) + rest


def the_flags(environment: str = "production", **settings: Any) -> Flags:
    """The same, loaded."""
    return Flags.loads(flags_text(environment, **settings).encode())


def on(percent: int = 50, **more: Any) -> Flags:
    """The first flag turned on."""
    return the_flags(enabled="true", percent=percent, **more)


def counts(passed: int = 0, failed: int = 0, rescued: int = 0, errors: int = 0) -> Counts:
    """Counts that add up."""
    return Counts(passed + failed + rescued, passed, rescued, failed, errors)


def row(
    endpoint: str = KIMI,
    status: Status = "works",
    *,
    week: Counts | None = None,
    newest: Counts | None = None,
    age: timedelta = timedelta(minutes=10),
    run: str = RUN,
    reasons: Mapping[str, int] | None = None,
) -> EndpointEvidence:
    """Evidence of one endpoint; the newest run passed 30 of 30 unless told otherwise."""
    newest = counts(30) if newest is None else newest
    return EndpointEvidence(
        endpoint=endpoint,
        status=status,
        probed_at=NOW - age,
        counts=newest,
        window=newest if week is None else week,
        p50_ms=1900.0,
        p95_ms=4100.0,
        reasons=dict(reasons or {}),
        run=run,
    )


def evidence(*rows: EndpointEvidence, source: str = "live", run: str = RUN) -> Evidence:
    """All of them together."""
    return Evidence(generated_at=NOW, run=run, source=source, endpoints={row.endpoint: row for row in rows})


GOOD_WEEK = counts(207, 3)
BAD_WEEK = counts(60, 40)


def stored(number: int, at: datetime, statuses: Mapping[str, Status], source: str = "live") -> StoredRun:
    """A run in which each endpoint got that status."""
    provider = {"error_classes": {"provider": 20}}
    shapes: dict[Status, dict[str, Any]] = {
        "works": {"verdicts": {"pass": 20}},
        "degraded": {"verdicts": {"pass": 17, "fail": 3}},
        "needs_rescue": {"verdicts": {"rescued": 20}},
        "broken": {"verdicts": {"pass": 5, "fail": 15}, "reasons": {"wrong_tool": 15}},
        "down": {"verdicts": {"error": 20}, "reasons": {"timeout": 20}, **provider},
        "retired": {"verdicts": {"error": 20}, "reasons": {"model_retired": 20}},
        "unknown": {"verdicts": {"error": 20}, "reasons": {"unauthorized": 20}},
        "unsupported": {"verdicts": {"unsupported": 20}},
    }
    cells = tuple(Cell(endpoint, "weather", "plain", **shapes[status]) for endpoint, status in statuses.items())
    return StoredRun("", str(number), 1, source, at - timedelta(minutes=2), at, complete=True, totals=summed(cells))
