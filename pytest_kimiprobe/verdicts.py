"""Types of a run's results: a `ProbeResult` for each probe, and the `Run` that holds them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from routing.types import CostOrigin, ErrorClass, Mode, RawToolCall, Usage

Verdict: TypeAlias = Literal["pass", "rescued", "fail", "error", "unsupported", "not_run"]
Source: TypeAlias = Literal["live", "local", "simulator", "replay"]
HONEST_MS = 20.0
"""Lag of our event loop in milliseconds (95th percentile) above which a latency is marked as unreliable."""
ProbeMode: TypeAlias = Mode | Literal["parity"]
PARITY: Literal["parity"] = "parity"
"""Mode of a verdict on a pair of plain and streamed answers. It is not counted in any cell or status."""
JUDGED: frozenset[Verdict] = frozenset({"pass", "rescued", "fail"})


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Verdict on one probe, and the facts that it is based on.

    `verdict` `error` means that there was nothing to judge. `reason` is a code of `routing.reasons`. `tool_calls` are
    as received. `calls` counts the structured tool calls of a finished answer. `valid_calls` counts those whose name
    was offered and whose arguments are strict JSON that satisfies the schema. `k2vv_valid` is the result of the K2
    Vendor Verifier's formula, None if the finish reason is not `tool_calls`.
    """

    id: str
    case: str
    endpoint: str
    mode: ProbeMode
    repeat: int
    verdict: Verdict
    reason: str
    detail: str = ""
    capability: str = "tools"
    """`tools`, or `tools:emulated` if the case describes its tools in the prompt and expects a rescue."""
    error_class: ErrorClass | None = None
    finish_reason: str | None = None
    tool_calls: tuple[RawToolCall, ...] = ()
    text: str = ""
    first_token_ms: float | None = None
    total_ms: float | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    cost_origin: CostOrigin = "unknown"
    calls: int = 0
    valid_calls: int = 0
    k2vv_valid: bool | None = None
    upstream: str | None = None
    load: str = ""
    """Load during the probe: `mixed`, `alone` or `crowd`; empty for a replay."""
    at_once: int = 0
    """Highest number of probes in flight at the endpoint meanwhile, this one included; 0 if nothing was sent."""
    refusals: int = 0
    """Number of HTTP 429 answers that this probe got, a final one included."""
    late_ms: float = 0.0
    """Lag of our event loop meanwhile, in milliseconds (95th percentile)."""
    wants_call: bool = False
    """Whether a right answer calls a tool."""
    leaked: bool = False
    """Whether the text or the reasoning contained a call or its markers."""
    evidence: bool = True
    """Whether the verdict is recorded as evidence about the endpoint (`Case.evidence`)."""

    @property
    def unreliable(self) -> bool:
        """Whether lag of our event loop makes the measured times unreliable."""
        return self.late_ms > HONEST_MS


@dataclass(frozen=True, slots=True)
class Run:
    """All probes of one invocation. `complete` is false for an interrupted run."""

    id: str
    attempt: int
    source: Source
    suite: str
    started_at: datetime
    finished_at: datetime
    complete: bool
    probes: tuple[ProbeResult, ...]
    references: Mapping[str, str] = field(default_factory=dict)
    """Endpoint → the reference endpoint of its model."""
    lag_p95_ms: float = 0.0
    """Lag of the engine's event loop over the whole run, in milliseconds (95th percentile)."""
    reached: bool = True
    """Whether any request reached a host. If not, the cause may be this machine's network."""

    @property
    def answers(self) -> tuple[ProbeResult, ...]:
        """The probes that sent one request each: all except verdicts on pairs."""
        return tuple(probe for probe in self.probes if probe.mode != PARITY)
