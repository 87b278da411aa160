"""End state: what the calls of an answer would have done, whatever way was taken. Pure.

A small world of named texts: each tool puts, moves, copies or drops one. Judging where the calls lead instead of the
calls themselves is what BFCL and tau2 do; here one answer is enough for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from routing.types import ToolCall

from .matchers import equal

Effect = Mapping[str, Sequence[str]]
"""One operation, `put`, `move`, `copy` or `drop`, and the names of the arguments that it takes."""


@dataclass(frozen=True, slots=True)
class EndState:
    """What is there `before`, what each tool does (none: it only reads), and what must be there `after`."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    effects: Mapping[str, Effect]

    def wrong(self, calls: Sequence[ToolCall]) -> str:
        """Why the calls do not lead to `after`; empty where they do."""
        world = dict(self.before)
        for call in calls:
            for operation, names in self.effects.get(call.name, {}).items():
                taken = [call.arguments.get(name) for name in names]
                if problem := _applied(world, operation, taken):
                    return f"{call.name}: {problem}"
        for name in sorted({*world, *self.after}):
            if name not in self.after:
                return f"{name} is still there"
            if name not in world:
                return f"{name} is not there"
            if not equal(self.after[name], world[name]):
                return f"{name} is another than it should be"
        return ""


def _applied(world: dict[str, Any], operation: str, taken: Sequence[Any]) -> str:
    """Changes the world; says what was not possible."""
    name = taken[0]
    if not isinstance(name, str):
        return "an argument is missing"
    if operation == "put":
        world[name] = taken[1]
        return ""
    if name not in world:
        return f"there is no {name[:60]!r}"
    value = world[name] if operation == "copy" else world.pop(name)
    if operation != "drop":
        if not isinstance(taken[1], str):
            return "an argument is missing"
        world[taken[1]] = value
    return ""
