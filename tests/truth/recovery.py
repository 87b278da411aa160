"""Whether runs recover what the personas truly are: coverage of the intervals, order of what is told apart."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from played import Asked
from ranking_order import told_apart
from shared_data import DATA

from pytest_kimiprobe.simulator import Persona
from pytest_kimiprobe.simulator.behaviour.draws import first_token_ms, plain_persona_name, uniforms
from pytest_kimiprobe.stats.measures import Measures, measures_of
from pytest_kimiprobe.stats.quantiles import quantile_interval
from pytest_kimiprobe.stats.ranking import Ranking, rankings
from pytest_kimiprobe.verdicts import ProbeResult

PARAMETERS = ("schema", "trigger", "leak", "availability", "first_token_p50", "first_token_p95")
"""What a persona is made of, by the names that the measures have for it."""
REQUESTS = 4000
"""Of a published table that does not tell how many answers were no tool calls (K2-Vendor-Verifier, README)."""


@dataclass(frozen=True, slots=True)
class Host:
    """One row: a persona with rates. Hosts are compared within their `table`."""

    table: str
    name: str
    persona: Persona

    @property
    def place(self) -> str:
        """Where it stands, as the simulator would know it: every host has draws of its own."""
        return f"{self.table}/{self.name}"

    @property
    def truth(self) -> dict[str, float]:
        """The true rates (0..1) and percentiles (ms)."""
        it = self.persona
        return {
            "availability": it.availability,
            "trigger": it.trigger_rate,
            "leak": it.leak_rate,
            "schema": it.schema_accuracy,
            "first_try": it.trigger_rate * (1 - it.leak_rate) * it.schema_accuracy,
            "first_token_p50": it.first_token_ms,
            "first_token_p95": it.first_token_p95_ms or it.first_token_ms,
        }


@dataclass(slots=True)
class Tally:
    """Hits of intervals whose true value they could miss; `certain` hits are of rates of exactly 0 or 1."""

    hit: int = 0
    all: int = 0
    certain_hit: int = 0
    certain: int = 0

    def add(self, truth: float, low: float | None, high: float | None, *, rate: bool) -> None:
        covered = (low is None or low <= truth) and (high is None or truth <= high)
        if rate and truth in {0.0, 1.0}:
            self.certain, self.certain_hit = self.certain + 1, self.certain_hit + covered
        else:
            self.all, self.hit = self.all + 1, self.hit + covered

    def plus(self, other: Tally) -> Tally:
        return Tally(
            self.hit + other.hit,
            self.all + other.all,
            self.certain_hit + other.certain_hit,
            self.certain + other.certain,
        )

    @property
    def coverage(self) -> float:
        """Share of the intervals, those of certain rates left out, that hold the truth."""
        return self.hit / self.all

    @property
    def spread(self) -> float:
        """Binomial standard deviation of the coverage, were it 95 %."""
        return math.sqrt(0.95 * 0.05 / self.all)

    @property
    def coverage_of_all(self) -> float:
        """With the rates of exactly 0 or 1."""
        return (self.hit + self.certain_hit) / (self.all + self.certain)


@dataclass(slots=True)
class Order:
    """Pairs of hosts on one rate: told apart, of them in the wrong order; the same for plain 95 % intervals."""

    pairs: int = 0
    told: int = 0
    wrong: int = 0
    apart: int = 0
    apart_wrong: int = 0


@dataclass(slots=True)
class Recovery:
    """What many runs came to."""

    covered: dict[tuple[str, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    """By measure and place."""
    order: dict[str, Order] = field(default_factory=lambda: defaultdict(Order))
    alike_but_told: int = 0
    """Pairs whose 95 % intervals overlap and that were told apart all the same."""
    probes: int = 0

    def of(self, measure: str) -> Tally:
        """All hosts of one measure."""
        return self._sum(tally for (name, _), tally in self.covered.items() if name == measure)

    @property
    def pooled(self) -> Tally:
        """All parameters of all hosts."""
        return self._sum(tally for (name, _), tally in self.covered.items() if name in PARAMETERS)

    @staticmethod
    def _sum(tallies: Iterable[Tally]) -> Tally:
        total = Tally()
        for tally in tallies:
            total = total.plus(tally)
        return total


def recovered(hosts: Sequence[Host], asked: Sequence[Asked], seeds: Iterable[int], repeats: int) -> Recovery:
    """One run a seed, every request to every host so many times."""
    found = Recovery()
    for seed in seeds:
        measured = {host.place: _measured(host, asked, seed, repeats, found) for host in hosts}
        for group in _tables(hosts):
            _compare(group, {host.place: measured[host.place] for host in group}, found)
    return found


def _measured(host: Host, asked: Sequence[Asked], seed: int, repeats: int, found: Recovery) -> Measures:
    probes, times = _probed(host, asked, seed, repeats)
    found.probes += len(probes)
    (row,) = measures_of(probes, {}).values()
    truth = host.truth
    for name, rate in {**row.rates, "first_try": row.strict}.items():
        if name in truth and (interval := rate.interval) is not None:
            found.covered[name, host.place].add(truth[name], interval.low, interval.high, rate=True)
    for percent in (50, 95):
        name = f"first_token_p{percent}"
        if (ends := quantile_interval(times, percent / 100)) is not None:
            found.covered[name, host.place].add(truth[name], ends.low, ends.high, rate=False)
    return row


def _probed(host: Host, asked: Sequence[Asked], seed: int, repeats: int) -> tuple[list[ProbeResult], list[float]]:
    """Verdicts, and first tokens as a clock without error would take them."""
    results, times = [], []
    for one in asked:
        for count in range(repeats):
            drawn = uniforms(seed, host.place, one.content, count)
            name = plain_persona_name(host.persona, drawn)
            results.append(one.result(name))
            if name != "down":
                times.append(first_token_ms(host.persona, drawn))
    return results, times


def _tables(hosts: Sequence[Host]) -> list[list[Host]]:
    tables: dict[str, list[Host]] = defaultdict(list)
    for host in hosts:
        tables[host.table].append(host)
    return list(tables.values())


def _compare(hosts: Sequence[Host], measured: Mapping[str, Measures], found: Recovery) -> None:
    for name, ranking in rankings(measured).items():
        if name in hosts[0].truth:
            for one, other in combinations(hosts, 2):
                _pair(name, ranking, (one, other), measured, found)


def _pair(
    name: str, ranking: Ranking, pair: tuple[Host, Host], measured: Mapping[str, Measures], found: Recovery
) -> None:
    one, other = pair
    rates = [
        row.strict if name == "first_try" else row.rates[name] for row in (measured[one.place], measured[other.place])
    ]
    here, there = rates[0].interval, rates[1].interval
    if here is None or there is None:
        return
    better = one.truth[name] - other.truth[name]
    shown = (rates[0].share or 0.0) - (rates[1].share or 0.0)
    wrong = better * shown <= 0
    told, apart, order = told_apart(ranking, one.place, other.place), not here.overlaps(there), found.order[name]
    order.pairs += 1
    order.told, order.wrong = order.told + told, order.wrong + (told and wrong)
    order.apart, order.apart_wrong = order.apart + apart, order.apart_wrong + (apart and wrong)
    found.alike_but_told += told and not apart


def published(*, latest: bool = True) -> list[Host]:
    """The rows of K2VV's published tables, each as a persona; the newest table of each model, or all there are.

    Schema accuracy and trigger rate are published, availability where a table tells of other finish reasons. What was
    never published (leaks, latency, else availability) is a ladder laid over the rows, see `_ladder`.
    """
    data = json.loads((DATA / "k2vv_tables.json").read_text("utf-8"))
    rows: dict[tuple[str, str, int], Mapping[str, int]] = {}
    for table in data["latest"] if latest else [*data["history"], *data["latest"]]:
        name = f"{table['model']} {table['test_time']}"
        for row in table["rows"]:
            counts = _counts(row)
            rows[name, row["provider"], counts["calls"]] = counts  # some tables stand in several revisions
    return [
        Host(table, f"{provider} {calls}", _persona(counts, place, len(rows)))
        for place, ((table, provider, calls), counts) in enumerate(rows.items())
    ]


def _counts(row: Mapping[str, int]) -> Mapping[str, int]:
    if "finish_tool_calls" in row:
        asked = row["finish_tool_calls"] + row["finish_stop"] + row["finish_others"]
        return {
            "calls": row["finish_tool_calls"],
            "good": row["successful"],
            "asked": asked,
            "lost": row["finish_others"],
        }
    return {
        "calls": row["count_finish_reason_tool_calls"],
        "good": row["count_successful_tool_call"],
        "asked": REQUESTS,
    }


def _persona(counts: Mapping[str, int], place: int, of: int) -> Persona:
    lost = counts.get("lost")
    unavailable = _ladder(0.005, 0.3, place * 7, of) if lost is None else lost / counts["asked"]
    median = _ladder(200, 8000, place * 11, of)
    return Persona(
        availability=1 - unavailable,
        trigger_rate=counts["calls"] / (counts["asked"] - (lost or 0)),
        leak_rate=_ladder(0.003, 0.3, place * 5, of),
        schema_accuracy=counts["good"] / counts["calls"],
        first_token_ms=median,
        first_token_p95_ms=median * _ladder(1.5, 6, place * 13, of),
    )


def own(of: int = 12) -> list[Host]:
    """Hosts over the whole range that was ever published, for where the published tables are not at hand."""
    return [
        Host(
            "own",
            f"host {place}",
            Persona(
                availability=1 - _ladder(0.005, 0.3, place * 7, of),
                trigger_rate=1 - _ladder(0.03, 0.85, place * 5, of),
                leak_rate=_ladder(0.003, 0.3, place * 11, of),
                schema_accuracy=1 - (_ladder(0.001, 0.3, place, of) if place else 0.0),
                first_token_ms=_ladder(200, 8000, place * 5, of),
                first_token_p95_ms=_ladder(200, 8000, place * 5, of) * _ladder(1.5, 6, place * 7, of),
            ),
        )
        for place in range(of)
    ]


def _ladder(low: float, high: float, step: int, of: int) -> float:
    """The rung `step` (modulo `of`) of a ladder with equal ratios from `low` to `high`."""
    return float(low * (high / low) ** (step % of / (of - 1)))
