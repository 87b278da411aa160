"""The screen that ends a run: 24 lines of 80 columns say what to use, why not the others, and what to type next."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

import pytest

from pytest_kimiprobe.reporting.findings import causes
from pytest_kimiprobe.reporting.summary import Spent, Summary
from pytest_kimiprobe.reporting.terminal import screen
from pytest_kimiprobe.results.store import Change
from pytest_kimiprobe.stats.measures import Rate
from pytest_kimiprobe.stats.ranking import rank
from pytest_kimiprobe.verdicts import ProbeResult, Run, Source, Verdict

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PLAIN = "openrouter/moonshotai/kimi-k2.6"
DIRECT = "moonshot/kimi-k2.6"
SPENT = Spent(Decimal("0.335"), Decimal("0.5"), 6.7, 0.3)
_NUMBERS = count()


def probes(endpoint: str, verdict: Verdict, reason: str, number: int, **more: object) -> list[ProbeResult]:
    rows = (
        ProbeResult(f"f::weather[{endpoint}-{n}]", f"case{n}", endpoint, "plain", 1, verdict, reason) for n in _NUMBERS
    )
    return [replace(next(rows), **more) for _ in range(number)]  # type: ignore[arg-type]


def a_summary(*groups: Iterable[ProbeResult], source: Source = "simulator") -> Summary:
    found = tuple(probe for group in groups for probe in group)
    run = Run("1", 1, source, "core", NOW, NOW, True, found, {DIRECT: DIRECT, PLAIN: DIRECT})
    return replace(Summary.of(run, SPENT), model="kimi-k2.6")


def lines(summary: Summary, **how: bool) -> list[str]:
    return [line.text for line in screen(summary, **how)]


WORST = (
    probes(f"{PLAIN}+wandb/fp8", "pass", "ok", 54, total_ms=88.0, cost_usd=Decimal("0.0005")),
    probes(f"{PLAIN}+moonshotai/int4", "pass", "ok", 54, total_ms=607.0, cost_usd=Decimal("0.0007")),
    probes(DIRECT, "pass", "ok", 50, total_ms=84.0),
    probes("moonshot-cn/kimi-k2.6", "pass", "ok", 50, total_ms=75.0),
    probes(f"{PLAIN}+novita/fp8", "pass", "ok", 22),
    probes(f"{PLAIN}+novita/fp8", "rescued", "rescued_text", 32),
    probes(PLAIN, "pass", "ok", 13),
    probes(PLAIN, "error", "rate_limited", 41, error_class="provider"),
    probes(f"{PLAIN}+a-host-of-a-very-long-name-that-fits-no-table/fp4", "fail", "finish_without_calls", 30),
    probes(f"{PLAIN}+a-host-of-a-very-long-name-that-fits-no-table/fp4", "fail", "arguments_not_object", 24),
    probes(f"{PLAIN}+fireworks/fp8", "error", "server_error", 54, error_class="provider"),
)


def test_eight_endpoints_end_on_one_screen_of_24_lines() -> None:
    """pytest's last line belongs to it; each line fits 80 columns, however long the names."""
    shown = lines(a_summary(*WORST))
    assert len(shown) <= 23, "\n".join(shown)
    assert max(map(len, shown)) <= 80, max(shown, key=len)
    assert max(map(len, lines(a_summary(*WORST), further=True))) <= 80


def test_endpoints_are_sorted_by_recommendation() -> None:
    """What works by price, then what needs rescue, is degraded, broken, down."""
    summary = replace(
        a_summary(*WORST),
        prices={
            f"{PLAIN}+wandb/fp8": Decimal("0.01"),
            f"{PLAIN}+moonshotai/int4": Decimal("0.0127"),
            DIRECT: Decimal("0.0127"),
        },
    )
    assert summary.order[:4] == [f"{PLAIN}+wandb/fp8", f"{PLAIN}+moonshotai/int4", DIRECT, "moonshot-cn/kimi-k2.6"]
    statuses = [summary.evidence[name].status for name in summary.order]
    assert statuses == ["works"] * 4 + ["needs_rescue", "degraded", "broken", "down"]


def test_each_figure_has_one_definition() -> None:
    """Answered of requests, right at the first try, right after rescue; the same numbers as evidence and measures."""
    summary = a_summary(*WORST)
    rows = {line.split()[0]: line.split()[1:4] for line in lines(summary)[4:12]}
    assert rows["openrouter+novita/fp8"] == ["54/54", "22", "32"]
    assert rows["openrouter"] == ["13/54", "13", "."]
    for name, row in summary.evidence.items():
        assert summary.measures[name].strict == Rate(row.counts.passed, row.counts.judged)


def test_each_cause_is_shown_once_with_its_count() -> None:
    """Failures and errors before rescues, each by their count; what does not fit is counted together."""
    summary = a_summary(*WORST)
    assert [(cause.count, len(cause.endpoints)) for cause in causes(summary)] == [
        (54, 1),
        (41, 1),
        (30, 1),
        (24, 1),
        (32, 1),
    ]
    shown = lines(summary)
    assert "why   54x HTTP 5xx or an error inside an answer: openrouter+fireworks/fp8" in shown
    assert "      32x the tool call was in the text and was rescued: openrouter+novita/fp8" in shown
    crowded = lines(replace(summary, notes=["a note"]))
    assert "      30x finish reason tool_calls, but no call anywhere: openrouter..-table/fp4" in crowded
    assert "      56x for 2 more causes; -v lists them" in crowded
    assert len(crowded) == 23
    both = a_summary(probes(PLAIN, "error", "timeout", 2), probes(DIRECT, "error", "timeout", 3))
    assert "why   5x no complete answer within the deadline: moonshot +1" in lines(both)


def test_requests_that_the_table_does_not_count_have_their_own_line() -> None:
    """With them the table adds up to the number of requests; pairs are counted apart."""
    emulated = probes(DIRECT, "rescued", "rescued_text", 13, capability="tools:emulated")
    emulated += probes(PLAIN, "error", "timeout", 3, capability="tools:emulated", error_class="provider")
    shown = lines(a_summary(*WORST, emulated, probes(DIRECT, "pass", "ok", 2, mode="parity")))
    assert "440 requests and 2 pairs in 6.7 s" in shown[1]
    assert "also  16 requests with tools described in the prompt: 13 rescued, 3 errors" in shown
    answered = [line.split()[1] for line in shown[4:12]]
    assert sum(int(one.partition("/")[2]) for one in answered) == 440 - 16
    assert len(shown) <= 23


@pytest.mark.parametrize(
    ("groups", "status"),
    [
        ([("pass", 9)], "works"),
        ([("fail", 2)], "unknown"),
        ([("pass", 8), ("fail", 1)], "unknown"),
        ([("error", 2)], "down"),
        ([("pass", 3), ("error", 30)], "degraded"),
        ([("fail", 10)], "broken"),
    ],
)
def test_by_few_calls_no_endpoint_is_called_bad(groups: list[tuple[Verdict, int]], status: str) -> None:
    """Below 10 judged calls it is `unknown`, unless most requests had no answer; there is no recommendation yet."""
    found = [probes(DIRECT, verdict, "timeout", number, error_class="provider") for verdict, number in groups]
    summary = a_summary(*found)
    assert lines(summary)[4].split()[-1] == status
    assert ("no endpoint works" in " ".join(lines(summary))) is (status not in {"unknown", "works", "degraded"})


def test_one_rule_says_which_endpoints_share_a_rank() -> None:
    """Few answers cannot tell 55 % from the best; the column and the lines below it both leave it out of the first."""
    good, bad, third = (f"{PLAIN}+{name}" for name in ("good/fp8", "bad/fp8", "third/fp8"))
    rescued = [*probes(bad, "pass", "ok", 6), *probes(bad, "rescued", "rescued_text", 5)]
    summary = a_summary(probes(good, "pass", "ok", 11), rescued, probes(third, "pass", "ok", 10))
    assert bad in rank({name: row.strict for name, row in summary.measures.items()}).groups[0]
    shown = lines(summary, further=True)
    ranks = dict(re.findall(r"^(\S+) +\S+ % \(\S+\) +(\S+)", "\n".join(shown), re.MULTILINE))
    assert ranks == {"openrouter+good/fp8": "1", "openrouter+third/fp8": "1", "openrouter+bad/fp8": "-"}
    assert "alike     rank 1: openrouter+good/fp8, openrouter+third/fp8" in shown


def test_the_note_on_unreliable_times_has_the_figure_that_the_mark_rests_on() -> None:
    """Answers that this machine delayed, of those that the table counts."""
    late = probes(DIRECT, "pass", "ok", 2, late_ms=30.0, total_ms=5.0)
    summary = a_summary(late, probes(DIRECT, "pass", "ok", 18, total_ms=5.0), source="live")
    told = "latencies of 1 endpoint are unreliable (?): this machine delayed 2 of 20 answers by more than 20 ms"
    assert told in re.sub(r"\s+", " ", " ".join(lines(summary)))
    assert "5ms?" in lines(summary)[4]


def test_the_recommendation_says_on_how_many_calls_it_rests() -> None:
    """With its interval, and the request that its price is for."""
    name = f"{PLAIN}+wandb/fp8"
    shown = " ".join(lines(replace(a_summary(*WORST), prices={name: Decimal("0.01007")})))
    assert f"use   {name}" in shown
    assert "54 of 54 right (93.4 to 100 %); cheapest that works, $0.01007 for 5,000" in shown


@pytest.mark.parametrize(("judged", "recommended"), [(9, False), (10, True)])
def test_below_ten_judged_calls_nothing_is_recommended(judged: int, recommended: bool) -> None:
    """It says so instead."""
    shown = "\n".join(lines(a_summary(probes(DIRECT, "pass", "ok", judged))))
    assert (f"use   {DIRECT}" in shown) is recommended
    assert (f"use   no recommendation yet: {judged} calls of" in shown) is not recommended


def test_an_endpoint_that_costs_nothing_is_the_cheapest() -> None:
    """Zero is a price; an unknown one comes last."""
    free, paid, unknown = f"{PLAIN}+free/fp8", f"{PLAIN}+paid/fp8", f"{PLAIN}+unknown/fp8"
    found = a_summary(*(probes(name, "pass", "ok", 20) for name in (paid, unknown, free)))
    summary = replace(found, prices={free: Decimal(0), paid: Decimal("0.5"), unknown: None})
    assert summary.order == [free, paid, unknown]
    assert summary.best is not None
    assert summary.best.endpoint == free


def test_at_one_price_the_reference_comes_after_the_others() -> None:
    """As the router orders them."""
    found = a_summary(probes(DIRECT, "pass", "ok", 20), probes(PLAIN, "pass", "ok", 20))
    assert replace(found, prices={DIRECT: Decimal(1), PLAIN: Decimal(1)}).order == [PLAIN, DIRECT]


def test_a_column_that_is_empty_for_all_is_not_shown() -> None:
    """Without rescued answers, times and cost there is nothing to show of them."""
    (head,) = (line for line in lines(a_summary(probes(DIRECT, "pass", "ok", 20))) if line.startswith("endpoint"))
    assert head.split() == ["endpoint", "answered", "right", "status"]


def test_quiet_leaves_table_recommendation_and_cost() -> None:
    """No causes and no next step."""
    heads = {line[:6].strip() for line in lines(a_summary(*WORST), quiet=True)}
    assert {"use", "cost"} <= heads
    assert not {"why", "next"} & heads


def test_what_is_no_real_host_is_said_first() -> None:
    """In one line, before any figure."""
    ten = probes(DIRECT, "pass", "ok", 10)
    assert lines(a_summary(ten))[0] == "kimiprobe: simulated hosts"
    assert lines(a_summary(ten, source="local"))[0].startswith("kimiprobe: hosts on this machine (local)")
    assert lines(a_summary(ten, source="live"))[0] == "kimiprobe: real hosts"


def test_a_replay_counts_answers_and_pairs_apart() -> None:
    """A verdict on a pair is no recorded answer; nothing is recommended and nothing costs."""
    pair = probes(DIRECT, "pass", "ok", 2, mode="parity")
    shown = lines(a_summary(probes(DIRECT, "pass", "ok", 20), pair, source="replay"))
    assert shown[1] == "1 endpoint, 20 recorded answers and 2 pairs judged in 6.7 s"
    assert not [line for line in shown if line.startswith(("use", "cost"))]


def test_changes_of_one_kind_share_a_line() -> None:
    """A first run changes nothing that the table does not show."""
    changes = [
        Change(DIRECT, "works", "broken", NOW),
        Change(PLAIN, "works", "broken", NOW),
        Change("moonshot-cn/kimi-k2.6", "unknown", "works", None),
    ]
    shown = lines(replace(a_summary(*WORST), changes=changes))
    assert [line for line in shown if "->" in line] == ["note  works -> broken: moonshot, openrouter"]
