"""Evidence fetched over HTTPS.

Separate from file_source.py, so that a router that reads its evidence from a file does not import an event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from urllib.parse import urlsplit

from ..errors import EvidenceError, ExchangeError, RouterClosed
from ..parsing.last_good import Held, LastGood
from ..redaction import HiddenText, shown_url
from ..transport import HttpRequest, Transport
from ..transport.event_loop import LoopThread
from .file_source import EvidenceStatus, status_of
from .model import Evidence, loads

REFRESH_S = 300.0
FETCH_S = 10.0


class EvidenceUrl(LastGood[Evidence]):
    """Evidence (latest.json) over HTTPS. Thread-safe. Status and errors show the URL without its credentials.

    It is fetched when first needed, then again in the background, at most every `REFRESH_S` seconds. Only the first
    call of `current` waits for the network, at most `FETCH_S` seconds.
    """

    def __init__(self, url: str, http: Callable[[], tuple[LoopThread, Transport]]) -> None:
        super().__init__(Evidence())
        self._url, self._shown, self._http = HiddenText(url), shown_url(url), http
        self._asked_at: float | None = None
        self._pending: Future[bytes] | None = None

    def status(self) -> EvidenceStatus:
        """URL of the evidence, when it was generated, and why the newest attempt to read it failed."""
        return status_of(self._shown, self.held)

    def after_fork(self) -> None:
        """In a forked child: forget a fetch that the parent process has begun."""
        super().after_fork()
        if self._pending is not None:
            self._pending, self._asked_at = None, None

    def _is_current(self) -> bool:
        asked_at, pending = self._asked_at, self._pending
        due = asked_at is None or time.monotonic() - asked_at > REFRESH_S
        return not due and (pending is None or not pending.done())

    def _read(self, held: Held[Evidence]) -> Held[Evidence]:
        first = self._asked_at is None
        if first or time.monotonic() - (self._asked_at or 0.0) > REFRESH_S:
            self._asked_at = time.monotonic()
            loop, transport = self._http()
            self._pending = loop.submit(_fetch(transport, self._url))
        if self._pending is None or not (first or self._pending.done()):
            return held
        fetched, self._pending = self._pending, None
        try:
            return self._parsed(held, fetched.result(), lambda data, _: loads(data, origin=self._shown))
        except CancelledError:
            raise RouterClosed("the router was closed while its first evidence was fetched") from None
        except TimeoutError:
            return replace(held, error=f"{self._shown}: no answer within {FETCH_S:g} s")
        except (EvidenceError, ExchangeError) as error:
            return replace(held, error=f"{self._shown}: {error}")


async def _fetch(transport: Transport, url: str) -> bytes:
    body, parts = bytearray(), urlsplit(url)
    if parts.username or parts.password:
        raise EvidenceError("user and password in a URL are not sent: put a token into its query, or give a path")
    del parts  # a traceback may be printed with locals
    async with asyncio.timeout(FETCH_S):
        async with transport.send(HttpRequest("GET", url, {}, b"")) as response:
            if response.status != 200:
                raise EvidenceError(f"HTTP {response.status}")
            async for chunk in response.chunks:
                body += chunk
    return bytes(body)
