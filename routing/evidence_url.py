"""Evidence over HTTPS; apart from evidence_source so that a router with a file loads no event loop for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future

from .errors import EvidenceError, ExchangeError
from .evidence import Evidence, loads
from .evidence_source import EvidenceStatus, as_text, status_of
from .loop import LoopThread
from .transport import HttpRequest, Transport

REFRESH_S = 300.0
FETCH_S = 10.0


class EvidenceUrl:
    """latest.json over HTTPS: fetched once when first asked for, then again in the background."""

    def __init__(self, url: str, line: Callable[[], tuple[LoopThread, Transport]]) -> None:
        self._url, self._line = url, line
        self._evidence = Evidence()
        self._error: str | None = None
        self._checked: float | None = None
        self._pending: Future[bytes] | None = None

    def current(self) -> Evidence:
        """The newest evidence at hand; only the first call waits for the network, `FETCH_S` seconds at most."""
        first = self._checked is None
        if first or time.monotonic() - (self._checked or 0.0) > REFRESH_S:
            self._checked = time.monotonic()
            loop, transport = self._line()
            self._pending = loop.submit(_fetch(transport, self._url))
        if self._pending is not None and (first or self._pending.done()):
            self._take(self._pending)
            self._pending = None
        return self._evidence

    def _take(self, fetched: Future[bytes]) -> None:
        try:
            self._evidence, self._error = loads(as_text(fetched.result(), self._url), origin=self._url), None
        except TimeoutError:
            self._error = f"{self._url}: no answer within {FETCH_S:g} s"
        except (EvidenceError, ExchangeError) as error:
            self._error = f"{self._url}: {error}"

    def status(self) -> EvidenceStatus:
        """Where it comes from and what went wrong last."""
        return status_of(self._url, self._evidence, self._error)


async def _fetch(transport: Transport, url: str) -> bytes:
    body = bytearray()
    async with asyncio.timeout(FETCH_S):
        async with transport.send(HttpRequest("GET", url, {}, b""), shard="evidence") as response:
            if response.status != 200:
                raise EvidenceError(f"HTTP {response.status}")
            async for chunk in response.chunks:
                body += chunk
    return bytes(body)
