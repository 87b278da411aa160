"""What a router does once in a process: what the first request loads, and what `warm` does ahead of it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kimiprobe.simulator import Scenario, Simulator

START = """
import asyncio, gc, sys, time
from routing import Router
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"properties": {"city": {}}}}}
router = Router.load()

def ask():
    return router.complete("What is the weather in Paris?", tools=[TOOL]).tool_calls[0].name

async def aask():
    return (await router.acomplete("What is the weather in Paris?", tools=[TOOL])).tool_calls[0].name
"""


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    monkeypatch.chdir(tmp_path)
    with Simulator(Scenario()) as hosts:
        for name, value in hosts.environment().items():
            monkeypatch.setenv(name, value)
        yield hosts


def printed(code: str) -> list[str]:
    command = [sys.executable, "-c", START + textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_first_request_loads_only_what_it_needs(simulator: Simulator) -> None:
    """No HTTP client, no certificates for plain http, no rescuer for an answer that is right."""
    found = printed("""
        ask()
        pool = router._http().thread_transport.pool()
        print(*(name in sys.modules for name in ("httpx", "httpx2", "routing.rescue")), pool.has_tls)
    """)
    assert found == ["False"] * 4


WARM = {
    "warm": "router.warm(); begin(); ask()",
    "awarm": ("async def main():\n    await router.awarm()\n    begin()\n    await aask()\nasyncio.run(main())"),
}


@pytest.mark.parametrize("how", WARM)
def test_after_warming_a_request_loads_nothing(simulator: Simulator, how: str) -> None:
    """No module is imported, and the certificates for hosts of the catalogue are read."""
    code = f"def begin():\n    global before\n    before = set(sys.modules)\n{WARM[how]}\n"
    assert printed(code + "print(*set(sys.modules) - before)") == []


@pytest.mark.parametrize("how", WARM)
def test_after_warming_the_first_request_costs_little_more_than_the_next(simulator: Simulator, how: str) -> None:
    """At most 10 ms of CPU; the smallest of three processes counts, because other programs share the caches."""
    ask = "ask()" if how == "warm" else "asyncio.run(aask())"
    code = (
        "def begin():\n    global began\n    gc.disable()\n    began = time.process_time()\n"
        f"{WARM[how]}\nfirst = time.process_time() - began\n"
        f"began = time.process_time()\n{ask}\nprint(first - (time.process_time() - began))"
    )
    assert min(float(printed(code)[0]) for _ in range(3)) < 0.01


def test_warming_reads_the_certificates_of_hosts_whose_key_is_set(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And sends nothing."""
    monkeypatch.delenv("KIMIPROBE_BASE_URL_MOONSHOT")
    found = printed("router.warm()\nprint(router._http().thread_transport.pool().has_tls)")
    assert found == ["True"]
    assert not simulator.requests
