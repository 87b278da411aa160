"""Routes requests for Kimi models to the cheapest endpoint that works, as recent test results show.

    from routing import Router

    with Router.load() as router:
        reply = router.complete("What is the weather in Paris?", tools=tools, user="123")
        reply.text, reply.tool_calls, reply.endpoint, reply.cost_usd, reply.attempts
        print(router.route(tools=tools, user="123"))                            # explains every candidate
        router.tool_calling_available("openrouter", user="123")                 # would it serve tools now?

All public names are importable from here and are loaded on first use: importing the package loads no HTTP library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalog.model import Endpoint
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
        InvalidRequest,
        KeyMissing,
        NoRoute,
        ProviderFailure,
        RequestRejected,
        RouterClosed,
        RoutingError,
        UnknownName,
    )
    from .flags.model import Flags
    from .router import Router, RouterStatus
    from .selection import Candidate, LeftOut, Route
    from .types import Attempt, Parked, Reply, RequestOptions, ToolCall, Usage

__version__ = "0.1.0"
DISTRIBUTION = "pytest-kimiprobe"
"""Name of the distribution that contains this package. `kimiprobe doctor` reads it to detect another package with the
same import name."""

__all__ = [
    "DISTRIBUTION",
    "AccountError",
    "AllAttemptsFailed",
    "Attempt",
    "BadAnswer",
    "Candidate",
    "CatalogError",
    "ConfigError",
    "Endpoint",
    "EndpointUnavailable",
    "EvidenceError",
    "ExchangeError",
    "Flags",
    "FlagsError",
    "InvalidRequest",
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
    "UnknownName",
    "Usage",
    "__version__",
]

_MODULES = ("types", "errors", "catalog.model", "selection", "flags.model", "router")
"""Modules that define the public names, in the order in which they are searched: cheap imports first."""


def __getattr__(name: str) -> Any:
    for module in _MODULES if name in __all__ else ():
        found = importlib.import_module(f".{module}", __name__)
        if hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
