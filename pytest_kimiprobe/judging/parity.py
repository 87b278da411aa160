"""Parity: one case at one endpoint must give the same calls, plain and streamed. Pure.

The failure of a pair is shown and recorded, but does not count for any status, because a pair is not an answer.
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
class PairAnswer:
    """One answer of a pair: its verdict and its deliverable calls."""

    verdict: Verdict = "not_run"
    calls: Sequence[ToolCall] = ()


def compare(case: Case, plain: PairAnswer, stream: PairAnswer) -> Judgement:
    """Judge a pair. It passes if both deliver the same calls, rescued or not, or if both failed."""
    if not {plain.verdict, stream.verdict} <= JUDGED:
        return Judgement("not_run", "no_pair", f"plain {plain.verdict}, stream {stream.verdict}")
    if (plain.verdict == "fail") != (stream.verdict == "fail"):
        return Judgement("fail", "not_alike", f"plain {plain.verdict}, stream {stream.verdict}")
    if plain.verdict == "fail" or _same(plain.calls, stream.calls, whole=case.parity == "arguments"):
        return Judgement("pass", "ok")
    return Judgement("fail", "not_alike", f"plain called {_names(plain)}, stream {_names(stream)}")


def _same(ones: Sequence[ToolCall], others: Sequence[ToolCall], *, whole: bool) -> bool:
    """Whether the calls are the same in any order; `whole` compares arguments too."""
    if len(ones) != len(others):
        return False

    def alike(one: int, other: int) -> bool:
        first, second = ones[one], others[other]
        return first.name == second.name and (not whole or equal(first.arguments, second.arguments))

    return len(paired(len(ones), len(others), alike)) == len(ones)


def _names(answer: PairAnswer) -> str:
    return ", ".join(call.name for call in answer.calls) or "nothing"
