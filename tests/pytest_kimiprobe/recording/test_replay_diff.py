"""Which verdicts changed: by names where they are told, by the fewest changes where there are only counts."""

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
    Before,
    Judged,
    Word,
    before_in,
    compare,
    recorded_before,
)
from pytest_kimiprobe.results.run_file import rendered
from pytest_kimiprobe.verdicts import ProbeResult, Run

PASS, WRONG, LEAKED = Word("pass", "ok"), Word("fail", "wrong_tool"), Word("rescued", "rescued_text")
CUT = Word("error", "timeout")


def judged(word: Word, repeat: int = 1, case: str = "weather", mode: Any = "plain") -> Judged:
    return Judged(f"f::{case}[{ENDPOINT}-{mode}-{repeat}]", case, ENDPOINT, mode, repeat, word)


def result(word: Word, repeat: int = 1, case: str = "weather", mode: Any = "plain") -> ProbeResult:
    probe = judged(word, repeat, case, mode)
    verdict: Any = word.verdict
    return ProbeResult(probe.id, case, ENDPOINT, mode, repeat, verdict, word.reason, total_ms=1.0)


def run_file(*results: ProbeResult) -> Before:
    """What a run file says of them."""
    now = datetime(2026, 11, 23, tzinfo=UTC)
    text = rendered(Run("run1", 1, "live", "core", now, now, complete=True, probes=results), {})
    return before_in(text, "run.json")


def told(now: Sequence[Judged], before: Before) -> tuple[list[tuple[str, Word, Word]], int, int, int]:
    found = compare(now, before)
    changes = [(change.probe.id, change.before, change.probe.word) for change in found.changed]
    return changes, found.compared, found.missing, found.extra


def test_a_file_of_probes_names_each() -> None:
    """Verdict or reason: either is a change; what was not sent is not missed."""
    rows = [
        {"id": judged(word, n).id, "case": "weather", "endpoint": ENDPOINT, "mode": "plain", "repeat": n, "verdict": word.verdict, "reason": word.reason}
        for n, word in enumerate((PASS, WRONG, PASS, Word("not_run", "budget"), WRONG), 1)
    ]  # fmt: skip
    before = before_in(json.dumps({"version": 1, "run": "run1", "source": "live", "probes": rows}), "out.json")
    assert before.run == "run1"
    now = [judged(PASS, 1), judged(Word("fail", "extra_call"), 2), judged(WRONG, 5), judged(PASS, 9)]
    changes = [(now[1].id, WRONG, Word("fail", "extra_call"))]
    assert told(now, before) == (changes, 3, 1, 1)


def test_the_cassettes_own_words() -> None:
    """A probe that nobody judged then says nothing."""
    samples = [a_sample(verdict="pass", reason="ok"), a_sample(repeat=2)]
    now = [replace(judged(WRONG), id=sample.id) for sample in samples]
    assert told(now, recorded_before(samples)) == ([(samples[0].id, PASS, WRONG)], 1, 0, 1)


def test_a_run_file_names_failures() -> None:
    """By id: a failure that passes now, and a pass that fails now, in cells of one probe each."""
    before = run_file(result(WRONG), result(PASS, case="other"), result(CUT, mode="stream"))
    now = [judged(PASS), judged(WRONG, case="other"), judged(CUT, mode="stream")]
    assert told(now, before) == ([(now[0].id, WRONG, PASS), (now[1].id, PASS, WRONG)], 3, 0, 0)
    assert told([judged(WRONG), judged(PASS, case="other"), now[2]], before) == ([], 3, 0, 0)


def test_counts_are_explained_by_the_fewest_changes() -> None:
    """Of three samples one was rescued and two passed: which one is not told, that one more is rescued now is."""
    before = run_file(result(LEAKED, 1), result(PASS, 2), result(PASS, 3))
    assert told([judged(PASS, 1), judged(PASS, 2), judged(LEAKED, 3)], before) == ([], 3, 0, 0)
    now = [judged(LEAKED, 1), judged(LEAKED, 2), judged(PASS, 3)]
    assert told(now, before) == ([(now[1].id, PASS, LEAKED)], 3, 0, 0)


def test_what_has_no_counterpart_is_counted_aside() -> None:
    """Verdicts without a recording, recordings without a verdict."""
    before = run_file(result(PASS, 1), result(PASS, 2), result(WRONG, case="other"))
    assert told([judged(PASS, 1), judged(PASS, case="new")], before) == ([], 1, 2, 1)


def test_pairs_are_told_where_they_fail() -> None:
    """A run file counts no pairs: one that is not named there as failed was alike."""
    pair = judged(Word("fail", "not_alike"), mode="parity")
    before = run_file(result(PASS))
    assert told([judged(PASS), pair], before) == ([(pair.id, PASS, pair.word)], 2, 0, 0)
    assert told([judged(PASS), replace(pair, word=PASS)], before) == ([], 1, 0, 0)
    named = run_file(result(PASS), result(pair.word, mode="parity"))
    assert told([judged(PASS), replace(pair, word=PASS)], named) == ([(pair.id, pair.word, PASS)], 2, 0, 0)


@pytest.mark.parametrize("text", ["", "[", "[]", "5", '{"version": 2, "probes": []}', '{"version": 1, "probes": [1]}'])
def test_anything_else_is_refused(text: str) -> None:
    """With the file's name."""
    with pytest.raises(AgainstError, match=r"x\.json"):
        before_in(text, "x.json")
