"""Route Kimi requests to the cheapest endpoint that works today.

    from routing import Router

    with Router.load() as router:
        reply = router.complete("What is the weather in Paris?", tools=tools, user="123")
        reply.text, reply.tool_calls, reply.endpoint, reply.cost_usd, reply.attempts

Everything public is here and comes on first use: importing the package loads no HTTP library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import (
        AccountError,
        AllAttemptsFailed,
        BadAnswer,
        CatalogError,
        ConfigError,
        EndpointUnavailable,
        EvidenceError,
        ExchangeError,
        FlagsError,
        KeyMissing,
        NoRoute,
        ProviderFailure,
        RequestRejected,
        RouterClosed,
        RoutingError,
    )
    from .flags.source import Flags
    from .router import Router, RouterStatus
    from .selection import Candidate, LeftOut, Route
    from .types import Attempt, Parked, Reply, RequestOptions, ToolCall, Usage

__version__ = "0.1.0"
DISTRIBUTION = "pytest-kimiprobe"
"""Tells this package from another one of the same import name (see `kimiprobe doctor`)."""

__all__ = [
    "DISTRIBUTION",
    "AccountError",
    "AllAttemptsFailed",
    "Attempt",
    "BadAnswer",
    "Candidate",
    "CatalogError",
    "ConfigError",
    "EndpointUnavailable",
    "EvidenceError",
    "ExchangeError",
    "Flags",
    "FlagsError",
    "KeyMissing",
    "LeftOut",
    "NoRoute",
    "Parked",
    "ProviderFailure",
    "Reply",
    "RequestOptions",
    "RequestRejected",
    "Route",
    "Router",
    "RouterClosed",
    "RouterStatus",
    "RoutingError",
    "ToolCall",
    "Usage",
    "__version__",
]

_MODULES = ("types", "errors", "selection", "flags.model", "router")
"""Where public names are defined, in the order in which they are looked up: light modules first."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        for name_of_module in _MODULES:
            module = importlib.import_module(f".{name_of_module}", __name__)
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
