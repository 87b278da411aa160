"""Options of a request to the router, checked before anything is sent: a misspelled option must not be ignored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from .types import CHAT_OPTIONS, EFFORTS, ChatRequest, Message, RequestOptions

DEFAULT_TIMEOUT_S = 120.0
_NUMBERS: dict[str, tuple[float, float]] = {
    "timeout": (0, math.inf),
    "attempt_timeout": (0, math.inf),
    "first_token_timeout": (0, math.inf),
    "idle_timeout": (0, math.inf),
    "max_cost_usd": (0, math.inf),
    "max_tokens": (0, math.inf),
    "temperature": (-math.ulp(0.0), 2),
    "top_p": (0, 1),
}
"""The range of each numeric option: a value must be above the first number, and at most the second. They are OpenAI's
(https://platform.openai.com/docs/api-reference/chat/create)."""


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options of one request, with defaults. `chat` is the request without its messages."""

    chat: ChatRequest
    model: str | None = None
    user: str | None = None
    groups: Sequence[str] = ()
    timeout: float = DEFAULT_TIMEOUT_S
    attempt_timeout: float | None = None
    first_token_timeout: float | None = None
    idle_timeout: float | None = None
    max_cost_usd: float | Decimal | None = None

    @classmethod
    def of(cls, options: RequestOptions) -> Options:
        """Check the options of a call.

        Raises TypeError for an unknown option or a value of the wrong type, ValueError for a value out of range.
        """
        known = RequestOptions.__annotations__
        if unknown := [name for name in options if name not in known]:
            raise TypeError(f"unknown option {unknown[0]!r}; available: {', '.join(known)}")
        for name, value in options.items():
            if name in _NUMBERS and (value is not None or name == "timeout"):
                _require_number(name, value)
        tools, groups, effort = options.get("tools", ()), options.get("groups", ()), options.get("reasoning_effort")
        if not isinstance(tools, list | tuple):
            raise TypeError("tools: a list of OpenAI tools is needed; leave it out if there are none")
        if isinstance(groups, str) or not isinstance(groups, Sequence):
            raise TypeError("groups: a list of names is needed")
        _require_stop(options.get("stop"))
        if effort is not None and effort not in EFFORTS:
            raise ValueError(f"reasoning_effort: one of {', '.join(EFFORTS)} is needed")
        asked: dict[str, Any] = {name: value for name, value in options.items() if name in CHAT_OPTIONS}
        held = {*asked, "tools"}
        rest: dict[str, Any] = {name: value for name, value in options.items() if name not in held}
        return cls(ChatRequest((), tuple(tools), **asked), **rest)

    def request(self, messages: Sequence[Message]) -> ChatRequest:
        """The complete request: these options with these messages."""
        return replace(self.chat, messages=messages)


def _require_number(name: str, value: object) -> None:
    above, most = _NUMBERS[name]
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
        raise ValueError("stop: an empty text would end every answer immediately")
