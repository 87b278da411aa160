"""End state: where calls lead, whatever way they take."""

from __future__ import annotations

import pytest

from pytest_kimiprobe.cases.end_state import EndState
from routing.types import ToolCall

WORLD = EndState(
    before={"a.txt": "one", "b.txt": "two"},
    after={"c.txt": "one"},
    effects={"move": {"move": ["old", "new"]}, "copy": {"copy": ["old", "new"]}, "delete": {"drop": ["name"]}},
)


def step(tool: str, /, **arguments: str) -> ToolCall:
    return ToolCall("i", tool, arguments, "")


class TestEndState:
    @pytest.mark.parametrize(
        "calls",
        [
            [step("move", old="a.txt", new="c.txt"), step("delete", name="b.txt")],
            [step("delete", name="b.txt"), step("copy", old="a.txt", new="c.txt"), step("delete", name="a.txt")],
            [step("look", name="a.txt"), step("delete", name="b.txt"), step("move", old="a.txt", new="c.txt")],
        ],
    )
    def test_any_way_that_leads_there_is_right(self, calls: list[ToolCall]) -> None:
        """More calls, another order, a look around."""
        assert WORLD.wrong(calls) == ""

    @pytest.mark.parametrize(
        ("calls", "why"),
        [
            ([], "a.txt is still there"),
            ([step("move", old="a.txt", new="d.txt"), step("delete", name="b.txt")], "c.txt is not there"),
            (
                [step("move", old="b.txt", new="c.txt"), step("delete", name="a.txt")],
                "c.txt is another than it should be",
            ),
            ([step("delete", name="x.txt")], "delete: there is no 'x.txt'"),
            ([step("delete")], "delete: an argument is missing"),
            ([step("move", old="a.txt")], "move: an argument is missing"),
        ],
    )
    def test_where_else_they_lead_is_told(self, calls: list[ToolCall], why: str) -> None:
        """The first thing that is not as it should be."""
        assert WORLD.wrong(calls) == why
