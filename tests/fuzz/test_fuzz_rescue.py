"""A short run of the fuzz target, so that it cannot rot."""

from __future__ import annotations

import time

import pytest
from examples import examples
from fuzz_rescue import run

SECONDS = 1_800
"""Of the nightly run."""


@pytest.mark.generated
def test_a_short_run_finds_nothing() -> None:
    """100 fixed seeds and more: generated and mutated messages, whole and in chunks."""
    count = examples(100)
    read, found = run(20_261_123, seconds=600, count=count)
    assert found == []
    assert read == count


@pytest.mark.nightly
def test_a_long_run_from_a_new_seed_finds_nothing() -> None:
    """Half an hour of messages that no run before has read, timed too; each finding names its seed."""
    _, found = run(int(time.time()), seconds=SECONDS)
    assert found == []
