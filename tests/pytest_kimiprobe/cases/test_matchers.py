"""Matchers: the conditions that a case sets on a value."""

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
def test_each_matcher_accepts_what_it_describes(matcher: Any, right: list[Any], wrong: list[Any]) -> None:
    """Each matcher accepts and refuses the listed values."""
    assert all(matches(matcher, value) for value in right)
    assert not any(matches(matcher, value) for value in wrong)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x$"])
def test_no_text_makes_an_expression_slow(pattern: str) -> None:
    """Model output is untrusted; backtracking engines need exponential time for these texts."""
    start = time.process_time()
    matches({"$matches": pattern}, "a" * 100_000 + "!")
    assert time.process_time() - start < 1


def test_a_text_beyond_the_limit_matches_nothing() -> None:
    """It is not searched."""
    assert not matches({"$matches": "a"}, "a" * (MOST + 1))
    assert not matches({"$contains": "a"}, "a" * (MOST + 1))


def test_a_lone_surrogate_matches_no_expression() -> None:
    """The engine does not accept it, and nothing is raised."""
    assert not matches({"$matches": "."}, "\ud800")


def test_problems_are_found_inside_of_matchers() -> None:
    """An unusable expression is found at any depth."""
    assert "not a regular expression" in problem_of({"$all_of": [{"$not": {"$matches": "("}}]})
    assert not problem_of({"$matches": "ok"})
