"""No response of any kind costs 64 MB of memory: measured in a process of its own, the server in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Behaviour, FaultyServer, call, chat, delta, event, head, reply, stream

from routing.transport.limits import MAX_BODY, MAX_EVENT
from routing.wire.answer_stream import MAX_TEXT

Faulty = Callable[..., FaultyServer]
pytestmark = pytest.mark.long
HERE = Path(__file__).resolve().parent
MOST_MB = 64
EMOJI = "\U0001f600"
"""One of these makes every character of a string take four bytes."""
OVER_THE_WIRE = (
    "gzip_bomb",
    "gzip_bomb_stream",
    "endless_line",
    "infinite_stream",
    "many_headers",
    "informational",
    "short_body",
)


def fragments(text: str, count: int) -> Behaviour:
    """A stream of very many small pieces."""
    raw = event(json.dumps(delta(content=text), ensure_ascii=False).encode()) * 1000

    def speak(line: Any) -> None:
        line.request()
        line.send(head(kind="text/event-stream"), *[raw] * (count // 1000), event(delta("stop")), event(b"[DONE]"))

    return speak


def calls_of(made: Callable[[int], Any]) -> Behaviour:
    """A stream of many calls, each in an event of its own."""

    def speak(line: Any) -> None:
        line.request()
        line.send(head(kind="text/event-stream"))
        for index in range(40):
            line.send(event(json.dumps(delta(tool_calls=[made(index)]), ensure_ascii=False).encode()))

    return speak


def whole(text: str | None, calls: Any = None) -> bytes:
    return json.dumps(chat(text, calls), ensure_ascii=False).encode()


UNFOLDING: dict[str, Behaviour] = {
    "text in four bytes": reply(whole(EMOJI + "x" * (MAX_BODY - 400))),
    "objects": reply(b'{"choices":[' + b'{"":0},' * 133_000 + b"0]}"),
    "arrays": reply(b'{"choices":[' + b"[]," * 199_000 + b"0]}"),
    "objects as arguments": reply(whole(None, [call('{"a":[' + '{"":0},' * 130_000 + "0]}")])),
    "arguments in four bytes": reply(whole(None, [call(json.dumps({"note": "x"})[:-2] + "x" * MAX_TEXT)])),
    "stream: one event": stream(delta("stop", content=EMOJI + "x" * (MAX_EVENT - 400))),
    "stream: objects": stream(b'{"choices":[' + b'{"":0},' * 130_000 + b"0]}"),
    "stream: data lines": reply(b"data:ab\n" * 260_000, kind="text/event-stream"),
    "stream: values as arguments": calls_of(lambda index: call({"a": [[]] * 120_000}) | {"index": index}),
    "stream: ids in four bytes": calls_of(
        lambda index: call("") | {"index": index, "id": EMOJI + f"{index}x" * 300_000}
    ),
    "stream: fragments in four bytes": fragments(EMOJI + "abcd", 390_000),
}


def measured(faulty: Faulty, hostile: dict[str, str | Behaviour]) -> dict[str, tuple[float, str]]:
    """Megabytes and outcome of asking each of these servers."""
    servers = [f"{name}={faulty(speak).url}" for name, speak in hostile.items()]
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}"}
    command = [sys.executable, str(HERE.parent / "support" / "memory_child.py"), faulty(reply(chat())).url, *servers]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr
    rows: dict[str, tuple[float, str]] = json.loads(done.stdout)
    assert rows.keys() == hostile.keys()
    return rows


def test_bdy_04_and_str_02_what_comes_over_the_wire(faulty: Faulty) -> None:
    """Bombs, lines and streams without end: stopped, and flat."""
    rows = measured(faulty, {name: name for name in OVER_THE_WIRE})
    assert max(grown for grown, _ in rows.values()) < MOST_MB, rows
    assert {rows[name][1] for name in OVER_THE_WIRE[:4]} == {"body_too_large"}


@pytest.mark.parametrize("library", ["httpx2"], indirect=True)
def test_what_unfolds_when_it_is_parsed(faulty: Faulty) -> None:
    """Bodies under every cap, of the dearest kinds, parsed and judged."""
    rows = measured(faulty, dict(UNFOLDING))
    assert max(grown for grown, _ in rows.values()) < MOST_MB, rows
    assert {outcome for _, outcome in rows.values()} > {"answered", "body_too_large"}
