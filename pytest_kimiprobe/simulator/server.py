"""The simulator as a server: in a thread of its own beside a test run, or as a process of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from .app import PREFIXES, App, Received
from .http import MAX_HEAD, serve_connection
from .scenario import Scenario, load_scenario
from .stage import Draws

_KEYS = {
    "openrouter": "OPENROUTER_API_KEY",
    "moonshot": "MOONSHOT_API_KEY",
    "moonshot-cn": "MOONSHOT_CN_API_KEY",
    "groq": "GROQ_API_KEY",
    "together": "TOGETHER_API_KEY",
    "replicate": "REPLICATE_API_TOKEN",
    "anthropic": "ANTHROPIC_API_KEY",
}
HOST = "127.0.0.1"
_PATIENCE_S = 10.0


class Simulator:
    """A local server that speaks the providers' wire formats.

        with Simulator(load_scenario("mixed")) as simulator:
            simulator.url                    # http://127.0.0.1:PORT
            simulator.environment()          # base URLs and dummy keys for routing

    It listens on loopback only. Every attribute may be read from any thread.
    """

    def __init__(self, scenario: Scenario | None = None, *, port: int = 0) -> None:
        self._app = App(Draws(scenario or load_scenario("mixed")))
        self._wanted_port = port
        self._port = 0
        self._host = HOST
        self._connections: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens. Raises RuntimeError before it does."""
        if not self._port:
            raise RuntimeError("the simulator is not running: use `with Simulator(...) as simulator`")
        return f"http://{self._host}:{self._port}"

    @property
    def scenario(self) -> Scenario:
        """The scenario being played."""
        return self._app.draws.scenario

    @property
    def requests(self) -> deque[Received]:
        """The newest 1000 requests: method, path, JSON body; no headers, so no keys."""
        return self._app.requests

    @property
    def in_flight_peak(self) -> int:
        """The most requests that were being handled at one time."""
        return self._app.in_flight_peak

    def set_scenario(self, scenario: Scenario) -> None:
        """Play another scenario from the next request on."""
        self._app.set_scenario(scenario)

    def environment(self) -> dict[str, str]:
        """Environment variables that point every provider here, with dummy keys."""
        bases = {
            f"KIMIPROBE_BASE_URL_{name.upper().replace('-', '_')}": f"{self.url}{PREFIXES[name]}" for name in _KEYS
        }
        return bases | {variable: f"simulated-{name}-key" for name, variable in _KEYS.items()}

    async def serve(self, host: str = HOST, port: int = 0, on_ready: Callable[[], None] | None = None) -> None:
        """Listen until cancelled. `on_ready` is called once requests are taken."""
        server = await asyncio.start_server(self._connected, host, port, limit=MAX_HEAD, backlog=512)
        self._host, self._port = host, server.sockets[0].getsockname()[1]
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
            await serve_connection(reader, writer, self._app.handle, self._app.busy)
        except asyncio.CancelledError:  # the server stops: this connection is done, not in error
            writer.transport.abort()
        finally:
            self._connections.discard(task)

    async def _hang_up(self, server: asyncio.Server) -> None:
        """Stop accepting before closing: asyncio loses a connection that is accepted while its server closes."""
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
        """Start in a thread of its own; returns once requests are taken."""
        ready = threading.Event()
        failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(ready, failed), name="kimiprobe-simulator", daemon=True)
        self._thread.start()
        if not ready.wait(_PATIENCE_S) or failed:
            raise RuntimeError("the simulator did not start") from (failed[0] if failed else None)
        return self

    def _run(self, ready: threading.Event, failed: list[BaseException]) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._serving = asyncio.create_task(self.serve(HOST, self._wanted_port, ready.set))
            with suppress(asyncio.CancelledError):
                await self._serving

        try:
            asyncio.run(main())
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            failed.append(error)
            ready.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server, close its connections, end the thread."""
        thread, loop, serving = self._thread, self._loop, self._serving
        if thread is None or loop is None or serving is None:
            return
        with suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(serving.cancel)
        thread.join(_PATIENCE_S)
        self._thread = self._loop = self._serving = None
        if thread.is_alive():
            raise RuntimeError("the simulator's thread did not end")


async def _some_rounds() -> None:
    """Let the loop finish what it has begun: connections just accepted, sockets just closed."""
    for _ in range(8):
        await asyncio.sleep(0)


def serve_forever(
    scenario: Scenario | str | Path = "mixed", port: int = 0, on_ready: Callable[[Simulator], None] | None = None
) -> None:
    """Run a simulator in this thread until Ctrl-C. `on_ready` gets the running simulator. Raises OSError on a taken port."""
    played = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
    simulator = Simulator(played)
    with suppress(KeyboardInterrupt):
        asyncio.run(simulator.serve(HOST, port, (lambda: on_ready(simulator)) if on_ready else None))
