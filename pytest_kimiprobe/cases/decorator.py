"""Cases in Python: `@case(...)` declares the request, and the test function judges the answer. Fast to import."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast

if TYPE_CHECKING:
    from routing.types import ChatOptions

    from .model import Parity, Suite

    class CaseOptions(ChatOptions, total=False):
        """Keyword arguments of `@case`. They have the names and meanings of the fields of a case in a case file."""

        messages: Sequence[Mapping[str, Any]]
        tools: Sequence[Mapping[str, Any]]
        suite: Suite
        thinking: bool | None
        need: Sequence[str]
        emulate_tools: bool
        dynamic_tools: bool
        parity: Parity
        evidence: bool


ATTRIBUTE = "kimiprobe_case"
"""Attribute of a test function that holds the options of its case; they are checked when the tests are collected."""
F = TypeVar("F", bound=Callable[..., Any])


def case(prompt: str | None = None, **options: Unpack[CaseOptions]) -> Callable[[F], F]:
    """Declare the request of a test function that takes `answer` (docs/cases.md, "Cases in Python").

    Give `prompt` or `messages`. A tool is OpenAI's `{"type": "function", "function": {...}}`, or the object in its
    `function`. With `--kimiprobe` the test function runs once for each endpoint, mode and repeat; without it, the test
    is skipped. With `parity` (`calls` or `arguments`) the plain and the streamed answer are compared as well. With
    `evidence=True` its verdicts are recorded as evidence about endpoints.
    """
    row = {key: value for key, value in {"prompt": prompt, **options}.items() if value not in (None, "")}

    def declare(function: F) -> F:
        setattr(function, ATTRIBUTE, row)
        return function

    bare = cast("Any", prompt)
    if not callable(bare):
        return declare
    # `@case` without arguments, or a wrong prompt: the error comes with file and line, when the tests are collected.
    both: Any = functools.wraps(bare)(declare)
    setattr(both, ATTRIBUTE, {})
    return cast("Callable[[F], F]", both)
