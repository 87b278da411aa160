"""Cases in Python: `@case(...)` declares the request, the test function below it is the judge. Light to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from .model import Case, Parity, Suite

ATTRIBUTE = "kimiprobe_case"
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Declared:
    """What a decorator was given; checked when the tests are collected."""

    fields: Mapping[str, Any]

    def case(self, name: str, where: str) -> Case:
        """The case. Raises CaseError with `where` for what cannot be asked."""
        from .model import declared

        return declared(name, self.fields, where)


def case(
    prompt: str | None = None,
    *,
    messages: Sequence[Mapping[str, Any]] = (),
    tools: Sequence[Mapping[str, Any]] = (),
    suite: Suite = "core",
    tool_choice: str | Mapping[str, Any] | None = None,
    parallel_tool_calls: bool | None = None,
    max_tokens: int = 2048,
    temperature: float | None = None,
    thinking: bool | None = None,
    need: Sequence[str] = (),
    emulate_tools: bool = False,
    parity: Parity = "",
) -> Callable[[F], F]:
    """Declare the request of a test function that takes `answer` (docs/cases.md, "Cases in Python").

    Give `prompt` or `messages`. A tool is OpenAI's `{"type": "function", "function": {...}}`, or what stands in its
    `function`. With `--kimiprobe` the function runs once for each endpoint, mode and repeat; without, it is skipped. With
    `parity` (`calls` or `arguments`) the plain and the streamed answer are held against each other besides.
    """
    fields = {
        "prompt": prompt,
        "messages": messages,
        "tools": tools,
        "suite": suite,
        "tool_choice": tool_choice,
        "parallel_tool_calls": parallel_tool_calls,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "thinking": thinking,
        "need": need,
        "emulate_tools": emulate_tools,
        "parity": parity,
    }

    def declare(function: F) -> F:
        setattr(function, ATTRIBUTE, Declared(fields))
        return function

    return declare
