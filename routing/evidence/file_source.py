"""Where a running router gets its evidence: a file re-read when it changes, or a URL re-fetched now and then.

Last good wins: evidence that cannot be read never replaces what was there; it only ages.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..errors import EvidenceError
from ..parsing.safe_read import Signature, read_regular
from .model import Evidence, loads

MAX_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class EvidenceStatus:
    """What the router knows of its evidence. `error` tells why the newest attempt to read it failed."""

    origin: str
    generated_at: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """What is in use and what was last seen; swapped as one object, so no thread sees half a change."""

    evidence: Evidence = field(default_factory=Evidence)
    error: str | None = None
    signature: Signature | None = None


class OneReader:
    """One thread reads at a time; the others wait for the first reading, and later go on with what there is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first_done = False

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Whether it is this thread's turn to read."""
        mine = self._lock.acquire(blocking=not self._first_done)
        try:
            yield mine
            self._first_done = self._first_done or mine
        finally:
            if mine:
                self._lock.release()


class EvidenceFile:
    """results/latest.json; a missing file is no evidence, not an error. Safe to use from threads."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._held = Held()
        self._reader = OneReader()

    def current(self) -> Evidence:
        """The evidence, re-read where the file changed; costs one `stat`."""
        if self._path is not None and not self._is_read(self._path):
            with self._reader.turn() as mine:
                if mine:
                    self._held = self._read(self._path)
        return self._held.evidence

    def status(self) -> EvidenceStatus:
        """Where it comes from and what went wrong last."""
        return status_of(str(self._path or ""), self._held)

    def _is_read(self, path: Path) -> bool:
        try:
            return Signature.of(path.stat()) == self._held.signature
        except OSError:
            return False

    def _read(self, path: Path) -> Held:
        held = self._held
        try:
            seen = Signature.of(path.stat())
        except FileNotFoundError:
            return Held(held.evidence, f"{path}: not there")
        except OSError as error:
            return Held(held.evidence, f"{path}: {error.strerror}")
        if seen == held.signature:
            return held  # another thread was faster
        try:
            data = read_regular(path, error=EvidenceError, max_bytes=MAX_BYTES)
            return Held(loads(as_text(data, str(path)), origin=str(path)), None, seen)
        except EvidenceError as error:
            return Held(held.evidence, str(error), seen)


class EvidenceSource(Protocol):
    """Where evidence comes from."""

    def current(self) -> Evidence: ...

    def status(self) -> EvidenceStatus: ...


def status_of(origin: str, held: Held) -> EvidenceStatus:
    """The status of a source, of whatever kind."""
    generated = held.evidence.generated_at
    return EvidenceStatus(origin, generated.isoformat() if generated else "", held.error)


def as_text(data: bytes, where: str) -> str:
    """UTF-8, or EvidenceError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise EvidenceError("not UTF-8", where=where) from None
