"""Changed verdicts: by probe if verdicts are named, by the fewest changes if there are only counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from recorded import ENDPOINT, a_sample

from pytest_kimiprobe.recording.replay_diff import (
    AgainstError,
    EarlierVerdicts,
    JudgedProbe,
    VerdictReason,
    compare,
    recorded_verdicts,
    verdicts_in,
)
from pytest_kimiprobe.results.run_file import rendered
from pytest_kimiprobe.verdicts import ProbeResult, Run

PASS, WRONG, LEAKED = (
    VerdictReason("pass", "ok"),
    VerdictReason("fail", "wrong_tool"),
    VerdictReason("rescued", "rescued_text"),
)
CUT = VerdictReason("error", "timeout")


def judged(judgement: VerdictReason, repeat: int = 1, case: str = "weather", mode: Any = "plain") -> JudgedProbe:
    return JudgedProbe(f"f::{case}[{ENDPOINT}-{mode}-{repeat}]", case, ENDPOINT, mode, repeat, judgement)


def result(judgement: VerdictReason, repeat: int = 1, case: str = "weather", mode: Any = "plain") -> ProbeResult:
    probe = judged(judgement, repeat, case, mode)
    verdict: Any = judgement.verdict
    return ProbeResult(probe.id, case, ENDPOINT, mode, repeat, verdict, judgement.reason, total_ms=1.0)


def run_file(*results: ProbeResult) -> EarlierVerdicts:
    """Run file with these results."""
    now = datetime(2026, 11, 23, tzinfo=UTC)
    text = rendered(Run("run1", 1, "live", "core", now, now, complete=True, probes=results), {})
    return verdicts_in(text, "run.json")


def told(
    now: Sequence[JudgedProbe], before: EarlierVerdicts
) -> tuple[list[tuple[str, VerdictReason, VerdictReason]], int, int, int]:
    found = compare(now, before)
    changes = [(change.probe.id, change.before, change.probe.judgement) for change in found.changed]
    return changes, found.compared, found.missing, found.extra


def test_a_file_of_probes_gives_each_verdict() -> None:
    """A changed verdict or reason is a change; probes that were not sent are not missed."""
    rows = [
        {"id": judged(judgement, n).id, "case": "weather", "endpoint": ENDPOINT, "mode": "plain", "repeat": n, "verdict": judgement.verdict, "reason": judgement.reason}
        for n, judgement in enumerate((PASS, WRONG, PASS, VerdictReason("not_run", "budget"), WRONG), 1)
    ]  # fmt: skip
    before = verdicts_in(json.dumps({"version": 1, "run": "run1", "source": "live", "probes": rows}), "out.json")
    assert before.run == "run1"
    now = [judged(PASS, 1), judged(VerdictReason("fail", "extra_call"), 2), judged(WRONG, 5), judged(PASS, 9)]
    changes = [(now[1].id, WRONG, VerdictReason("fail", "extra_call"))]
    assert told(now, before) == (changes, 3, 1, 1)


def test_the_verdicts_in_the_cassettes_are_compared() -> None:
    """Verdicts in the cassettes are compared; a probe without one counts as extra."""
    samples = [a_sample(verdict="pass", reason="ok"), a_sample(repeat=2)]
    now = [replace(judged(WRONG), id=sample.id) for sample in samples]
    assert told(now, recorded_verdicts(samples)) == ([(samples[0].id, PASS, WRONG)], 1, 0, 1)


def test_a_run_file_names_failures() -> None:
    """In groups of one probe, a failure that passes now and a pass that fails now are both found."""
    before = run_file(result(WRONG), result(PASS, case="other"), result(CUT, mode="stream"))
    now = [judged(PASS), judged(WRONG, case="other"), judged(CUT, mode="stream")]
    assert told(now, before) == ([(now[0].id, WRONG, PASS), (now[1].id, PASS, WRONG)], 3, 0, 0)
    assert told([judged(WRONG), judged(PASS, case="other"), now[2]], before) == ([], 3, 0, 0)


def test_counts_are_explained_by_the_fewest_changes() -> None:
    """Of three samples one was rescued and two passed: if two are rescued now, one change is reported."""
    before = run_file(result(LEAKED, 1), result(PASS, 2), result(PASS, 3))
    assert told([judged(PASS, 1), judged(PASS, 2), judged(LEAKED, 3)], before) == ([], 3, 0, 0)
    now = [judged(LEAKED, 1), judged(LEAKED, 2), judged(PASS, 3)]
    assert told(now, before) == ([(now[1].id, PASS, LEAKED)], 3, 0, 0)


def test_probes_without_counterpart_are_counted_separately() -> None:
    """Verdicts without a recording and recordings without a verdict are counted separately."""
    before = run_file(result(PASS, 1), result(PASS, 2), result(WRONG, case="other"))
    assert told([judged(PASS, 1), judged(PASS, case="new")], before) == ([], 1, 2, 1)


def test_pairs_are_compared_by_named_failures() -> None:
    """A run file does not count pairs: one that is not named there as failed had passed."""
    pair = judged(VerdictReason("fail", "not_alike"), mode="parity")
    before = run_file(result(PASS))
    assert told([judged(PASS), pair], before) == ([(pair.id, PASS, pair.judgement)], 2, 0, 0)
    assert told([judged(PASS), replace(pair, judgement=PASS)], before) == ([], 1, 0, 0)
    named = run_file(result(PASS), result(pair.judgement, mode="parity"))
    assert told([judged(PASS), replace(pair, judgement=PASS)], named) == ([(pair.id, pair.judgement, PASS)], 2, 0, 0)


@pytest.mark.parametrize("text", ["", "[", "[]", "5", '{"version": 2, "probes": []}', '{"version": 1, "probes": [1]}'])
def test_any_other_file_is_refused(text: str) -> None:
    """The message names the file."""
    with pytest.raises(AgainstError, match=r"x\.json"):
        verdicts_in(text, "x.json")
