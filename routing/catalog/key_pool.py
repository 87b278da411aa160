"""The keys of each provider that a router uses, and which of them were refused lately.

A provider may have several keys (docs/routing.md). They are read from the environment at each request. The first one is
used as long as it works, because hosts keep their prompt caches by key. When a key is refused, the next one is used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import ExchangeError
from ..forking import ForkAware
from ..redaction import ApiKey
from .model import Provider

REFUSALS = frozenset({"unauthorized", "forbidden", "no_credit", "quota", "rate_limited"})
"""Reasons with which a host refuses a key, and may accept another one: HTTP 401, 402, 403 and 429."""
LIMITED_S, REFUSED_S = 60.0, 300.0
"""Seconds for which a key is passed over: after a 429 without Retry-After, and after any other refusal."""
MAX_S = 3600.0
"""The most seconds for which a key is passed over because of a Retry-After."""


class KeyPool(ForkAware):
    """Keys of all providers, and until when each refused one is passed over. Thread-safe.

    `clock` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def after_fork(self) -> None:
        """Replace the lock, which another thread of the parent may hold."""
        self._lock = threading.Lock()

    def of(self, provider: Provider) -> tuple[ApiKey, ...]:
        """The provider's keys to try now, in order. If all were refused lately: the one that may be used again first.

        Raises KeyMissing if the environment holds no key.
        """
        keys = provider.keys()
        if len(keys) == 1:
            return keys
        with self._lock:
            now = self._clock()
            usable = tuple(key for key in keys if self._until.get(key, 0.0) <= now)
            return usable or (min(keys, key=lambda key: self._until[key]),)

    def settle(self, key: str, error: ExchangeError | None) -> None:
        """Record the outcome of a request with this key: an answer, or an error."""
        with self._lock:
            if error is None:
                self._until.pop(key, None)
            elif error.reason in REFUSALS:
                usual_s = LIMITED_S if error.reason == "rate_limited" else REFUSED_S
                self._until[key] = self._clock() + min(error.retry_after_s or usual_s, MAX_S)
