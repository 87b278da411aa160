"""Matchers: what a case may ask of a value."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pytest_kimiprobe.cases.matchers import MOST, matches, problem_of


@pytest.mark.parametrize(
    ("matcher", "right", "wrong"),
    [
        ({"$contains": "PARIS"}, ["in Paris"], ["Rome", 5, None]),
        ({"$matches": r"^\d+$"}, ["12"], ["a1", 12]),
        ({"$one_of": [1, "a"]}, [1.0, "a"], ["A", True]),
        ({"$not": {"$contains": "x"}}, ["y", 5], ["axb"]),
        ({"$all_of": [{"$contains": "a"}, {"$contains": "b"}]}, ["ab"], ["a"]),
        ({"$at_least": 2}, [2, 2.5], [1, "3", True]),
        ({"$at_most": 2}, [2, -1], [3, None]),
        ({"$length": 2}, ["ab", [1, 2]], ["a", 2, {"a": 1, "b": 2}]),
        ({"$list": [1, {"$any": True}]}, [[1, "x"]], [[1], ["x", 1]]),
        ({"$unordered": [{"$any": True}, 1]}, [[1, 2], [2, 1]], [[1], [2, 3]]),
        ({"$members": {"a": {"$at_least": 1}}}, [{"a": 1, "b": 2}], [{"b": 2}, {"a": 0}, [1]]),
        ({"$repeats": 4}, ["go on " * 9, "so: " + "it is so and so " * 4], ["it is so " * 3, "a b c d e f g", 4]),
        ("-1", ["-1"], ["1", -1]),
        (1, [1, 1.0], [True, "1"]),
        (None, [None], ["null", 0]),
        ({"a": [1]}, [{"a": [1]}], [{"a": [1], "b": 1}, {"a": 1}]),
    ],
)
def test_each_says_what_it_says(matcher: Any, right: list[Any], wrong: list[Any]) -> None:
    """And nothing else."""
    assert all(matches(matcher, value) for value in right)
    assert not any(matches(matcher, value) for value in wrong)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x$"])
def test_no_text_makes_an_expression_slow(pattern: str) -> None:
    """Model output is hostile; backtracking engines need exponential time here."""
    start = time.process_time()
    matches({"$matches": pattern}, "a" * 100_000 + "!")
    assert time.process_time() - start < 1


def test_a_text_beyond_the_limit_matches_nothing() -> None:
    """It is not looked through."""
    assert not matches({"$matches": "a"}, "a" * (MOST + 1))
    assert not matches({"$contains": "a"}, "a" * (MOST + 1))


def test_half_a_character_matches_no_expression() -> None:
    """It cannot cross into the engine, and does no harm."""
    assert not matches({"$matches": "."}, "\ud800")


def test_problems_are_found_inside_of_matchers() -> None:
    """Wherever an expression stands."""
    assert "no regular expression" in problem_of({"$all_of": [{"$not": {"$matches": "("}}]})
    assert not problem_of({"$matches": "ok"})
