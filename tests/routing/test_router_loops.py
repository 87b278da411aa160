"""Where a router's requests run: on the caller's event loop or in one thread, within the timeout, to their end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from waiting import until

from pytest_kimiprobe.simulator import Persona, Scenario, Simulator
from routing import AllAttemptsFailed, Reply, Router
from routing import exchange as exchange_module
from routing.transport import event_loop
from routing.wire.json_body import written

TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"properties": {"city": {}}}}}
QUESTION = "What is the weather in Paris right now?"


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    monkeypatch.chdir(tmp_path)
    with Simulator(Scenario()) as hosts:
        for name, value in hosts.environment().items():
            monkeypatch.setenv(name, value)
        yield hosts


@pytest.fixture
def router(simulator: Simulator) -> Iterator[Router]:
    with Router.load() as loaded:
        yield loaded


def slow(simulator: Simulator, seconds: float = 60.0) -> None:
    simulator.set_scenario(Scenario(default=Persona("slow", first_token_ms=seconds * 1000)))


def test_an_async_request_starts_no_thread(router: Router) -> None:
    """It runs on the caller's loop, also while every thread of the loop's executor is busy."""
    go = threading.Event()

    async def ask() -> tuple[Reply, set[str]]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2))
        busy = [loop.run_in_executor(None, go.wait, 10) for _ in range(4)]
        before = set(threading.enumerate())
        reply = await router.acomplete(QUESTION, tools=[TOOL], timeout=5)
        started = {thread.name for thread in set(threading.enumerate()) - before}
        go.set()
        await asyncio.gather(*busy)
        return reply, started

    reply, started = asyncio.run(ask())
    assert reply.tool_calls
    assert started <= {"kimiprobe-dns"}


def test_a_connection_is_kept_for_the_next_request_of_a_loop(router: Router, simulator: Simulator) -> None:
    """Each loop has its own, which ends with the loop."""

    async def ask() -> int:
        for _ in range(3):
            await router.acomplete(QUESTION, tools=[TOOL])
        (state,) = router._http()._by_loop.values()
        (idle,) = state.transport.pool().idle.values()
        return len(idle)

    assert asyncio.run(ask()) == 1
    assert router._http()._by_loop == {}
    assert asyncio.run(ask()) == 1
    assert router.complete(QUESTION, tools=[TOOL]).tool_calls


def test_a_loop_that_was_closed_without_its_generators_leaves_no_connection(router: Router) -> None:
    """Some programs close a loop without what `asyncio.run` does before."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(router.acomplete(QUESTION, tools=[TOOL]))
    (state,) = router._http()._by_loop.values()
    (connections,) = state.transport.pool().idle.values()
    (connection,) = connections
    loop.close()
    asyncio.run(router.acomplete(QUESTION, tools=[TOOL]))
    assert connection._socket.fileno() == -1


def test_requests_of_many_loops_and_threads_are_answered(router: Router) -> None:
    """Concurrently, each on its own loop or on the shared one."""

    def ask(number: int) -> bool:
        if number % 2:
            return bool(router.complete(QUESTION, tools=[TOOL]).tool_calls)
        return bool(asyncio.run(router.acomplete(QUESTION, tools=[TOOL])).tool_calls)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(24))) == [True] * 24


def test_a_cancelled_caller_stays_cancelled(router: Router, simulator: Simulator) -> None:
    """Its request is cancelled too, and other requests of the loop go on."""
    slow(simulator, 0.3)

    async def ask() -> Reply:
        first, second = (asyncio.ensure_future(router.acomplete(QUESTION, tools=[TOOL])) for _ in range(2))
        await until(lambda: len(simulator.requests) == 2)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(ask()).tool_calls


def test_reading_changed_flags_counts_as_time_of_the_request(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that hangs does not hold a request beyond its timeout."""
    go = threading.Event()
    monkeypatch.setattr(router._flags, "if_current", lambda: None)
    monkeypatch.setattr(router, "_refresh", lambda: go.wait(20))
    began = time.monotonic()
    for ask in (router.complete, lambda *args, **options: asyncio.run(router.acomplete(*args, **options))):
        with pytest.raises(AllAttemptsFailed, match="timeout"):
            ask(QUESTION, tools=[TOOL], timeout=0.3)
    assert time.monotonic() - began < 10
    go.set()


def test_what_is_done_once_does_not_use_up_the_timeout(
    router: Router, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing the HTTP library and reading certificates take longer on a busy machine than a short timeout."""
    real = event_loop.in_thread
    done: list[float] = []

    async def sleepy(*_: object) -> None:
        await real(lambda: time.sleep(0.5))
        done.append(time.monotonic())

    monkeypatch.setattr(router, "_ready", sleepy)
    assert router.complete(QUESTION, tools=[TOOL], timeout=0.45).tool_calls
    assert len(done) == 1


def test_ctrl_c_cancels_the_request(router: Router, simulator: Simulator) -> None:
    """No second, paid request goes to another endpoint."""
    slow(simulator)
    ended = threading.Event()

    def interrupt() -> None:
        while not simulator.requests and not ended.wait(0.01):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    try:
        watching = threading.Thread(target=interrupt)
        watching.start()
        with pytest.raises(KeyboardInterrupt):
            router.complete(QUESTION, tools=[TOOL], timeout=30)
        watching.join()
    finally:
        ended.set()
        signal.signal(signal.SIGINT, previous)
    loop = router._http().thread._loop
    assert loop is not None
    deadline = time.monotonic() + 10
    while asyncio.all_tasks(loop):
        assert time.monotonic() < deadline
    assert len(simulator.requests) == 1


LAST_LINE = """
import threading
from routing import Router
router = Router.load()

def ask():
    print(router.complete("What is the weather in Paris right now?", tools=[TOOL]).tool_calls[0].name, flush=True)
"""
ENDINGS = {
    "a thread": "threading.Thread(target=ask).start()",
    "a pool": "from concurrent.futures import ThreadPoolExecutor; ThreadPoolExecutor(1).submit(ask)",
    "atexit": "import atexit; atexit.register(ask)",
    "a loop in a thread": (
        "import asyncio\n"
        "def run(): print(asyncio.run(router.acomplete('What is the weather in Paris right now?', tools=[TOOL]))"
        ".tool_calls[0].name)\n"
        "threading.Thread(target=run).start()"
    ),
}


@pytest.mark.parametrize("warm", ["", "ask()"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_request_that_is_under_way_when_the_main_thread_ends_is_answered(
    simulator: Simulator, ending: str, warm: str
) -> None:
    """It was paid for; the interpreter's executors no longer take work then."""
    slow(simulator, 0.2)
    code = LAST_LINE.replace("TOOL", repr(TOOL))
    code += f"{warm}\n{ENDINGS[ending].replace('TOOL', repr(TOOL))}\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.split() == ["get_weather"] * (2 if warm else 1)
    assert "Traceback" not in done.stderr


def test_when_no_thread_can_start_the_callers_thread_does_the_work(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the end of the interpreter from Python 3.12 on."""

    def refuses(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        assert router.complete(QUESTION, tools=[TOOL]).tool_calls
        assert router.complete(QUESTION, tools=[TOOL]).tool_calls
    assert router.complete(QUESTION, tools=[TOOL]).tool_calls


LONG = 'naïve "words"\n' * (2 << 16)
LONG_REQUESTS = {
    "a text": [{"role": "user", "content": LONG}],
    "an image": [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * (2 << 20)}"}}],
        }
    ],
    "arguments": [
        {"role": "user", "content": QUESTION},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "f", "arguments": f'{{"city": "{"x" * (2 << 20)}"}}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
        {"role": "user", "content": QUESTION},
    ],
}


@pytest.mark.parametrize("messages", LONG_REQUESTS.values(), ids=LONG_REQUESTS)
def test_a_long_request_is_written_beside_the_event_loop(
    router: Router, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, messages: list[dict[str, object]]
) -> None:
    """Other requests of the loop do not wait until it is written, and it arrives whole."""
    writers: list[tuple[str, bool]] = []

    def seen(body: dict[str, object], *, in_slices: bool = False) -> bytes:
        writers.append((threading.current_thread().name, in_slices))
        return written(body, in_slices=in_slices)

    monkeypatch.setattr(exchange_module, "written", seen)
    asyncio.run(router.acomplete(messages, tools=[TOOL], model="kimi-k2.6", endpoints=["moonshot/kimi-k2.6"]))
    assert writers == [("kimiprobe-work", True)]
    sent = simulator.requests[-1].body["messages"]
    assert [(row["content"], row.get("tool_calls")) for row in sent] == [
        (row["content"], row.get("tool_calls")) for row in messages
    ]
