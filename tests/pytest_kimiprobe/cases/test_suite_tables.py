"""The suite covers what it must, and says where: docs/cases.md names the cases."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from suite_tables import CATEGORIES, EVERY, NOUNS, PACKAGED, PAGE, renewed

from pytest_kimiprobe.cases.model import Case


@pytest.mark.parametrize("noun", NOUNS)
def test_each_thing_is_asked_for_by_the_cases_that_are_named(noun: str) -> None:
    """Read from the case itself, not from its name."""
    asks, named = NOUNS[noun]
    assert named
    assert [name for name in named if name != EVERY and not asks(PACKAGED[name])] == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_category_of_other_verifiers_has_a_case(category: str) -> None:
    """Those that none of them asserts too."""
    assert CATEGORIES[category]
    assert set(CATEGORIES[category]) - {EVERY} <= PACKAGED.keys()


@pytest.mark.parametrize(
    ("category", "asks"),
    [
        ("stream / non-stream parity on one request", lambda case: case.parity),
        ("parallel calls", lambda case: len(case.expect.calls) > 1),
        ("end-state check", lambda case: case.expect.end_state),
        ("strict mode", lambda case: case.tools[0]["function"]["strict"]),
        ("error shapes (400s)", lambda case: case.expect.refused),
        ("usage accounting", lambda case: case.expect.usage),
        ("vision + tools", lambda case: "vision" in case.need and case.tools),
        ("many tools (64-128) / long context", lambda case: len(case.tools) >= 64 or len(str(case.messages)) > 10_000),
    ],
)
def test_a_category_that_can_be_read_from_a_case_is(category: str, asks: Callable[[Case], object]) -> None:
    """By each case that is named for it."""
    assert [name for name in CATEGORIES[category] if name != EVERY and not asks(PACKAGED[name])] == []


def test_no_case_is_there_for_nothing() -> None:
    """Every packaged case stands in a table."""
    named = {name for _, names in NOUNS.values() for name in names}
    named |= {name for names in CATEGORIES.values() for name in names}
    assert PACKAGED.keys() - named == set()


def test_the_page_shows_both_tables() -> None:
    """`python tests/support/suite_tables.py` renews them."""
    page = PAGE.read_text("utf-8")
    assert renewed(page) == page
