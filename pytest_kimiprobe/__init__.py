"""Probe, judge and record tool calling of the Kimi family.

`case` declares a probe in Python; `Case` and its parts are what hooks give back (docs/cases.md, docs/hooks.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cases.decorator import case
    from .cases.model import Case, Expectation, ExpectedCall
    from .judging.judge import SeenAnswer
    from .verdicts import ProbeResult

__all__ = ["Case", "Expectation", "ExpectedCall", "ProbeResult", "SeenAnswer", "case"]
_MODULES = {
    "Case": "cases.model",
    "Expectation": "cases.model",
    "ExpectedCall": "cases.model",
    "ProbeResult": "verdicts",
    "SeenAnswer": "judging.judge",
    "case": "cases.decorator",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
