"""A process that forks after its router was used: gunicorn with preload, Celery, multiprocessing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kimiprobe.simulator import Persona, Scenario, Simulator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
START = """
import asyncio, multiprocessing, os, signal, sys, threading, time
from routing import Router, RouterClosed
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"properties": {"city": {}}}}}

def say(*words):  # in one piece, and nothing in a buffer that a child would inherit
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def ask(timeout=10.0):
    return router.complete("What is the weather in Paris?", tools=[TOOL], timeout=timeout).tool_calls[0].name

async def aask():
    reply = await router.acomplete("What is the weather in Paris?", tools=[TOOL], timeout=10.0)
    return reply.tool_calls[0].name

def forked(work):
    child = os.fork()
    if child:
        return child
    try:
        say("child", work())
    except BaseException as error:
        say("child", type(error).__name__, error)
    sys.exit(0)  # with all that the interpreter does at its end

def ended(child):
    say("exit", os.waitpid(child, 0)[1])

def connections():  # of this process, on the loop in its thread
    return [id(one) for idle in router._http().thread_transport.pool().idle.values() for one in idle]

router = Router.load()
"""


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    monkeypatch.chdir(tmp_path)
    with Simulator(Scenario()) as hosts:
        for name, value in hosts.environment().items():
            monkeypatch.setenv(name, value)
        yield hosts


def lines(code: str, *options: str) -> list[str]:
    """What a program prints."""
    command = [sys.executable, *options, "-c", START + textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.splitlines()


def test_child_and_parent_go_on_after_a_fork(simulator: Simulator) -> None:
    """The child is answered within its timeout; a second after its exit the parent's kept connection is still used."""
    found = lines("""
        ask()
        kept = connections()
        ended(forked(ask))
        time.sleep(1)
        say("parent", ask(), connections() == kept)
    """)
    assert found == ["child get_weather", "exit 0", "parent get_weather True"]


def test_requests_of_the_parent_that_are_in_flight_are_answered(simulator: Simulator) -> None:
    """On its own event loop and on the shared one, while a child starts and ends."""
    simulator.set_scenario(Scenario(default=Persona("slow", first_token_ms=3000.0)))
    found = lines("""
        working = [threading.Thread(target=lambda: say("parent", asyncio.run(aask())))]
        working += [threading.Thread(target=lambda: say("parent", ask()))]
        for each in working:
            each.start()
        def pools():
            loops = router._http()
            return [loops.thread_transport, *(state.transport for state in list(loops._by_loop.values()))]
        while sum(one._pool._open for one in pools() if one._pool) < 2:
            time.sleep(0.01)
        ended(forked(lambda: "left"))
        for each in working:
            each.join()
    """)
    assert sorted(found) == ["child left", "exit 0", "parent get_weather", "parent get_weather"]


def test_a_parent_whose_loop_is_idle_hears_answers_after_the_childs_exit(simulator: Simulator) -> None:
    """The same for a caller's own loop: its connections are kept, and the child has not taken them out of its epoll."""
    found = lines("""
        async def main():
            await aask()
            (state,) = router._http()._by_loop.values()
            kept = [id(one) for idle in state.transport.pool().idle.values() for one in idle]
            child = forked(lambda: asyncio.run(aask()))
            await asyncio.sleep(0.1)
            ended(child)
            await asyncio.sleep(1)
            say("parent", await aask(), kept == [id(one) for idle in state.transport.pool().idle.values() for one in idle])
        asyncio.run(main())
    """)
    assert found[1:] == ["exit 0", "parent get_weather True"]
    assert found[0] in {
        "child get_weather",
        "child RuntimeError asyncio.run() cannot be called from a running event loop",
    }


def test_workers_of_a_preloaded_program(simulator: Simulator) -> None:
    """The parent is warm, and each child answers from several threads and from a loop."""
    found = lines("""
        router.warm()
        ask()
        def serve():
            from concurrent.futures import ThreadPoolExecutor
            with ThreadPoolExecutor(4) as pool:
                return [*set(pool.map(lambda _: ask(), range(8))), asyncio.run(aask())]
        for child in [forked(serve) for _ in range(3)]:
            ended(child)
        say("parent", ask())
    """)
    assert sorted(found) == [*["child ['get_weather', 'get_weather']"] * 3, *["exit 0"] * 3, "parent get_weather"]


def test_multiprocessing(simulator: Simulator) -> None:
    """A pool of forked workers."""
    found = lines("""
        ask()
        with multiprocessing.get_context("fork").Pool(3) as pool:
            say(pool.map(ask, [10.0] * 6))
        say(ask())
    """)
    assert found == [str(["get_weather"] * 6), "get_weather"]


def test_a_fork_at_any_moment_leaves_no_lock_behind(simulator: Simulator) -> None:
    """Other threads are in the middle of requests and routes."""
    found = lines("""
        ask()
        over = threading.Event()
        def busy():
            while not over.is_set():
                router.route("x", tools=[TOOL])
                ask()
        working = [threading.Thread(target=busy) for _ in range(4)]
        for each in working:
            each.start()
        for _ in range(10):
            ended(forked(ask))
        over.set()
        for each in working:
            each.join()
    """)
    assert found == ["child get_weather", "exit 0"] * 10


def test_work_that_begins_while_a_fork_waits_is_not_left_behind(simulator: Simulator) -> None:
    """The loop's thread ends before a fork; it starts again if work was submitted meanwhile."""
    found = lines("""
        from routing.transport.event_loop import LoopThread
        loop, over = LoopThread(), threading.Event()
        def busy():
            while not over.is_set():
                loop.run(asyncio.sleep(0))
        working = [threading.Thread(target=busy) for _ in range(4)]
        for each in working:
            each.start()
        for _ in range(100):
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
        over.set()
        for each in working:
            each.join()
        say("done")
    """)
    assert found == ["done"]


def test_a_request_in_flight_fails_in_the_child(simulator: Simulator) -> None:
    """A signal handler forks while the main thread waits: the parent gets the answer, the child an error with a type."""
    simulator.set_scenario(Scenario(default=Persona("slow", first_token_ms=1500.0)))
    found = lines("""
        main = os.getpid()
        signal.signal(signal.SIGALRM, lambda *_: os.fork())
        signal.setitimer(signal.ITIMER_REAL, 0.7)
        try:
            say("parent" if os.getpid() == main else "child", ask())
        except RouterClosed as error:
            say("child" if os.getpid() != main else "parent", "RouterClosed", "forked" in str(error))
            os._exit(0)
        os.wait()
    """)
    assert sorted(found) == ["child RouterClosed True", "parent get_weather"]


def test_a_closed_router_stays_closed_in_the_child(simulator: Simulator) -> None:
    """It does not start again behind its owner's back."""
    found = lines("""
        ask()
        router.close()
        ended(forked(ask))
    """)
    assert found[0].startswith("child RouterClosed this router was closed")


def test_a_child_may_close_the_router(simulator: Simulator) -> None:
    """It closes only its own connections."""
    found = lines("""
        ask()
        kept = connections()
        ended(forked(lambda: (ask(), router.close())))
        time.sleep(1)
        say("parent", ask(), connections() == kept)
    """)
    assert found == ["child ('get_weather', None)", "exit 0", "parent get_weather True"]


def test_a_program_without_requests_in_flight_forks_without_our_thread(simulator: Simulator) -> None:
    """From Python 3.12 on, a fork beside another thread is a warning, which some programs turn into an error."""
    found = lines(
        """
        ask()
        os.register_at_fork(before=lambda: say([thread.name for thread in threading.enumerate()]))
        ended(forked(ask))
        say("parent", ask())
        """,
        "-Werror::DeprecationWarning",
    )
    assert "child get_weather" in found
    assert found[-1] == "parent get_weather"
    assert "kimiprobe-router" not in found[0] or sys.version_info < (3, 12)
