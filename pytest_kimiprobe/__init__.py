"""Probe, judge and record tool calling of the Kimi family.

`case` declares a probe in Python; `Case` and its parts are what hooks give back (docs/cases.md, docs/hooks.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cases.decorator import case
    from .cases.model import Case, Expectation, ExpectedCall
    from .judging.answers import SeenAnswer

__all__ = ["Case", "Expectation", "ExpectedCall", "SeenAnswer", "case"]
_HOMES = {
    "Case": "cases",
    "Expectation": "cases",
    "ExpectedCall": "cases",
    "SeenAnswer": "answers",
    "case": "python_cases",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
