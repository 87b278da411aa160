"""The answer that test functions and plugins see: its deliverable text and calls, reasoning and usage."""

from __future__ import annotations

from dataclasses import dataclass

from routing.types import Answer, ToolCall, Usage
from routing.verify import Checked


@dataclass(frozen=True, slots=True)
class SeenAnswer:
    """A deliverable answer. `rescued`: text or calls had to be repaired; `reason` is the code that says how."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    rescued: bool
    reason: str
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None

    @classmethod
    def of(cls, checked: Checked, answer: Answer | None) -> SeenAnswer:
        """Build from the checked answer. `answer` is None if a provider rejected the call that its model generated."""
        came = answer or Answer()
        return cls(
            text=checked.text,
            tool_calls=checked.tool_calls,
            rescued=checked.outcome == "rescued",
            reason=checked.reason,
            reasoning=came.reasoning,
            finish_reason=came.finish_reason,
            usage=came.usage,
        )
