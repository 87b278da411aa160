"""Tables and folded text of every command: at most 80 columns, and nothing that says nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kimiprobe.tables import WIDTH, Column, end_cut, folded, middle_cut, rendered

NAMES = (Column("endpoint", shorten="middle"), Column("why", shorten="end"), Column("count", right=True))


def test_a_column_that_is_empty_in_all_rows_is_left_out() -> None:
    """A dash, a dot or nothing says nothing; in one row it does not empty the column."""
    columns = (Column("a"), Column("b", right=True), Column("c"))
    assert rendered(columns, [("x", "-", "."), ("y", ".", "1")]) == ["a  c", "x  .", "y  1"]
    assert rendered(columns, []) == ["a  b  c"]


@given(
    st.lists(
        st.tuples(st.text("abc/", max_size=90), st.text("de ", max_size=90), st.text("123", max_size=9)), max_size=5
    )
)
def test_every_table_fits(rows: list[tuple[str, str, str]]) -> None:
    """Names give way in their middle, sentences at their end, numbers not at all."""
    lines = rendered(NAMES, rows)
    assert max(map(len, lines)) <= WIDTH
    for row, line in zip(rows, lines[1:], strict=True):
        if row[2]:
            assert line.endswith(row[2])


def test_the_widest_column_gives_way_first() -> None:
    """A short name stays whole beside a long sentence."""
    (_, line) = rendered(NAMES, [("moonshot", "word " * 40, "7")])
    assert line.startswith("moonshot")
    assert line.split()[-2].endswith("..")


def test_both_ends_of_a_name_stay() -> None:
    """They tell it from its neighbours."""
    assert middle_cut("openrouter+moonshotai/int4", 20) == "openroute..otai/int4"
    assert middle_cut("short", 20) == "short"
    assert end_cut("a long sentence", 8) == "a long.."


@pytest.mark.parametrize("indent", [0, 2, 19])
def test_text_is_folded_beside_its_head(indent: int) -> None:
    """Words that are too long for a line stay whole, so that they can be copied."""
    lines = folded("", "word " * 50 + "x" * 100, indent)
    assert all(len(line) <= WIDTH for line in lines[:-1])
    assert lines[-1].endswith("x" * 100)
