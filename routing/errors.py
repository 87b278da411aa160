"""Every error this package raises, as one tree.

    RoutingError                   everything below
    ├── ConfigError                a file, key or option is wrong: mend it, then run again
    │   ├── FlagsError             flags.yaml
    │   ├── CatalogError           catalog.yaml
    │   ├── EvidenceError          results/latest.json
    │   └── KeyMissing             a provider's environment variable is not set, or holds what cannot be a key
    ├── NoRoute                    no endpoint fits the request (error class `selection`)
    ├── AllAttemptsFailed          every candidate failed or the time was used up; `.attempts` tells of each
    └── ExchangeError              one exchange failed; it carries endpoint, phase, reason, elapsed time, status
        ├── RequestRejected        error class `request`:   what was sent is wrong, elsewhere too
        ├── AccountError           error class `account`:   key, credit, quota, policy
        ├── EndpointUnavailable    error class `selection`: this model or upstream is not served here (any more)
        ├── ProviderFailure        error class `provider`:  down, overloaded, slow, cut, not speaking the protocol
        └── BadAnswer              error class `answer`:    it answered, but wrongly

The error class says whose doing it was (docs/words.md): only `provider` and `answer` may ever move a flag.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from .types import Attempt, ErrorClass

Phase: TypeAlias = Literal["connect", "send", "headers", "body", "parse", "verify"]


class RoutingError(Exception):
    """Base of all errors of this package."""


class ConfigError(RoutingError):
    """A file or setting of the user's is wrong. `where` names the file (with line where known) or the variable."""

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where


class FlagsError(ConfigError):
    """flags.yaml is missing, half-written or wrong."""


class CatalogError(ConfigError):
    """The catalogue is wrong."""


class EvidenceError(ConfigError):
    """The committed results cannot be read."""


class KeyMissing(ConfigError):
    """A provider's key is not set or cannot be one. The value is never shown."""


class NoRoute(RoutingError):
    """No endpoint fits the request. The message says why each was left out."""

    error_class: ClassVar[ErrorClass] = "selection"


class AllAttemptsFailed(RoutingError):
    """No attempt gave an answer that may be delivered. `attempts` holds one entry each, in order."""

    def __init__(self, message: str, attempts: tuple[Attempt, ...]) -> None:
        super().__init__(message)
        self.attempts = attempts


class ExchangeError(RoutingError):
    """One exchange failed.

    `reason` is a code of `routing.reasons`, `retryable` says whether the same endpoint may answer well a moment later,
    `retry_after_s` is what the provider asked for, `advice` is the next step for a human.
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
        self.detail = detail
        self.endpoint = endpoint
        self.phase: Phase = phase
        self.status = status
        self.elapsed_ms = elapsed_ms
        self.attempt = attempt
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.advice = advice
        self.failed_generation = failed_generation
        """Groq's `failed_generation`: text that may hold the intended tool call. It goes to rescue, never to a log."""

    def __str__(self) -> str:
        status = f" (HTTP {self.status})" if self.status is not None else ""
        parts = [f"{self.endpoint}: " if self.endpoint else "", self.reason, status]
        tail = [part for part in (self.detail, self.advice) if part]
        return "".join(parts) + (": " + "; ".join(tail) if tail else "")


class RequestRejected(ExchangeError):
    """What was sent is wrong; another endpoint would refuse it too."""

    error_class = "request"


class AccountError(ExchangeError):
    """Key, credit, quota or policy of the account."""

    error_class = "account"


class EndpointUnavailable(ExchangeError):
    """This model or upstream is not served here (any more), or not with these parameters."""

    error_class = "selection"


class ProviderFailure(ExchangeError):
    """The provider is down, overloaded, slow, cut the answer, or does not speak its protocol."""

    error_class = "provider"


class BadAnswer(ExchangeError):
    """The provider answered, but the answer may not be delivered."""

    error_class = "answer"
