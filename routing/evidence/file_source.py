"""Evidence that a running router reads from a file, again whenever the file changes.

A file that cannot be read never replaces the last good evidence, which stays in use and ages. url_source.py reads
evidence from a URL.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..errors import EvidenceError
from ..parsing.last_good import Held, LastGoodFile
from ..parsing.safe_read import read_regular
from ..redaction import escaped
from .model import Evidence, loads

MAX_BYTES = 8 << 20
_ROWS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class EvidenceStatus:
    """Path or URL of the evidence in use, and when that evidence was generated.

    `error` says why the newest attempt to read it failed; None if it did not fail. `warning` names the rows of the
    evidence in use that are left out, because they hold a figure that cannot be right.
    """

    origin: str
    generated_at: str
    error: str | None
    warning: str | None = None

    def __str__(self) -> str:
        told = "".join(f"\n  {name}: {text}" for name in ("error", "warning") if (text := getattr(self, name)))
        return f"evidence: {self.origin or 'none'} ({self.generated_at or 'never read'}){told}"


class EvidenceFile(LastGoodFile[Evidence]):
    """Evidence from a file such as results/latest.json, read again when the file changes. Thread-safe.

    Without a path, or until the file can be read, the evidence is empty. A missing file raises nothing: `status()`
    reports it.
    """

    def __init__(self, path: Path | None) -> None:
        where = str(path) if path is not None else None
        super().__init__(where, Evidence(), _content, lambda data, _: loads(data, origin=str(where)))

    def status(self) -> EvidenceStatus:
        """Path of the evidence, when it was generated, and why the newest attempt to read it failed."""
        return status_of(self._path or "", self.held)


def status_of(origin: str, held: Held[Evidence]) -> EvidenceStatus:
    """Status of the evidence that a file or URL source holds; `origin` is the path or URL."""
    generated = held.value.generated_at
    rows = "; ".join(f"{name[:100]}: {why[:100]}" for name, why in islice(held.value.refused.items(), _ROWS_SHOWN))
    warning = f"{len(held.value.refused)} rows are not used: {rows}" if rows else None
    return EvidenceStatus(origin, generated.isoformat() if generated else "", held.error, warning and escaped(warning))


def _content(path: str) -> bytes:
    if not os.path.exists(path):  # noqa: PTH110 - a missing file is expected before the first run
        raise EvidenceError("not there", where=path)
    return read_regular(path, error=EvidenceError, max_bytes=MAX_BYTES)
