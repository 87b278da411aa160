"""Input and output of the dispatcher: probes to send, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from routing.exchange import Exchange, Target

from ..cases.plan import ProbePlan
from .capture import CapturedExchange

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProbeJob(Generic[T]):
    """One probe to send; `item` identifies it for the caller."""

    item: T
    plan: ProbePlan
    target: Target


@dataclass(frozen=True, slots=True)
class ProbeOutcome(Generic[T]):
    """Result of one job: an exchange, or the reason code for which nothing was sent.

    `at_once` is the highest number of requests in flight at the endpoint meanwhile. `refusals` counts the 429s
    of this probe, a final one included. `late_ms` is the lag of the event loop while the exchange ran. `captured` holds
    the bytes, if they are recorded.
    """

    item: T
    exchange: Exchange | None = None
    not_run: str = ""
    at_once: int = 0
    refusals: int = 0
    late_ms: float = 0.0
    captured: CapturedExchange | None = None
