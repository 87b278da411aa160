"""Values read from a source that may change or fail: the last good value stays in use."""

from __future__ import annotations

import logging
import os
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from ..errors import ConfigError
from ..forking import ForkAware
from .safe_read import Signature, signature_of

T = TypeVar("T")
_log = logging.getLogger("routing")
# File times tick every few ms: a file written this recently can change again without changing its signature.
_SETTLED_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """The value in use and the state of its source; replaced as one object, so that no thread sees half a change.

    `from_source` is false while the initial value is in use. `error` says why the newest content was not used. `data`
    is that content, None if it was unreadable. `settled` is false if the file was changed so recently that another
    change might not show in its signature.
    """

    value: T
    loaded_at: float
    from_source: bool = False
    error: str | None = None
    data: bytes | None = None
    signature: Signature | None = None
    settled: bool = False


class LastGood(ForkAware, Generic[T]):
    """The last good value of a source; thread-safe. Content that is not used is logged once, with the reason.

    Subclasses implement `_read`. They also implement `_is_current` if they can tell cheaply that the source did not
    change. One thread reads at a time. Other threads wait for the first reading; during later ones they use the value
    already held.
    """

    def __init__(self, first: T) -> None:
        super().__init__()
        self.held = Held(first, time.time())
        self.checked_at = self.held.loaded_at
        self._reading = threading.Lock()
        self._first_done = False

    def current(self) -> T:
        """The value to use now. The source is read first, unless it is known not to have changed."""
        self.checked_at = time.time()
        if not self._is_current() and self._reading.acquire(blocking=not self._first_done):
            try:
                before, self.held = self.held, self._read(self.held)
                self._first_done = True
                if self.held.error is not None and self.held.error != before.error:
                    never_there = self.held.data is None and not before.from_source
                    _log.log(logging.INFO if never_there else logging.WARNING, "not used: %s", self.held.error)
            finally:
                self._reading.release()
        return self.held.value

    def if_current(self) -> T | None:
        """The value to use now if the source need not be read, else None."""
        if not self._is_current():
            return None
        self.checked_at = time.time()
        return self.held.value

    def after_fork(self) -> None:
        """Replace the lock, which another thread of the parent may hold."""
        self._reading = threading.Lock()

    def _is_current(self) -> bool:
        return False

    @abstractmethod
    def _read(self, held: Held[T]) -> Held[T]: ...

    @staticmethod
    def _parsed(held: Held[T], data: bytes, parse: Callable[[bytes, T | None], T]) -> Held[T]:
        """The state after `data` was read: the new value, or the old value with the reason why `data` cannot be used.

        `parse` gets `data` and the value in use; None instead of a value that did not come from the source.
        """
        held = replace(held, data=data)
        try:
            value = parse(data, held.value if held.from_source else None)
        except ConfigError as problem:
            return replace(held, error=str(problem))
        return replace(held, value=value, loaded_at=time.time(), from_source=True, error=None)


class LastGoodFile(LastGood[T]):
    """The last good value of a file, which is read again when it changes.

    `current` costs one `stat` call if the file did not change, and never raises ConfigError. Without a path the first
    value stays in use. `read` returns the content of a path, `parse` the value of a content.
    """

    def __init__(
        self, path: str | None, first: T, read: Callable[[str], bytes], parse: Callable[[bytes, T | None], T]
    ) -> None:
        super().__init__(first)
        self._path, self._content, self._parse = path, read, parse

    def _is_current(self) -> bool:
        held = self.held
        return self._path is None or (held.settled and _signature(self._path) == held.signature)

    def _read(self, held: Held[T]) -> Held[T]:
        path = str(self._path)
        signature = _signature(path)
        settled = signature is None or time.time_ns() - max(signature[:2]) > _SETTLED_NS
        held = replace(held, signature=signature, settled=settled)
        try:
            data = self._content(path)
            if not settled and self._content(path) != data:
                raise ConfigError("is being written", where=path)  # noqa: TRY301 - unsettled: the next call reads again
        except ConfigError as problem:
            return replace(held, data=None, error=str(problem))
        return held if data == held.data else self._parsed(held, data, self._parse)


def _signature(path: str) -> Signature | None:
    try:
        return signature_of(os.stat(path))  # noqa: PTH116 - on every request; half the cost of Path.stat
    except (OSError, ValueError):
        return None
