"""What a caller of the router may ask for, checked before anything is sent: a slip must not be silently ignored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from .types import EFFORTS, ChatRequest, Message, RequestOptions, Tool, ToolChoice

DEFAULT_TIMEOUT_S = 120.0
_NUMBERS: dict[str, tuple[float, float]] = {
    "timeout": (0, math.inf),
    "max_cost_usd": (0, math.inf),
    "max_tokens": (0, math.inf),
    "temperature": (-math.ulp(0.0), 2),
    "top_p": (0, 1),
}
"""Above the first, up to the second; OpenAI's ranges (https://platform.openai.com/docs/api-reference/chat/create)."""


@dataclass(frozen=True, slots=True)
class Options:
    """`RequestOptions` with their defaults."""

    tools: Sequence[Tool] = ()
    model: str | None = None
    user: str | None = None
    groups: Sequence[str] = ()
    timeout: float = DEFAULT_TIMEOUT_S
    max_cost_usd: float | Decimal | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | Sequence[str] | None = None
    reasoning_effort: str | None = None

    @classmethod
    def of(cls, options: RequestOptions) -> Options:
        """Checked options. Raises TypeError for an unknown or mistyped one, ValueError for one out of range."""
        known = cls.__dataclass_fields__
        if unknown := [name for name in options if name not in known]:
            raise TypeError(f"unknown option {unknown[0]!r}; there are: {', '.join(known)}")
        given = cls(**options)
        if not isinstance(given.tools, list | tuple):
            raise TypeError("tools: a list of OpenAI tools is needed; leave it out where there are none")
        for name, (above, most) in _NUMBERS.items():
            value = getattr(given, name)
            if value is not None or name == "timeout":
                _require_number(name, value, above=above, most=most)
        if isinstance(given.groups, str) or not isinstance(given.groups, Sequence):
            raise TypeError("groups: a list of names is needed")
        _require_stop(given.stop)
        if given.reasoning_effort is not None and given.reasoning_effort not in EFFORTS:
            raise ValueError(f"reasoning_effort: one of {', '.join(EFFORTS)} is needed")
        return given

    def request(self, messages: Sequence[Message]) -> ChatRequest:
        """What goes to the wires."""
        return ChatRequest(
            messages,
            tuple(self.tools),
            self.tool_choice,
            self.parallel_tool_calls,
            self.max_tokens,
            self.temperature,
            top_p=self.top_p,
            stop=self.stop,
            reasoning_effort=self.reasoning_effort,
        )


def _require_number(name: str, value: object, *, above: float, most: float) -> None:
    kinds = int | float | Decimal if name == "max_cost_usd" else int | float
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"{name}: a number is needed, not {type(value).__name__}")
    if name == "max_tokens" and not isinstance(value, int):
        raise TypeError(f"{name}: a whole number is needed, not {type(value).__name__}")
    if not (_is_finite(value) and above < value <= most):
        span = "above 0" if math.isinf(most) else f"from 0 to {most:g}" if above < 0 else f"above 0, up to {most:g},"
        raise ValueError(f"{name}: a finite number {span} is needed")


def _is_finite(value: float | Decimal) -> bool:
    try:
        return math.isfinite(value)
    except (ValueError, OverflowError):  # a signalling NaN, or a whole number beyond any float
        return False


def _require_stop(stop: object) -> None:
    words = [stop] if isinstance(stop, str) else stop
    if words is None:
        return
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise TypeError("stop: a text or a list of texts is needed")
    if not all(words):
        raise ValueError("stop: an empty text would end every answer at once")
