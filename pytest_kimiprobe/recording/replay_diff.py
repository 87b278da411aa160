"""Verdicts of a replay held against those of before: which changed. Pure.

Before is a file that `--kimiprobe-json` wrote, which names every probe; or a run file of `results/`, which names failures
and counts the rest by endpoint, case and mode; or what stands in the cassettes themselves. Where there are only counts, the
fewest changes that explain them are told: a probe whose verdict is among those counted has not changed.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from routing.errors import ConfigError
from routing.evidence.model import counted

from ..results.run_file import MAX_FAILURES, parsed
from ..safe_text import one_line
from ..verdicts import PARITY
from .samples import Sample

UNSENT = frozenset({"not_run", "unsupported"})


class AgainstError(ConfigError):
    """The file to compare with cannot be used. The message names it."""


class Word(NamedTuple):
    """A verdict and its reason code."""

    verdict: str
    reason: str


class Cell(NamedTuple):
    """Where a run file counts."""

    endpoint: str
    case: str
    mode: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A probe with its verdict."""

    id: str
    case: str
    endpoint: str
    mode: str
    sample: int
    word: Word
    detail: str = ""

    @property
    def cell(self) -> Cell:
        return Cell(self.endpoint, self.case, self.mode)


@dataclass(slots=True)
class Counted:
    """How often each verdict and each reason was given in one cell; what passed has no reason there."""

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def holds(self, word: Word) -> bool:
        """Whether one of those counted may be this."""
        return self.verdicts[word.verdict] > 0 and (word.verdict == "pass" or self.reasons[word.reason] > 0)

    def take(self, word: Word) -> None:
        """One of them is accounted for."""
        self.verdicts[word.verdict] -= 1
        self.reasons[word.reason] -= word.verdict != "pass"

    def any_left(self) -> Word | None:
        """One that nobody accounts for."""
        verdict = next((name for name in sorted(self.verdicts) if self.verdicts[name] > 0 and name not in UNSENT), "")
        reason = next((name for name in sorted(self.reasons) if self.reasons[name] > 0), "")
        return Word(verdict, "ok" if verdict == "pass" else reason) if verdict else None

    @property
    def left(self) -> int:
        """How many nobody accounts for."""
        return sum(max(count, 0) for name, count in self.verdicts.items() if name not in UNSENT)


@dataclass(frozen=True, slots=True)
class Before:
    """What is compared with: verdicts by the probes' ids, and counts of all where only failures are named.

    `run` is empty where it does not matter whose answers were judged.
    """

    run: str
    known: Mapping[str, Word]
    counted: Mapping[Cell, Counted] | None = None
    whole: bool = True
    """Whether every failure is named; a run file names the first ones."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A probe whose verdict or reason is another one now."""

    probe: Judged
    before: Word


@dataclass(frozen=True, slots=True)
class Comparison:
    """`compared` probes; `missing` verdicts of before that no recording is here for; `extra` probes unknown then."""

    changed: tuple[Changed, ...]
    compared: int
    missing: int
    extra: int
    pairs: int = 0
    """How many of those compared are verdicts on pairs."""


def judged_in(document: Any, where: str) -> list[Judged]:
    """The probes of a file that `--kimiprobe-json` wrote. Raises AgainstError."""
    try:
        return [_judged(row) for row in document["probes"]]
    except (KeyError, TypeError, ValueError) as problem:
        raise AgainstError(
            f"not written by --kimiprobe-json: {type(problem).__name__} in `probes`", where=where
        ) from None


def before_in(text: str, where: str) -> Before:
    """What a run file or a file of `--kimiprobe-json` says. Raises AgainstError for anything else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise AgainstError("is not JSON", where=where) from None
    if not isinstance(document, dict) or document.get("version") != 1 or not {"probes", "cells"} & document.keys():
        raise AgainstError("is neither a run file of results/ nor written by --kimiprobe-json", where=where)
    if "probes" in document:
        known = {probe.id: probe.word for probe in judged_in(document, where)}
        return Before("" if document.get("source") == "replay" else str(document.get("run", "")), known)
    try:
        run = parsed(text, where)
        cells = _counted(document["cells"])
        known = {str(row["id"]): Word(str(row["verdict"]), str(row["reason"])) for row in document["failures"]}
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise AgainstError(f"is no run file: {one_line(str(problem))}", where=where) from None
    return Before(run.id, known, cells, whole=len(known) < MAX_FAILURES)


def recorded_before(samples: Iterable[Sample]) -> Before:
    """What the judge said when the cassettes were recorded."""
    return Before("", {sample.id: Word(sample.verdict, sample.reason) for sample in samples if sample.verdict})


def _counted(rows: Iterable[Mapping[str, Any]]) -> dict[Cell, Counted]:
    """The cells of a run file; a row leaves out what is nothing."""
    cells: dict[Cell, Counted] = defaultdict(Counted)
    for row in rows:
        cell = cells[Cell(str(row["endpoint"]), str(row["case"]), str(row["mode"]))]
        for kept, name in ((cell.verdicts, "verdicts"), (cell.reasons, "reasons")):
            kept.update({str(word): counted(count, name) for word, count in row.get(name, {}).items()})
    return cells


def compare(now: Sequence[Judged], before: Before) -> Comparison:
    """Every probe of `now` against its verdict of before."""
    counted = {
        cell: Counted(Counter(row.verdicts), Counter(row.reasons)) for cell, row in (before.counted or {}).items()
    }
    words: dict[str, Word | None] = {}
    unnamed = []
    for probe in _tellable(now, before):
        word = before.known.get(probe.id if before.counted is None else one_line(probe.id))
        if word is None:
            unnamed.append(probe)
            continue
        words[probe.id] = word
        counted.get(probe.cell, Counted()).take(word)
    words |= _of_counts(unnamed, counted)
    if before.counted is not None:
        words |= {probe.id: Word("pass", "ok") for probe in unnamed if probe.mode == PARITY}
    pairs = [(probe, words[probe.id]) for probe in now if probe.id in words]
    named = 0 if before.counted is not None else _unseen(before, now)
    return Comparison(
        tuple(Changed(probe, word) for probe, word in pairs if word is not None and word != probe.word),
        sum(word is not None for _, word in pairs),
        named + sum(row.left for row in counted.values()),
        sum(word is None for _, word in pairs),
        sum(word is not None and probe.mode == PARITY for probe, word in pairs),
    )


def _tellable(now: Sequence[Judged], before: Before) -> Iterator[Judged]:
    """All but pairs of which nothing is known: they are in no cassette, and a run file names only those that failed."""
    for probe in now:
        counting = before.counted is not None
        named = probe.id in before.known or (counting and one_line(probe.id) in before.known)
        if named or probe.mode != PARITY or (counting and before.whole and probe.word.verdict == "fail"):
            yield probe


def _of_counts(probes: Sequence[Judged], counted: Mapping[Cell, Counted]) -> dict[str, Word | None]:
    """Verdicts of before for probes that only counts speak of: their own where it was counted, then what is left."""
    words: dict[str, Word | None] = {}
    changed = []
    for probe in probes:
        row = counted.get(probe.cell)
        if row is not None and row.holds(probe.word):
            row.take(probe.word)
            words[probe.id] = probe.word
        else:
            changed.append(probe)
    for probe in changed:
        row = counted.get(probe.cell)
        word = words[probe.id] = row.any_left() if row is not None else None
        if row is not None and word is not None:
            row.take(word)
    return words


def _unseen(before: Before, now: Sequence[Judged]) -> int:
    """Verdicts of before that no probe of `now` has; what was not sent then could not be recorded."""
    there = {probe.id for probe in now}
    return sum(name not in there and word.verdict not in UNSENT for name, word in before.known.items())


def _judged(row: Mapping[str, Any]) -> Judged:
    return Judged(
        id=str(row["id"]),
        case=str(row["case"]),
        endpoint=str(row["endpoint"]),
        mode=str(row["mode"]),
        sample=int(row["repeat"]),
        word=Word(str(row["verdict"]), str(row["reason"])),
        detail=str(row.get("detail", "")),
    )
