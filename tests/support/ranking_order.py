"""What a ranking says of two endpoints."""

from __future__ import annotations

from pytest_kimiprobe.stats.ranking import Ranking


def told_apart(ranking: Ranking, one: str, other: str) -> bool:
    """Whether the order of the two is claimed: no group holds both."""
    here, there = ranking.place(one), ranking.place(other)
    return bool(here and there and (here.last < there.first or there.last < here.first))
