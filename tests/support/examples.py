"""Numbers of examples for generators that are not Hypothesis's, scaled by its profile."""

from __future__ import annotations

from hypothesis import settings

QUICK = 50
"""Examples of a property in the profile of `make test` (tests/conftest.py)."""


def examples(count: int) -> int:
    """`count` in `make test`; as many times more as the profile has more examples than the quick one."""
    return max(1, count * settings().max_examples // QUICK)
