"""What a run produces: one `ProbeResult` a probe, all of them in a `Run`. Pure nouns."""

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
"""Above this lag of our own loop (95th percentile) a latency is marked as unreliable."""
ProbeMode: TypeAlias = Mode | Literal["parity"]
PARITY: Literal["parity"] = "parity"
"""The mode of a verdict on a pair, plain and streamed. It is no answer: it makes no cell and counts for no status."""
JUDGED: frozenset[Verdict] = frozenset({"pass", "rescued", "fail"})


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The judge's word on one probe, with what it was based on.

    `verdict` `error` means there was nothing to judge; `reason` is a code of `routing.reasons`; `tool_calls` are as
    received. `calls` and `valid_calls` count the structured tool calls of a finished answer and those of them whose
    name was offered and whose arguments are strict JSON that satisfies the schema; `k2vv_valid` is the judgement by
    the K2 Vendor Verifier's formula, None where its finish reason is not `tool_calls`.
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
    """`tools`, or `tools:emulated` where the case describes its tools in the prompt and expects a rescue."""
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
    """What else was under way at the endpoint: `mixed`, `alone` or `crowd`; empty for a replay."""
    at_once: int = 0
    """The most probes under way at the endpoint meanwhile, this one included; 0 where nothing was sent."""
    refusals: int = 0
    """HTTP 429s that were waited out before this answer."""
    late_ms: float = 0.0
    """How late our own loop was meanwhile (95th percentile)."""
    wants_call: bool = False
    """Whether a right answer calls a tool."""
    leaked: bool = False
    """Whether a call, or its markers, stood in the text or the reasoning."""

    @property
    def unreliable(self) -> bool:
        """Whether its times are ours rather than the provider's."""
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
    """How late the engine's loop was over the whole run."""

    @property
    def answers(self) -> tuple[ProbeResult, ...]:
        """The probes that were one request each: all but verdicts on pairs."""
        return tuple(probe for probe in self.probes if probe.mode != PARITY)
