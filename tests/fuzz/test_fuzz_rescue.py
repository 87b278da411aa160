"""A short run of the fuzz target, so that it cannot rot."""

from __future__ import annotations

from fuzz_rescue import run


def test_a_short_run_finds_nothing() -> None:
    """300 fixed seeds: generated and mutated messages, whole and in chunks."""
    read, found = run(20_261_123, seconds=600, count=300)
    assert found == []
    assert read == 300
