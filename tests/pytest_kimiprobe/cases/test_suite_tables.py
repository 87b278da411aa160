"""The packaged suite covers what docs/cases.md says, case by case."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from suite_tables import CATEGORIES, EVERY, FEATURES, PACKAGED, PAGE, renewed

from pytest_kimiprobe.cases.model import Case


@pytest.mark.parametrize("feature", FEATURES)
def test_each_feature_is_requested_by_the_cases_named_for_it(feature: str) -> None:
    """The features are read from the case, not from its name."""
    asks, named = FEATURES[feature]
    assert named
    assert [name for name in named if name != EVERY and not asks(PACKAGED[name])] == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_category_of_other_verifiers_has_a_case(category: str) -> None:
    """The categories that none of them checks are included."""
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
        ("usage accounting", lambda case: case.expect.usage or case.expect.prompt_tokens),
        ("vision + tools", lambda case: "vision" in case.need and case.tools),
        ("many tools (64-128) / long context", lambda case: len(case.tools) >= 64 or len(str(case.messages)) > 10_000),
    ],
)
def test_each_case_belongs_to_the_category_that_names_it(category: str, asks: Callable[[Case], object]) -> None:
    """Every case named for a category has the feature."""
    assert [name for name in CATEGORIES[category] if name != EVERY and not asks(PACKAGED[name])] == []


def test_every_case_is_in_a_table() -> None:
    """docs/cases.md documents all packaged cases."""
    named = {name for _, names in FEATURES.values() for name in names}
    named |= {name for names in CATEGORIES.values() for name in names}
    assert PACKAGED.keys() - named == set()


def test_the_page_shows_both_tables() -> None:
    """`python tests/support/suite_tables.py` updates them."""
    page = PAGE.read_text("utf-8")
    assert renewed(page) == page
