"""Parity: one case at one endpoint, plain and streamed, must give the same calls. Pure.

A verdict on a pair is no answer of its own: it is shown and recorded as a failure, and counts for no status.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from routing.types import ToolCall

from ..cases.matchers import equal, paired
from ..cases.model import Case
from ..verdicts import JUDGED, Verdict
from .judge import Judgement


@dataclass(frozen=True, slots=True)
class Half:
    """One of both: its verdict, and the calls that may be delivered."""

    verdict: Verdict = "not_run"
    calls: Sequence[ToolCall] = ()


def compare(case: Case, plain: Half, stream: Half) -> Judgement:
    """The word on a pair: alike where both deliver the same calls, as they came or rescued, or both failed."""
    if not {plain.verdict, stream.verdict} <= JUDGED:
        return Judgement("not_run", "no_pair", f"plain {plain.verdict}, stream {stream.verdict}")
    if (plain.verdict == "fail") != (stream.verdict == "fail"):
        return Judgement("fail", "not_alike", f"plain {plain.verdict}, stream {stream.verdict}")
    if plain.verdict == "fail" or _same(plain.calls, stream.calls, whole=case.parity == "arguments"):
        return Judgement("pass", "ok")
    return Judgement("fail", "not_alike", f"plain called {_names(plain)}, stream {_names(stream)}")


def _same(ones: Sequence[ToolCall], others: Sequence[ToolCall], *, whole: bool) -> bool:
    """Whether each call has its like, in any order."""
    if len(ones) != len(others):
        return False

    def alike(one: int, other: int) -> bool:
        first, second = ones[one], others[other]
        return first.name == second.name and (not whole or equal(first.arguments, second.arguments))

    return len(paired(len(ones), len(others), alike)) == len(ones)


def _names(half: Half) -> str:
    return ", ".join(call.name for call in half.calls) or "nothing"
