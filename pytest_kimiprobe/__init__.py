"""Probe, judge and record tool calling of the Kimi family.

`case` declares a probe in Python; `Case` and its parts are what hooks give back (docs/cases.md, docs/hooks.md).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cases.decorator import case
    from .cases.model import Case, Expectation, ExpectedCall
    from .judging.judge import SeenAnswer
    from .verdicts import ProbeResult

__all__ = ["Case", "Expectation", "ExpectedCall", "ProbeResult", "SeenAnswer", "case"]
_MODULES = ("cases.decorator", "verdicts", "cases.model", "judging.judge")
"""Modules that define the public names, in the order in which they are searched: cheap imports first."""


def __getattr__(name: str) -> Any:
    for module in _MODULES if name in __all__ else ():
        found = importlib.import_module(f".{module}", __name__)
        if hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
