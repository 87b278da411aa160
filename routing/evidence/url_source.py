"""Evidence over HTTPS; apart from evidence_source so that a router with a file loads no event loop for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

from ..errors import EvidenceError, ExchangeError, RouterClosed
from ..loop import LoopThread
from ..transport import HttpRequest, Transport
from .file_source import EvidenceStatus, Held, OneReader, as_text, status_of
from .model import Evidence, loads

REFRESH_S = 300.0
FETCH_S = 10.0


class EvidenceUrl:
    """latest.json over HTTPS: fetched once when first asked for, then again in the background. Safe to use from threads."""

    def __init__(self, url: str, line: Callable[[], tuple[LoopThread, Transport]]) -> None:
        self._url, self._line = url, line
        self._held = Held()
        self._reader = OneReader()
        self._asked_at: float | None = None
        self._pending: Future[bytes] | None = None

    def current(self) -> Evidence:
        """The newest evidence at hand; only the first call waits for the network, `FETCH_S` seconds at most."""
        with self._reader.turn() as mine:
            if mine:
                self._refresh()
        return self._held.evidence

    def status(self) -> EvidenceStatus:
        """Where it comes from and what went wrong last."""
        return status_of(self._url, self._held)

    def _refresh(self) -> None:
        first = self._asked_at is None
        if first or time.monotonic() - (self._asked_at or 0.0) > REFRESH_S:
            self._asked_at = time.monotonic()
            loop, transport = self._line()
            self._pending = loop.submit(_fetch(transport, self._url))
        if self._pending is not None and (first or self._pending.done()):
            self._held = self._taken(self._pending)
            self._pending = None

    def _taken(self, fetched: Future[bytes]) -> Held:
        try:
            return Held(loads(as_text(fetched.result(), self._url), origin=self._url))
        except CancelledError:
            raise RouterClosed("the router was closed while its first evidence was fetched") from None
        except TimeoutError:
            return Held(self._held.evidence, f"{self._url}: no answer within {FETCH_S:g} s")
        except (EvidenceError, ExchangeError) as error:
            return Held(self._held.evidence, f"{self._url}: {error}")


async def _fetch(transport: Transport, url: str) -> bytes:
    body = bytearray()
    async with asyncio.timeout(FETCH_S):
        async with transport.send(HttpRequest("GET", url, {}, b""), shard="evidence") as response:
            if response.status != 200:
                raise EvidenceError(f"HTTP {response.status}")
            async for chunk in response.chunks:
                body += chunk
    return bytes(body)
