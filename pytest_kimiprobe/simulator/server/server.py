"""Run the simulator in a background thread or, with `serve_forever`, in the foreground."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ..behaviour.draws import Draws
from ..scenario import Scenario, load_scenario
from .app import PREFIXES, App, Received
from .http import HttpConnection

HOST = "127.0.0.1"
_START_S = 10.0
"""Most seconds that the server's thread may take to start, and most seconds that it may take to end."""


class _EventLoop(asyncio.SelectorEventLoop):
    """Event loop whose clock goes on while a library freezes the time that tests see."""

    def time(self) -> float:
        return time.clock_gettime(time.CLOCK_MONOTONIC)


class Simulator:
    """A local server that speaks the providers' wire formats.

        with Simulator(load_scenario("mixed")) as simulator:
            simulator.url                    # http://127.0.0.1:PORT
            simulator.environment()          # base URLs and dummy keys for routing

    The server listens on loopback only, at any free port if `port` is 0. Without `scenario`, it uses `mixed`.
    Every attribute may be read from any thread.
    """

    def __init__(self, scenario: Scenario | None = None, *, port: int = 0) -> None:
        self._app = App(Draws(scenario or load_scenario("mixed")))
        self._wanted_port = port
        self._port = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """URL of the server, without a provider's path. Raises RuntimeError if the server is not running."""
        if not self._port:
            raise RuntimeError("the simulator is not running: use `with Simulator(...) as simulator`")
        return f"http://{HOST}:{self._port}"

    @property
    def scenario(self) -> Scenario:
        """The scenario that the server uses now."""
        return self._app.draws.scenario

    @property
    def requests(self) -> deque[Received]:
        """The newest 1000 requests, oldest first, each with method, path and JSON body.

        They have no headers, and so no API keys.
        """
        return self._app.requests

    def set_scenario(self, scenario: Scenario) -> None:
        """Use `scenario` for the requests from now on. Its random draws start from the beginning."""
        self._app.draws = Draws(scenario)

    def environment(self) -> dict[str, str]:
        """Environment variables that make `routing` use this server for every provider: base URLs and dummy keys."""
        variables = {name: name.upper().replace("-", "_") for name in PREFIXES}
        bases = {f"KIMIPROBE_BASE_URL_{variables[name]}": f"{self.url}{path}" for name, path in PREFIXES.items()}
        keys = {f"{variable}_API_KEY": f"simulated-{name}-key" for name, variable in variables.items()}
        keys["REPLICATE_API_TOKEN"] = keys.pop("REPLICATE_API_KEY")
        return bases | keys

    async def serve(self, port: int = 0, on_ready: Callable[[], None] | None = None) -> None:
        """Run the server until this coroutine is cancelled.

        `on_ready` is called as soon as requests are accepted. `port` 0 means any free port.
        """
        server = await asyncio.start_server(self._connected, HOST, port, backlog=512)
        self._port = server.sockets[0].getsockname()[1]
        if on_ready:
            on_ready()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._port = 0
            await self._hang_up(server)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio calls this in a task
        self._connections.add(task)
        try:
            await HttpConnection(reader, writer, self._app.handle).serve()
        except asyncio.CancelledError:  # the server stops; this is the normal end of a connection
            writer.transport.abort()
        finally:
            self._connections.discard(task)

    async def _hang_up(self, server: asyncio.Server) -> None:
        """Stop accepting connections, then close the server, then end its open connections.

        Accepting stops first, because asyncio loses a connection that is accepted while its server closes.
        """
        for listening in server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        await _some_rounds()
        server.close()
        open_ones = list(self._connections)
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)
        await _some_rounds()

    def __enter__(self) -> Self:
        """Start the server in a background thread, and return when requests are accepted.

        Raises RuntimeError if the server does not start.
        """
        ready = threading.Event()
        failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(ready, failed), name="kimiprobe-simulator", daemon=True)
        self._thread.start()
        if not ready.wait(_START_S) or failed:
            raise RuntimeError("the simulator did not start") from (failed[0] if failed else None)
        return self

    def _run(self, ready: threading.Event, failed: list[BaseException]) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._serving = asyncio.create_task(self.serve(self._wanted_port, ready.set))
            with suppress(asyncio.CancelledError):
                await self._serving

        try:
            with asyncio.Runner(loop_factory=_EventLoop) as runner:
                runner.run(main())
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            failed.append(error)
            ready.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server, close its connections and end its thread.

        Raises RuntimeError if the thread does not end.
        """
        thread, loop, serving = self._thread, self._loop, self._serving
        if thread is None or loop is None or serving is None:
            return
        with suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(serving.cancel)
        thread.join(_START_S)
        self._thread = self._loop = self._serving = None
        if thread.is_alive():
            raise RuntimeError("the simulator's thread did not end")


async def _some_rounds() -> None:
    """Wait some rounds of the event loop, in which it handles connections just accepted and sockets just closed."""
    for _ in range(8):
        await asyncio.sleep(0)


def serve_forever(
    scenario: Scenario | str | Path = "mixed", port: int = 0, on_ready: Callable[[Simulator], None] | None = None
) -> None:
    """Run a simulator in this thread until Ctrl-C.

    `scenario` can also be a packaged scenario's name or a path. `on_ready` is called with the running simulator.
    Raises OSError or OverflowError if the port cannot be used; `listen_problem` gives the message for that error.
    Raises ScenarioError if the scenario cannot be read or is invalid.
    """
    simulator = Simulator(scenario if isinstance(scenario, Scenario) else load_scenario(scenario))
    with suppress(KeyboardInterrupt):
        asyncio.run(simulator.serve(port, (lambda: on_ready(simulator)) if on_ready else None))


def listen_problem(port: int, error: OSError | OverflowError) -> str:
    """Why the server cannot listen on a port, as one sentence."""
    if isinstance(error, OverflowError):
        return f"cannot listen on port {port}: a port is a number from 0 (any free port) to 65535"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"cannot listen on port {port}: {reason}"
