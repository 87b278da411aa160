"""End state: the state that the calls of an answer would lead to, whichever calls were used. Pure.

The state is a set of named values; each tool puts, moves, copies or drops one. The benchmarks BFCL and tau2 also judge
the end state instead of the calls, after a whole conversation; here it is judged after one answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from routing.types import ToolCall

from .matchers import equal

Effect = Mapping[str, Sequence[str]]
"""An operation (`put`, `move`, `copy` or `drop`) → the names of the arguments that it uses."""


@dataclass(frozen=True, slots=True)
class EndState:
    """What the calls of a right answer must achieve: turn the state `before` into the state `after`.

    `effects` maps the name of each tool to its effects on the state. A tool that only reads has none.
    """

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    effects: Mapping[str, Effect]

    def wrong(self, calls: Sequence[ToolCall]) -> str:
        """Why the calls do not lead to `after`; empty if they do."""
        state = dict(self.before)
        for call in calls:
            for operation, names in self.effects.get(call.name, {}).items():
                taken = [call.arguments.get(name) for name in names]
                if problem := _applied(state, operation, taken):
                    return f"{call.name}: {problem}"
        for name in sorted({*state, *self.after}):
            if name not in self.after:
                return f"{name} is still there"
            if name not in state:
                return f"{name} is not there"
            if not equal(self.after[name], state[name]):
                return f"{name} does not have the expected value"
        return ""


def _applied(state: dict[str, Any], operation: str, taken: Sequence[Any]) -> str:
    """Apply one operation to the state. Returns why it is not possible, empty if it was applied."""
    name = taken[0]
    if not isinstance(name, str):
        return "an argument is missing"
    if operation == "put":
        state[name] = taken[1]
        return ""
    if name not in state:
        return f"there is no {name[:60]!r}"
    value = state[name] if operation == "copy" else state.pop(name)
    if operation != "drop":
        if not isinstance(taken[1], str):
            return "an argument is missing"
        state[taken[1]] = value
    return ""
