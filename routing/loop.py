"""One event loop in a thread of its own, so that synchronous callers and any foreign loop can share clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
_Found: TypeAlias = list[Any]


class Loop(asyncio.SelectorEventLoop):
    """An event loop on which a hanging name server costs one request its deadline, and nobody else anything.

    asyncio looks names up in a small pool of threads: a few hanging look-ups stop all others, and the interpreter waits
    for them when it ends. Here each name has a daemon thread of its own, and whoever asks meanwhile shares it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lookups: dict[tuple[Any, ...], asyncio.Future[_Found]] = {}

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  # asyncio's name
        proto: int = 0,
        flags: int = 0,
    ) -> _Found:
        """As `socket.getaddrinfo`, without blocking; cancelling it leaves the look-up to end by itself."""
        question = (host, port, family, type, proto, flags)
        if question not in self._lookups:
            self._lookups[question] = self.create_future()
            threading.Thread(target=self._look_up, args=(question,), name="kimiprobe-dns", daemon=True).start()
        return await asyncio.shield(self._lookups[question])

    def _look_up(self, question: tuple[Any, ...]) -> None:
        found: _Found | Exception
        try:
            found = socket.getaddrinfo(*question)
        except Exception as error:  # noqa: BLE001  # it belongs to whoever asked
            found = error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self.call_soon_threadsafe(self._looked_up, question, found)

    def _looked_up(self, question: tuple[Any, ...], found: _Found | Exception) -> None:
        lookup = self._lookups.pop(question)
        if isinstance(found, Exception):
            lookup.set_exception(found)
            lookup.exception()  # seen, also where nobody waits any more
        else:
            lookup.set_result(found)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(work)


class LoopThread:
    """Starts with the first `submit`; `close` cancels what is left and joins the thread."""

    def __init__(self, name: str = "kimiprobe") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop; the future carries its result or exception."""
        return asyncio.run_coroutine_threadsafe(work, self._started())

    def close(self) -> None:
        """Cancel what runs, end the loop, join the thread. Calling it again does nothing."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = Loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name=self._name, daemon=True)
                self._thread.start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
