"""Asks a faulty server the way probes and production do: through `exchange` and through `Router`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from routing import Router, catalog
from routing.circuit_breaker import Breaker
from routing.exchange import Exchange, Target, exchange
from routing.transport import Transport
from routing.transport.deadline import NO_LIMITS, StreamLimits
from routing.transport.event_loop import LoopThread
from routing.types import ChatRequest

KEY = "sk-" + "Canary7" * 6 + "xyzw42"
"""A key of no account; it must never be seen anywhere."""
FIRST, SECOND = "moonshot/kimi-k2.6", "openrouter/moonshotai/kimi-k2.6"
CATALOG = catalog.load(environment={})
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "parameters": {"type": "object", "properties": {"amount": {"type": "integer"}, "note": {"type": "string"}}},
    },
}
STRICT_TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Asker:
    """A transport on a loop thread of its own, as the router has one."""

    def __init__(self, **options: Any) -> None:
        self._loop = LoopThread("asking")
        self.transport = Transport(**options)

    def ask(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        limits: StreamLimits = NO_LIMITS,
        key: str = KEY,
        hosts: Sequence[str] = (),
        endpoint: str = FIRST,
        stream: bool = False,
        tools: Sequence[Mapping[str, Any]] = (TOOL,),
        number: int = 1,
    ) -> Exchange:
        """One exchange with a server."""
        found = CATALOG.endpoint(endpoint)
        provider = replace(CATALOG.provider_of(found), base_url=url, hosts=frozenset(hosts))
        request = ChatRequest([{"role": "user", "content": "Call f."}], tuple(tools), stream=stream)
        target = Target(found, provider, key)
        work = exchange(self.transport, target, request, timeout_s=timeout_s, limits=limits, number=number)
        return self._loop.submit(work).result(30)

    def close(self) -> None:
        self._loop.submit(self.transport.aclose()).result(30)
        self._loop.close()


@contextmanager
def routed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str | None = None, **more: str
) -> Iterator[Router]:
    """A router whose reference endpoint is served at `first`, and whose next choice at `second`."""
    environment = {"KIMIPROBE_BASE_URL_MOONSHOT": first, "MOONSHOT_API_KEY": KEY, **more}
    if second is not None:
        environment |= {"KIMIPROBE_BASE_URL_OPENROUTER": second, "OPENROUTER_API_KEY": KEY}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (folder / "flags.yaml").write_text(FLAGS.format(enabled=str(second is not None).lower()), "utf-8")
    with Router.load(folder / "flags.yaml") as router:
        yield router


class Clock:
    """Seconds that go on when told to; `of` gives a router's breaker such a clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    @classmethod
    def of(cls, router: Router) -> Clock:
        clock = cls()
        router._breaker = Breaker(clock)
        return clock


FLAGS = """\
version: 1
serial: 1
environment: test
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
flags:
  second:
    description: d
    owner: o
    controls: [openrouter/moonshotai/kimi-k2.6]
    enabled: {enabled}
    percent: 100
...
"""
