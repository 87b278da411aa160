"""The suite covers what it must, and says where: docs/cases.md names the cases."""

from __future__ import annotations

import pytest
from suite_tables import CATEGORIES, EVERY, NOUNS, PACKAGED, PAGE, renewed


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


def test_no_case_is_there_for_nothing() -> None:
    """Every packaged case stands in a table."""
    named = {name for _, names in NOUNS.values() for name in names}
    named |= {name for names in CATEGORIES.values() for name in names}
    assert PACKAGED.keys() - named == set()


def test_the_page_shows_both_tables() -> None:
    """`python tests/suite_tables.py` renews them."""
    page = PAGE.read_text("utf-8")
    assert renewed(page) == page
