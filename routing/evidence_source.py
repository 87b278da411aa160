"""Where a running router gets its evidence: a file re-read when it changes, or a URL re-fetched now and then.

Last good wins: evidence that cannot be read never replaces what was there; it only ages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .errors import EvidenceError
from .evidence import Evidence, loads
from .files import Signature, read_regular

MAX_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class EvidenceStatus:
    """What the router knows of its evidence. `error` tells why the newest attempt to read it failed."""

    origin: str
    generated_at: str
    error: str | None


class EvidenceFile:
    """results/latest.json; a missing file is no evidence, not an error."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: Signature | None = None
        self._evidence = Evidence()
        self._error: str | None = None

    def current(self) -> Evidence:
        """The evidence, re-read where the file changed; costs one `stat`."""
        if self._path is None:
            return self._evidence
        try:
            seen = Signature.of(self._path.stat())
            if seen != self._seen:
                self._seen = seen
                data = read_regular(self._path, error=EvidenceError, max_bytes=MAX_BYTES)
                self._evidence, self._error = loads(as_text(data, str(self._path)), origin=str(self._path)), None
        except FileNotFoundError:
            self._error = f"{self._path}: not there"
        except OSError as error:
            self._error = f"{self._path}: {error.strerror}"
        except EvidenceError as error:
            self._error = str(error)
        return self._evidence

    def status(self) -> EvidenceStatus:
        """Where it comes from and what went wrong last."""
        return status_of(str(self._path or ""), self._evidence, self._error)


class EvidenceSource(Protocol):
    """Where evidence comes from."""

    def current(self) -> Evidence: ...

    def status(self) -> EvidenceStatus: ...


def status_of(origin: str, evidence: Evidence, error: str | None) -> EvidenceStatus:
    """The status of a source, of whatever kind."""
    generated = evidence.generated_at.isoformat() if evidence.generated_at else ""
    return EvidenceStatus(origin, generated, error)


def as_text(data: bytes, where: str) -> str:
    """UTF-8, or EvidenceError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise EvidenceError("not UTF-8", where=where) from None
