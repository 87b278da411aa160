"""Where a running router gets its evidence: a file re-read when it changes, or a URL re-fetched now and then.

Last good wins: evidence that cannot be read never replaces what was there; it only ages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from .errors import EvidenceError, ExchangeError
from .evidence import Evidence, loads
from .files import Signature, read_regular
from .loop import LoopThread
from .transport import HttpRequest, Transport

REFRESH_S = 300.0
FETCH_S = 10.0
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
                self._evidence, self._error = loads(_text(data, str(self._path)), origin=str(self._path)), None
        except FileNotFoundError:
            self._error = f"{self._path}: not there"
        except OSError as error:
            self._error = f"{self._path}: {error.strerror}"
        except EvidenceError as error:
            self._error = str(error)
        return self._evidence

    def status(self) -> EvidenceStatus:
        """Where it comes from and what went wrong last."""
        return _status(str(self._path or ""), self._evidence, self._error)


class EvidenceUrl:
    """latest.json over HTTPS: fetched once when first asked for, then again in the background."""

    def __init__(self, url: str, loop: LoopThread, transport: Transport) -> None:
        self._url, self._loop, self._transport = url, loop, transport
        self._evidence = Evidence()
        self._error: str | None = None
        self._checked: float | None = None
        self._pending: Future[bytes] | None = None

    def current(self) -> Evidence:
        """The newest evidence at hand; only the first call waits for the network, `FETCH_S` seconds at most."""
        first = self._checked is None
        if first or time.monotonic() - (self._checked or 0.0) > REFRESH_S:
            self._checked = time.monotonic()
            self._pending = self._loop.submit(_fetch(self._transport, self._url))
        if self._pending is not None and (first or self._pending.done()):
            self._take(self._pending)
            self._pending = None
        return self._evidence

    def _take(self, fetched: Future[bytes]) -> None:
        try:
            self._evidence, self._error = loads(_text(fetched.result(), self._url), origin=self._url), None
        except TimeoutError:
            self._error = f"{self._url}: no answer within {FETCH_S:g} s"
        except (EvidenceError, ExchangeError) as error:
            self._error = f"{self._url}: {error}"

    def status(self) -> EvidenceStatus:
        """Where it comes from and what went wrong last."""
        return _status(self._url, self._evidence, self._error)


EvidenceSource = EvidenceFile | EvidenceUrl


def evidence_source(place: str | Path | None, loop: LoopThread, transport: Callable[[], Transport]) -> EvidenceSource:
    """A source for a path or URL; plain http only to this machine."""
    text = str(place or "")
    if text.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        return EvidenceUrl(text, loop, transport())
    if "://" in text:
        raise EvidenceError("evidence comes from a path or an https URL", where=text)
    return EvidenceFile(Path(place) if place else None)


def _status(origin: str, evidence: Evidence, error: str | None) -> EvidenceStatus:
    generated = evidence.generated_at.isoformat() if evidence.generated_at else ""
    return EvidenceStatus(origin, generated, error)


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise EvidenceError("not UTF-8", where=where) from None


async def _fetch(transport: Transport, url: str) -> bytes:
    body = bytearray()
    async with asyncio.timeout(FETCH_S):
        async with transport.send(HttpRequest("GET", url, {}, b""), shard="evidence") as response:
            if response.status != 200:
                raise EvidenceError(f"HTTP {response.status}")
            async for chunk in response.chunks:
                body += chunk
    return bytes(body)
