"""Matchers: conditions that a case sets on one value (docs/cases.md). Pure; linear time for any model output."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

MOST = 1 << 20
"""Longest text in characters that is searched; a longer text matches nothing."""
_WORDS = 4000
"""Number of words at the start of a text that are searched for repeated phrases."""
_PHRASE = 40
"""Longest repeated phrase in words."""


class MatcherError(ValueError):
    """A matcher that cannot be used; the message says why."""


def matches(matcher: Any, value: Any) -> bool:
    """Whether a value satisfies a matcher; anything that is not a matcher must be equal to the value as JSON."""
    if isinstance(matcher, Mapping) and len(matcher) == 1:
        ((kind, operand),) = matcher.items()
        if kind in _KINDS:
            return _KINDS[kind](operand, value)
    return equal(matcher, value)


def problem_of(matcher: Any) -> str:
    """Why a matcher, or one inside it, cannot be used; empty if it can."""
    if isinstance(matcher, Mapping):
        if isinstance(pattern := matcher.get("$matches"), str) and len(matcher) == 1:
            try:
                _regex(pattern)
            except MatcherError as error:
                return str(error)
        return next(filter(None, map(problem_of, matcher.values())), "")
    return next(filter(None, map(problem_of, matcher)), "") if isinstance(matcher, list) else ""


def shown(matcher: Any) -> str:
    """The matcher as a short text for messages."""
    text = repr(matcher) if not isinstance(matcher, Mapping) else " ".join(f"{k} {v!r}" for k, v in matcher.items())
    return text if len(text) <= 120 else f"{text[:119]}…"


def equal(expected: Any, value: Any) -> bool:
    """JSON equality: `1` equals `1.0`, `true` does not equal `1`, and the text "-1" does not equal "1"."""
    if isinstance(expected, bool) or isinstance(value, bool):
        return expected is value
    if isinstance(expected, int | float) and isinstance(value, int | float):
        return expected == value
    if isinstance(expected, Mapping) and isinstance(value, Mapping):
        return expected.keys() == value.keys() and all(equal(expected[key], value[key]) for key in expected)
    if isinstance(expected, list) and isinstance(value, list):
        return len(expected) == len(value) and all(map(equal, expected, value))
    return type(expected) is type(value) and bool(expected == value)


def paired(count: int, others: int, fit: Callable[[int, int], bool]) -> dict[int, int]:
    """Assign as many of `count` wanted items as possible to `others` that fit, each to a different one.

    Returns index of wanted → index of other. The method is bipartite matching by augmenting paths.
    """
    owner: dict[int, int] = {}

    def assign(want: int, tried: set[int]) -> bool:
        for other in range(others):
            if other in tried or not fit(want, other):
                continue
            tried.add(other)
            if other not in owner or assign(owner[other], tried):
                owner[other] = want
                return True
        return False

    for want in range(count):
        assign(want, set())
    return {want: other for other, want in owner.items()}


def _searchable(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MOST


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(operand: Sequence[Any], value: Any) -> bool:
    return isinstance(value, list) and len(value) == len(operand) and all(map(matches, operand, value))


def _unordered(operand: Sequence[Any], value: Any) -> bool:
    if not isinstance(value, list) or len(value) != len(operand):
        return False
    return len(paired(len(operand), len(value), lambda want, at: matches(operand[want], value[at]))) == len(operand)


def _members(operand: Mapping[str, Any], value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        key in value and matches(matcher, value[key]) for key, matcher in operand.items()
    )


def _repeats(operand: int, value: Any) -> bool:
    """Whether a phrase of three or more words occurs `operand` times in a row, as when a model loops."""
    words = value.split()[:_WORDS] if _searchable(value) else []
    return any(_looped(words, period) >= period * (operand - 1) for period in range(3, _PHRASE + 1))


def _looped(words: Sequence[str], period: int) -> int:
    """Length of the longest run of words that each equal the word `period` positions before."""
    longest = run = 0
    for now, before in zip(words[period:], words, strict=False):
        run = run + 1 if now == before else 0
        longest = max(longest, run)
    return longest


@lru_cache(maxsize=512)
def _regex(pattern: str) -> Callable[[str], bool]:
    """Compile a pattern to a search function that ignores case and runs in linear time for any text."""
    import jsonschema_rs

    try:
        compiled = jsonschema_rs.Draft202012Validator(
            {"pattern": f"(?i){pattern}"}, pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
    except (jsonschema_rs.ValidationError, ValueError):
        beyond = re.search(r"\(\?<?[=!]|\\[1-9]", pattern)
        why = "uses look-around or a back-reference" if beyond else "is not a regular expression"
        raise MatcherError(f"$matches: {pattern[:80]!r} {why} (one that runs in linear time is needed)") from None

    def occurs(text: str) -> bool:
        try:
            return compiled.is_valid(text)
        except ValueError:  # the engine does not accept lone surrogates
            return False

    return occurs


_KINDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$any": lambda _, __: True,
    "$one_of": lambda operand, value: any(equal(option, value) for option in operand),
    "$contains": lambda operand, value: _searchable(value) and operand.casefold() in value.casefold(),
    "$matches": lambda operand, value: _searchable(value) and _regex(operand)(value),
    "$not": lambda operand, value: not matches(operand, value),
    "$all_of": lambda operand, value: all(matches(one, value) for one in operand),
    "$at_least": lambda operand, value: _number(value) and value >= operand,
    "$at_most": lambda operand, value: _number(value) and value <= operand,
    "$length": lambda operand, value: isinstance(value, str | list) and len(value) == operand,
    "$list": _listed,
    "$unordered": _unordered,
    "$members": _members,
    "$repeats": _repeats,
}
