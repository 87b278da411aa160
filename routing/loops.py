"""The event loops that a router's requests run on, each with its own transport.

An asynchronous caller's requests run on the caller's own loop, without a change of thread.
Synchronous callers share one loop in a thread. Connections belong to one loop. They are closed when the loop's
asynchronous generators are shut down, as `asyncio.run` does, or with the router.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .errors import RouterClosed
from .forking import ForkAware, abandon
from .transport import Transport
from .transport.event_loop import CLOSED, LoopThread

T = TypeVar("T")


@dataclass(slots=True)
class _LoopState:
    """What belongs to one caller's event loop. `closer` closes the transport when the loop's generators are shut down.

    `ending` are the tasks that `RouterLoops.close` has cancelled.
    """

    transport: Transport
    closer: AsyncGenerator[None]
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    ending: set[asyncio.Task[Any]] = field(default_factory=set)


class RouterLoops(ForkAware):
    """Runs a router's requests on the loops of their callers. Thread-safe. A forked child starts with none."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._by_loop: dict[asyncio.AbstractEventLoop, _LoopState] = {}
        self.thread, self.thread_transport = LoopThread("kimiprobe-router"), Transport()

    def after_fork(self) -> None:
        """In a forked child: forget the parent process's loops."""
        abandon(self._by_loop, self.thread, self.thread_transport)
        closed = self.closed
        self._reset()
        if closed:
            self.thread.close()

    async def run(self, work: Callable[[Transport], Coroutine[Any, Any, T]]) -> T:
        """The result of `work` with the running loop's transport. Raises RouterClosed if the router is closed."""
        state, task = await self._state(), asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine on an asyncio loop
        state.tasks.add(task)
        try:
            return await work(state.transport)
        except asyncio.CancelledError:
            if task in state.ending and not task.uncancel():
                raise RouterClosed(CLOSED) from None
            raise
        finally:
            state.tasks.discard(task)
            state.ending.discard(task)

    def run_in_thread(self, work: Callable[[Transport], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, run on the loop thread that synchronous callers share."""
        self._check_open()
        return self.thread.run(work(self.thread_transport))

    def close(self) -> None:
        """Cancel open requests and close all connections."""
        with self._lock:
            self.closed = True
            states, self._by_loop = self._by_loop, {}
        for loop, state in states.items():
            with suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(_end, state)
            state.transport.close()
        self.thread.close(self.thread_transport.aclose())

    def _check_open(self) -> None:
        if self.closed:
            raise RouterClosed("this router was closed; make another one with Router.load()")

    async def _state(self) -> _LoopState:
        loop = asyncio.get_running_loop()
        state = self._by_loop.get(loop)
        if state is not None:
            return state
        with self._lock:
            self._check_open()
            for other in [each for each in self._by_loop if each.is_closed()]:  # not as `asyncio.run` does
                self._by_loop.pop(other).transport.close()
            transport = Transport()
            state = self._by_loop[loop] = _LoopState(transport, self._until_shut_down(loop, transport))
        await anext(state.closer)
        return state

    async def _until_shut_down(self, loop: asyncio.AbstractEventLoop, transport: Transport) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            with self._lock:
                self._by_loop.pop(loop, None)
            transport.close()


def _end(state: _LoopState) -> None:
    """Cancel all requests of an event loop. Must be called on that loop."""
    for task in state.tasks:
        state.ending.add(task)
        task.cancel()
