"""Evidence of a running router: a file that is read again when it changes, or a URL that is fetched now and then.

Evidence that cannot be read never replaces the last good evidence, which only ages.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import EvidenceError
from ..parsing.last_good import Held, LastGoodFile
from ..parsing.safe_read import read_regular
from .model import Evidence, loads

MAX_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class EvidenceStatus:
    """Origin and age of the evidence in use. `error` says why the newest attempt to read it failed."""

    origin: str
    generated_at: str
    error: str | None


class EvidenceFile(LastGoodFile[Evidence]):
    """results/latest.json; a missing file is an empty evidence, not an error. Thread-safe."""

    def __init__(self, path: Path | None) -> None:
        where = str(path) if path is not None else None
        super().__init__(where, Evidence(), _content, lambda data, _: loads(data, origin=str(where)))

    def status(self) -> EvidenceStatus:
        """Where the evidence comes from and what went wrong last."""
        return status_of(self._path or "", self.held)


def status_of(origin: str, held: Held[Evidence]) -> EvidenceStatus:
    """The status of a source of any kind."""
    generated = held.value.generated_at
    return EvidenceStatus(origin, generated.isoformat() if generated else "", held.error)


def _content(path: str) -> bytes:
    if not os.path.exists(path):  # noqa: PTH110 - a missing file is expected before the first run
        raise EvidenceError("not there", where=path)
    return read_regular(path, error=EvidenceError, max_bytes=MAX_BYTES)
