"""Compares verdicts of a replay with earlier verdicts, and finds those that changed. Pure.

Earlier verdicts come from one of three sources. A file that `--kimiprobe-json` wrote names every probe. A run file of
`results/` names failures and counts the rest by endpoint, case and mode. The third source is the cassettes themselves.
If there are only counts, the smallest number of changes that explains them is reported. Then a probe counts as
unchanged if its new verdict is among the counted ones.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from routing.errors import ConfigError
from routing.evidence.model import counted

from ..results.run_file import MAX_FAILURES, parsed
from ..safe_text import one_line
from ..verdicts import PARITY
from .samples import Sample

UNSENT = frozenset({"not_run", "unsupported"})
"""Verdicts of probes that were not sent."""


class AgainstError(ConfigError):
    """The file to compare with cannot be used. The message names it."""


ProbeGroup: TypeAlias = tuple[str, str, str]
"""Endpoint, case and mode: the key by which a run file counts verdicts."""


class VerdictReason(NamedTuple):
    """A verdict and its reason code."""

    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class JudgedProbe:
    """A probe with its verdict, as the replay or an earlier file gives it. `sample` is the number of the repeat."""

    id: str
    case: str
    endpoint: str
    mode: str
    sample: int
    judgement: VerdictReason
    detail: str = ""

    @property
    def group(self) -> ProbeGroup:
        return self.endpoint, self.case, self.mode


@dataclass(slots=True)
class VerdictCounts:
    """How often each verdict and each reason occurred in one group. For passed probes no reason is counted."""

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def holds(self, judgement: VerdictReason) -> bool:
        """Whether the verdict and its reason are among the remaining ones."""
        return self.verdicts[judgement.verdict] > 0 and (
            judgement.verdict == "pass" or self.reasons[judgement.reason] > 0
        )

    def remove(self, judgement: VerdictReason) -> None:
        """Remove one verdict and its reason from the counts."""
        self.verdicts[judgement.verdict] -= 1
        self.reasons[judgement.reason] -= judgement.verdict != "pass"

    def any_left(self) -> VerdictReason | None:
        """One of the remaining verdicts; None if none is left."""
        verdict = next((name for name in sorted(self.verdicts) if self.verdicts[name] > 0 and name not in UNSENT), "")
        reason = next((name for name in sorted(self.reasons) if self.reasons[name] > 0), "")
        return VerdictReason(verdict, "ok" if verdict == "pass" else reason) if verdict else None

    @property
    def left(self) -> int:
        """Number of remaining verdicts."""
        return sum(max(count, 0) for name, count in self.verdicts.items() if name not in UNSENT)


@dataclass(frozen=True, slots=True)
class EarlierVerdicts:
    """Verdicts that a replay is compared with: `known` by probe id, and `counts` if the file names only failures.

    `run` is the id of the run that gave them; empty if they may be compared with recordings of any run.
    """

    run: str
    known: Mapping[str, VerdictReason]
    counts: Mapping[ProbeGroup, VerdictCounts] | None = None
    whole: bool = True
    """Whether every failure is named; a run file names only the first MAX_FAILURES."""


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """A probe whose verdict or reason has changed."""

    probe: JudgedProbe
    before: VerdictReason


@dataclass(frozen=True, slots=True)
class ReplayDiff:
    """Result of a comparison: the changed verdicts, and three numbers.

    `compared` counts probes with an earlier verdict, `extra` probes without one, `missing` earlier verdicts without a
    probe.
    """

    changed: tuple[VerdictChange, ...]
    compared: int
    missing: int
    extra: int
    pairs: int = 0
    """Number of pairs among the compared probes."""


def judged_in(document: Any, where: str) -> list[JudgedProbe]:
    """The probes of a file that `--kimiprobe-json` wrote. Raises AgainstError."""
    try:
        return [_judged(row) for row in document["probes"]]
    except (KeyError, TypeError, ValueError) as problem:
        raise AgainstError(
            f"not written by --kimiprobe-json: {type(problem).__name__} in `probes`", where=where
        ) from None


def verdicts_in(text: str, where: str) -> EarlierVerdicts:
    """The verdicts of a run file or of a file that `--kimiprobe-json` wrote. Raises AgainstError for other files."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise AgainstError("is not JSON", where=where) from None
    if not isinstance(document, dict) or document.get("version") != 1 or not {"probes", "cells"} & document.keys():
        raise AgainstError("is neither a run file of results/ nor written by --kimiprobe-json", where=where)
    if "probes" in document:
        known = {probe.id: probe.judgement for probe in judged_in(document, where)}
        return EarlierVerdicts("" if document.get("source") == "replay" else str(document.get("run", "")), known)
    try:
        run = parsed(text, where)
        counts = _counts(document["cells"])
        known = {str(row["id"]): VerdictReason(str(row["verdict"]), str(row["reason"])) for row in document["failures"]}
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise AgainstError(f"is not a run file: {one_line(str(problem))}", where=where) from None
    return EarlierVerdicts(run.id, known, counts, whole=len(known) < MAX_FAILURES)


def recorded_verdicts(samples: Iterable[Sample]) -> EarlierVerdicts:
    """The verdicts that were given when the cassettes were recorded."""
    return EarlierVerdicts(
        "", {sample.id: VerdictReason(sample.verdict, sample.reason) for sample in samples if sample.verdict}
    )


def _counts(rows: Iterable[Mapping[str, Any]]) -> dict[ProbeGroup, VerdictCounts]:
    """The counts of a run file by group. Counts of zero are not in its rows."""
    groups: dict[ProbeGroup, VerdictCounts] = defaultdict(VerdictCounts)
    for row in rows:
        group = groups[str(row["endpoint"]), str(row["case"]), str(row["mode"])]
        for kept, name in ((group.verdicts, "verdicts"), (group.reasons, "reasons")):
            kept.update({str(value): counted(count, name) for value, count in row.get(name, {}).items()})
    return groups


def compare(now: Sequence[JudgedProbe], before: EarlierVerdicts) -> ReplayDiff:
    """Compare every probe of `now` with its earlier verdict."""
    counts = {
        group: VerdictCounts(Counter(row.verdicts), Counter(row.reasons))
        for group, row in (before.counts or {}).items()
    }
    earlier: dict[str, VerdictReason | None] = {}
    unnamed = []
    for probe in _comparable(now, before):
        judgement = before.known.get(probe.id if before.counts is None else one_line(probe.id))
        if judgement is None:
            unnamed.append(probe)
            continue
        earlier[probe.id] = judgement
        counts.get(probe.group, VerdictCounts()).remove(judgement)
    earlier |= _of_counts(unnamed, counts)
    if before.counts is not None:
        earlier |= {probe.id: VerdictReason("pass", "ok") for probe in unnamed if probe.mode == PARITY}
    pairs = [(probe, earlier[probe.id]) for probe in now if probe.id in earlier]
    named = 0 if before.counts is not None else _without_recording(before, now)
    return ReplayDiff(
        tuple(
            VerdictChange(probe, judgement)
            for probe, judgement in pairs
            if judgement is not None and judgement != probe.judgement
        ),
        sum(judgement is not None for _, judgement in pairs),
        named + sum(row.left for row in counts.values()),
        sum(judgement is None for _, judgement in pairs),
        sum(judgement is not None and probe.mode == PARITY for probe, judgement in pairs),
    )


def _comparable(now: Sequence[JudgedProbe], before: EarlierVerdicts) -> Iterator[JudgedProbe]:
    """Probes that can be compared: all, except pairs without an earlier verdict.

    Cassettes contain no pairs, and run files name only failed pairs. If a run file names every failure, a pair that it
    does not name has passed. Such a pair is compared if it fails now.
    """
    for probe in now:
        counting = before.counts is not None
        named = probe.id in before.known or (counting and one_line(probe.id) in before.known)
        if named or probe.mode != PARITY or (counting and before.whole and probe.judgement.verdict == "fail"):
            yield probe


def _of_counts(
    probes: Sequence[JudgedProbe], counts: Mapping[ProbeGroup, VerdictCounts]
) -> dict[str, VerdictReason | None]:
    """Earlier verdicts of probes that a run file counts but does not name.

    If the new verdict of a probe is among the counted ones, it is also the earlier one. Otherwise one of the remaining
    verdicts is used; None if none remains.
    """
    earlier: dict[str, VerdictReason | None] = {}
    changed = []
    for probe in probes:
        row = counts.get(probe.group)
        if row is not None and row.holds(probe.judgement):
            row.remove(probe.judgement)
            earlier[probe.id] = probe.judgement
        else:
            changed.append(probe)
    for probe in changed:
        row = counts.get(probe.group)
        judgement = earlier[probe.id] = row.any_left() if row is not None else None
        if row is not None and judgement is not None:
            row.remove(judgement)
    return earlier


def _without_recording(before: EarlierVerdicts, now: Sequence[JudgedProbe]) -> int:
    """Number of earlier verdicts without a probe in `now`, except those of probes that were not sent."""
    replayed = {probe.id for probe in now}
    return sum(name not in replayed and judgement.verdict not in UNSENT for name, judgement in before.known.items())


def _judged(row: Mapping[str, Any]) -> JudgedProbe:
    return JudgedProbe(
        id=str(row["id"]),
        case=str(row["case"]),
        endpoint=str(row["endpoint"]),
        mode=str(row["mode"]),
        sample=int(row["repeat"]),
        judgement=VerdictReason(str(row["verdict"]), str(row["reason"])),
        detail=str(row.get("detail", "")),
    )
