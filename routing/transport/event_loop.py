"""Threads beside event loops: for looking up names, for long work, and for callers that have no loop.

asyncio's own executor is not used. A few of its threads serve the whole program: if they are busy, a request waits,
although its timeout runs. The interpreter also joins them when it exits, and they start no work after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, Generic, TypeAlias, TypeVar

from ..errors import RouterClosed
from ..forking import ForkAware, abandon

T = TypeVar("T")
_Addresses: TypeAlias = list[Any]
_Question: TypeAlias = tuple[Any, ...]
_ROUNDS = 3
"""How often all tasks are cancelled when a loop ends: a cancelled task may start another one."""
_CHECK_S = 0.5
"""Seconds between two checks by which a waiting thread finds out whether it runs in a forked child."""
CLOSED = "the router was closed while this request was under way"
FORKED = "this process was forked while the request was under way; the request belongs to the parent"
_lookups: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Question, asyncio.Future[_Addresses]]]
_lookups = weakref.WeakKeyDictionary()


async def in_thread(work: Callable[[], T], name: str = "kimiprobe-work") -> T:
    """The result of `work`, which runs in a daemon thread. Cancelling the call does not end the work."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: Exception | None) -> None:
        if outcome.done():  # cancelled
            return
        if error is not None:
            outcome.set_exception(error)
            outcome.exception()  # mark as retrieved: all that waited may be cancelled before they see it
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, problem = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  # raised to the caller
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(finish, result, problem)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:  # the interpreter is ending, and starts no more threads
        run()
    return await outcome


async def look_up(host: Any, port: Any, *options: int) -> _Addresses:
    """As `socket.getaddrinfo`, without blocking. Concurrent calls for the same name on one loop share one thread.

    Cancelling a call does not end the look-up.
    """
    pending = _lookups.setdefault(asyncio.get_running_loop(), {})
    question = (host, port, *options)
    if question not in pending:
        pending[question] = asyncio.ensure_future(in_thread(lambda: _addresses(question), "kimiprobe-dns"))
        pending[question].add_done_callback(lambda _: pending.pop(question, None))
    return await asyncio.shield(pending[question])


def _addresses(question: _Question) -> _Addresses:
    try:
        return socket.getaddrinfo(*question)
    except socket.gaierror as error:
        failure = error
    socket.socket().close()  # without a free descriptor, the resolver says that it knows no such name
    raise failure


class EventLoop(asyncio.SelectorEventLoop):
    """Event loop that resolves host names with `look_up`, and that a forked child leaves alone."""

    def __init__(self) -> None:
        super().__init__()
        self._process = os.getpid()

    def time(self) -> float:
        """Seconds of the system's monotonic clock. Libraries that freeze time for a test do not replace this call."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  # asyncio's name
        proto: int = 0,
        flags: int = 0,
    ) -> _Addresses:
        """As `socket.getaddrinfo`, without blocking."""
        return await look_up(host, port, family, type, proto, flags)

    def __del__(self, *arguments: Any) -> None:
        """Close the loop, but not in a forked child, because the parent would lose sockets (routing/forking.py)."""
        if self._process == os.getpid():
            super().__del__(*arguments)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new `EventLoop`, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        return runner.run(work)


class LoopThread(ForkAware):
    """Event loop in a daemon thread that starts with the first work and ends with `close`.

    The thread also ends before the process forks, if no work is in progress, and starts again with the next work. So a
    program that only forks between requests forks without this thread.
    """

    def __init__(self, name: str = "kimiprobe") -> None:
        super().__init__()
        self._name = name
        self._closed = False
        self._last_work: Coroutine[Any, Any, None] | None = None
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._pending: deque[_Waiting[Any]] = deque()
        self._loop: EventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop; the future has its result or exception. Raises RouterClosed after `close`."""
        # Within the lock: `close` cancels all work that was submitted before it, and forgets none.
        with self._lock:
            return asyncio.run_coroutine_threadsafe(work, self._started(work))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, and wait for its result. This costs less than waiting for a future.

        If the wait ends by an exception, such as KeyboardInterrupt, the work is cancelled. Raises RouterClosed if the
        loop is closed before or during the work, or if this process turns out to be a forked child.
        """
        waiting = _Waiting(work)
        try:
            with self._lock:
                loop = self._started(work)
                if self._thread is not None:
                    waiting.loop = loop
                    self._pending.append(waiting)
                    if len(self._pending) == 1:  # else the loop is woken already
                        loop.call_soon_threadsafe(self._start_pending)
            if waiting.loop is None:
                return loop.run_until_complete(work)
            waiting.wait()
        except BaseException:
            waiting.cancel()
            raise
        return waiting.result()

    def close(self, last_work: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancel all tasks, run `last_work`, close the loop and join the thread.

        A second call does not run its `last_work`; it only waits until the thread has ended.
        """
        with self._lock:
            loop, first = self._loop, not self._closed
            if first:
                self._last_work = last_work
                if loop is not None and self._thread is None:  # it ended before a fork
                    self._start_thread(loop)
            self._closed, thread = True, self._thread
        if last_work is not None and (loop is None or not first):
            last_work.close()
        if loop is not None and thread is not None:
            if first:
                loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def before_fork(self) -> None:
        """End the thread, if the loop has no tasks. The loop and its connections stay."""
        with self._lock:
            loop, thread = self._loop, self._thread
            if loop is None or thread is None or self._closed or asyncio.all_tasks(loop):
                return
            self._thread = None
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            if asyncio.all_tasks(loop):  # work that was submitted before the lock was taken, and has just begun
                self._start_thread(loop)

    def after_fork(self) -> None:
        """In a forked child: forget the parent process's loop."""
        abandon(self._loop, self._thread, self._last_work)
        self._reset()

    def _started(self, work: Coroutine[Any, Any, Any]) -> EventLoop:
        """The loop that runs `work`; its thread is started if necessary. Raises RouterClosed after `close`."""
        if self._closed:
            work.close()
            raise RouterClosed("the loop of these requests was closed")
        if self._loop is None:
            self._loop = EventLoop()
        if self._thread is None:
            self._start_thread(self._loop)
        return self._loop

    def _start_thread(self, loop: EventLoop) -> None:
        """Start the thread. When the interpreter is ending, no thread starts, and work runs in its caller's thread."""
        thread = threading.Thread(target=self._run, args=(loop,), name=self._name, daemon=True)
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def _start_pending(self) -> None:
        while self._pending:
            self._pending.popleft().start()

    def _run(self, loop: EventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        if not self._closed:
            return  # before a fork
        try:
            for _ in range(_ROUNDS):
                loop.run_until_complete(_cancelled(asyncio.all_tasks(loop)))
            if self._last_work is not None:
                loop.run_until_complete(self._last_work)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


class _Waiting(Generic[T]):
    """A coroutine that runs on a loop while a thread waits for it.

    A bare lock wakes the thread sooner than a future's condition. After a fork, no lost thread can hold it.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.loop: EventLoop | None = None
        self._work = work
        self._done = threading.Lock()
        self._done.acquire()
        self._task: asyncio.Task[T] | None = None
        self._process = os.getpid()

    def wait(self) -> None:
        """Wait for the end of the work. Raises RouterClosed in a forked child, in which nothing ends it."""
        while not self._done.acquire(timeout=_CHECK_S):
            if self._process != os.getpid():
                abandon(self)
                raise RouterClosed(FORKED)

    def cancel(self) -> None:
        """Let the loop cancel the work."""
        if self.loop is not None and self._process == os.getpid():
            self.loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())

    def result(self) -> T:
        """The result of the work, or its exception. Raises RouterClosed if the loop was closed."""
        try:
            return self._task.result()  # type: ignore[union-attr]  # it has ended
        except asyncio.CancelledError:
            raise RouterClosed(CLOSED) from None

    def start(self) -> None:
        """Start the work. Must be called on the loop."""
        self._task = asyncio.ensure_future(self._work)
        self._task.add_done_callback(lambda _: self._done.release())


async def _cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
