"""Every error that this package raises, as one tree.

    RoutingError                   everything below
    ├── ConfigError                a file, key or option is wrong: fix it, then run again
    │   ├── FlagsError             flags.yaml
    │   ├── CatalogError           catalog.yaml
    │   │   └── UnknownName        a name that the catalogue does not have; also a ValueError
    │   ├── EvidenceError          results/latest.json
    │   └── KeyMissing             a provider's environment variable is not set, or its value cannot be a key
    ├── ToolSchemaError            a tool of the caller has no valid schema (routing/schema); also a ValueError
    ├── NoRoute                    no endpoint fits the request (error class `selection`)
    ├── RouterClosed               a router was used after it was closed, or was closed during a request
    ├── AllAttemptsFailed          every candidate failed or the time ran out; `.attempts` lists each attempt
    │   └── InvalidRequest         what the caller asked for cannot be sent to any endpoint; also a ValueError
    └── ExchangeError              one exchange failed: `.reason` is a code of routing/reasons.py
        ├── RequestRejected        error class `request`:   what was sent is wrong, or this machine failed
        ├── AccountError           error class `account`:   key, credit, quota, policy
        ├── EndpointUnavailable    error class `selection`: this model or upstream is not served here (any more)
        ├── ProviderFailure        error class `provider`:  down, overloaded, slow, cut off, or breaks the protocol
        └── BadAnswer              error class `answer`:    the provider answered wrongly

Each error has `endpoint`, `phase`, `elapsed_ms`, `attempt`, `error_class`, `retryable` and `advice`, the next step for
a human. The error class says who caused the error (docs/terms.md): only `provider` and `answer` may change a flag. Keys
are removed from every text of an error. Errors can be pickled and copied.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .reasons import ELSEWHERE, reason_of
from .redaction import escaped, redact
from .types import Answer, Attempt, ErrorClass, Phase


class RoutingError(Exception):
    """Base class of all errors of this package.

    `endpoint` and `phase` say where the error happened. `elapsed_ms` is the time since the start of the exchange.
    `attempt` counts from 1, and 0 means that nothing was sent. `error_class` says who caused the error, `retryable`
    whether a retry may succeed, and `advice` what a human can do. Fields that do not apply are empty.
    """

    error_class: ClassVar[ErrorClass | None] = None
    endpoint: str = ""
    phase: Phase | None = None
    elapsed_ms: float = 0.0
    attempt: int = 0
    retryable: bool = False
    advice: str = ""

    def __init__(self, *args: Any) -> None:
        super().__init__(*(escaped(redact(arg)) if isinstance(arg, str) else arg for arg in args))

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with `args`, which do not match the parameters of these constructors.
        return type(self).__new__, (type(self), *self.args), self.__dict__


class ConfigError(RoutingError):
    """A file or setting of the user is wrong. `where` names the variable, or the file with its line if known."""

    error_class: ClassVar[ErrorClass | None] = "request"
    advice = "fix it, then run again"

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where


class FlagsError(ConfigError):
    """flags.yaml is missing, incomplete or wrong."""


class CatalogError(ConfigError):
    """The catalogue (catalog.yaml or the user's file) is missing or wrong, or a name is not in it."""


class UnknownName(CatalogError, ValueError):
    """A model, endpoint or provider that the catalogue does not have. The message lists the known names."""

    advice = "use one of the names that the message lists, or add it to the catalogue"


class EvidenceError(ConfigError):
    """The evidence (results/latest.json) cannot be read, or is wrong."""


class KeyMissing(ConfigError):
    """A provider's key is not set, or its value cannot be a key. The value is never shown."""

    error_class = "account"
    advice = "set the variable to the provider's key"


def _with_advice(error: RoutingError) -> str:
    return f"{error.args[0]}\nwhat to do: {error.advice}"


class NoRoute(RoutingError):
    """No endpoint fits the request. The message gives the reason for each endpoint, and what to do."""

    error_class = "selection"
    advice = "enable a flag for one of the endpoints that were left out, or ask for less"

    __str__ = _with_advice


class RouterClosed(RoutingError):
    """The router was closed before or during the request."""

    error_class = "request"
    advice = "make another router with Router.load()"


class AllAttemptsFailed(RoutingError):
    """No attempt gave an answer that can be delivered. `attempts` holds all attempts in order.

    `endpoint`, `phase` and `error_class` are those of the last attempt. `attempt` counts the requests that were sent,
    `elapsed_ms` sums all attempts, and `retryable` is true if any attempt may succeed on a retry. `retry_after_s` is
    the shortest pause that a host asked for, or that is left of a parking. The message ends with what to do.
    """

    def __init__(self, message: str, attempts: tuple[Attempt, ...]) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.attempt = sum(attempt.sent for attempt in attempts)
        self.elapsed_ms = sum(attempt.elapsed_ms for attempt in attempts)
        self.retryable = any(attempt.retryable for attempt in attempts)
        pauses = [attempt.retry_after_s for attempt in attempts if attempt.retry_after_s is not None]
        self.retry_after_s = min(pauses, default=None)
        self.advice = ELSEWHERE
        if attempts:
            self.endpoint, self.phase = attempts[-1].endpoint, attempts[-1].phase
            self.advice = reason_of(attempts[-1].reason).advice or ELSEWHERE

    __str__ = _with_advice

    @property
    def error_class(self) -> ErrorClass | None:  # type: ignore[override]
        """The error class of the last attempt; None if nothing was attempted."""
        return self.attempts[-1].error_class if self.attempts else None


class InvalidRequest(AllAttemptsFailed, ValueError):
    """The request is wrong and was not sent to any endpoint. The message names the field and the wrong value."""

    def __init__(self, message: str, attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message, attempts)
        self.advice = "correct the field that the message names"

    @property
    def error_class(self) -> ErrorClass:  # type: ignore[override]
        """Always `request`."""
        return "request"


class ExchangeError(RoutingError):
    """One exchange failed.

    `reason` is a code of `routing.reasons`; the code's advice is used unless `advice` is given. `status` is the HTTP
    status if one was received, `retry_after_s` the wait in seconds that the provider asked for.
    """

    error_class: ClassVar[ErrorClass] = "provider"

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        endpoint: str = "",
        phase: Phase = "parse",
        status: int | None = None,
        elapsed_ms: float = 0.0,
        attempt: int = 1,
        retryable: bool = False,
        retry_after_s: float | None = None,
        advice: str = "",
        failed_generation: str | None = None,
    ) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail: str = self.args[1]
        self.endpoint = endpoint
        self.phase = phase
        self.status = status
        self.elapsed_ms = elapsed_ms
        self.attempt = attempt
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.advice = advice or reason_of(reason).advice
        self.failed_generation = failed_generation
        """Groq's `failed_generation`: text that may hold the intended tool call. It goes to rescue, never to a log."""
        self.received: Answer | None = None
        """The part of an answer that came with the error, such as its usage."""

    def __str__(self) -> str:
        status = f" (HTTP {self.status})" if self.status is not None else ""
        parts = [f"{self.endpoint}: " if self.endpoint else "", self.reason, status]
        advice = "" if self.advice == ELSEWHERE else self.advice  # the general advice is not repeated
        tail = [part for part in (self.detail, advice) if part]
        return "".join(parts) + (": " + "; ".join(tail) if tail else "")


class RequestRejected(ExchangeError):
    """What was sent is wrong and another endpoint would refuse it too, or this machine failed (`local_failure`)."""

    error_class = "request"


class AccountError(ExchangeError):
    """The account's key, credit, quota or policy prevents the request."""

    error_class = "account"


class EndpointUnavailable(ExchangeError):
    """The provider does not serve this model or upstream (any more), or not with these parameters."""

    error_class = "selection"


class ProviderFailure(ExchangeError):
    """The provider is down, overloaded or slow, cut the answer off, or breaks its protocol."""

    error_class = "provider"


class BadAnswer(ExchangeError):
    """The provider answered, but the answer cannot be delivered."""

    error_class = "answer"


ERROR_TYPES = {
    kind.error_class: kind for kind in (RequestRejected, AccountError, EndpointUnavailable, ProviderFailure, BadAnswer)
}


def error_type(reason: str) -> type[ExchangeError]:
    """The exception class for a reason code. A code that is unknown or has no error class gives ProviderFailure."""
    return ERROR_TYPES[reason_of(reason).error_class or "provider"]
