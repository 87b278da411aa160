"""End state: answers are judged by the state that their calls lead to."""

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
        """More calls, another order, or additional reading calls pass."""
        assert WORLD.wrong(calls) == ""

    @pytest.mark.parametrize(
        ("calls", "why"),
        [
            ([], "a.txt is still there"),
            ([step("move", old="a.txt", new="d.txt"), step("delete", name="b.txt")], "c.txt is not there"),
            (
                [step("move", old="b.txt", new="c.txt"), step("delete", name="a.txt")],
                "c.txt does not have the expected value",
            ),
            ([step("delete", name="x.txt")], "delete: there is no 'x.txt'"),
            ([step("delete")], "delete: an argument is missing"),
            ([step("move", old="a.txt")], "move: an argument is missing"),
        ],
    )
    def test_another_end_state_is_reported(self, calls: list[ToolCall], why: str) -> None:
        """The first difference from the expected state is reported."""
        assert WORLD.wrong(calls) == why
