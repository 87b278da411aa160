"""CPU of a request through the router beside bare httpx2, its synchronous client and LiteLLM's router.

    python bench/overhead.py [ROUNDS]

A server in another process answers immediately with one tool call, plain and over TLS. Every peer also runs in a
separate process, kept for all rounds; rounds take the peers in turn, so that other work on the machine meets all
of them. Figures are CPU of the peer's process per request, and ratios of the medians within a round, with their least
and most. LiteLLM is measured if the variable KIMIPROBE_BENCH_LITELLM names a Python that has it (a venv outside the
repository: `python -m venv /tmp/litellm && /tmp/litellm/bin/pip install litellm`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

KEY = "bench-key-of-no-account"
BIG_BYTES = 12 << 20
LITELLM = "KIMIPROBE_BENCH_LITELLM"
Call = Callable[[list[dict[str, Any]], list[dict[str, Any]]], Any]


def tools(count: int) -> list[dict[str, Any]]:
    """`count` tools of 2 kB each as JSON."""
    fields = {
        f"field_{index}": {"type": "string", "description": f"Value number {index} of the order. " + "More text. " * 5}
        for index in range(13)
    }
    schema = {"type": "object", "properties": {"true_ms": {"type": "number"}, **fields}, "required": ["true_ms"]}
    named = [f"f{index}" if index else "f" for index in range(count)]
    return [
        {"type": "function", "function": {"name": name, "description": f"Takes order {name}.", "parameters": schema}}
        for name in named
    ]


def messages(text: str = "Call f.") -> list[dict[str, Any]]:
    return [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": text}]


def ours(url: str) -> tuple[Call, Call]:
    os.environ |= {"KIMIPROBE_BASE_URL_MOONSHOT": url, "MOONSHOT_API_KEY": KEY}
    from routing import Router

    router = Router.load()
    return (
        lambda turns, offered: router.complete(turns, tools=offered),
        lambda turns, offered: router.acomplete(turns, tools=offered),
    )


def httpx2(url: str) -> tuple[Call, Call]:
    import httpx2 as http

    headers = {"Authorization": f"Bearer {KEY}"}
    limits = http.Limits(max_connections=None, max_keepalive_connections=None)
    sync = http.Client(headers=headers, timeout=120, limits=limits)
    asynchronous = http.AsyncClient(headers=headers, timeout=120, limits=limits)

    def body(turns: object, offered: object) -> dict[str, Any]:
        return {"model": "kimi-k2.6", "messages": turns, "tools": offered}

    def complete(turns: object, offered: object) -> Any:
        return sync.post(f"{url}/chat/completions", json=body(turns, offered)).raise_for_status().json()

    async def acomplete(turns: object, offered: object) -> Any:
        return (await asynchronous.post(f"{url}/chat/completions", json=body(turns, offered))).raise_for_status().json()

    return complete, acomplete


def litellm(url: str) -> tuple[Call, Call]:
    from litellm import Router as Peer  # type: ignore[import-not-found]

    parameters = {"model": "openai/kimi-k2.6", "api_base": url, "api_key": KEY}
    peer = Peer(model_list=[{"model_name": "kimi", "litellm_params": parameters}])
    return (
        lambda turns, offered: peer.completion("kimi", turns, tools=offered),
        lambda turns, offered: peer.acompletion("kimi", turns, tools=offered),
    )


PEERS = {"ours": ours, "httpx2": httpx2, "litellm": litellm}


async def concurrently(acomplete: Call, width: int, count: int, offered: list[dict[str, Any]]) -> tuple[float, float]:
    """CPU and wall microseconds of a request, `width` at a time."""

    async def one_after_another() -> None:
        for _ in range(count // width):
            await acomplete(messages(), offered)

    await asyncio.gather(*(acomplete(messages(), offered) for _ in range(width)))  # opens the connections
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one_after_another() for _ in range(width)))
    done = count // width * width
    return (time.process_time() - cpu) * 1e6 / done, (time.perf_counter() - began) * 1e6 / done


def threads(complete: Call, width: int, count: int, offered: list[dict[str, Any]]) -> tuple[float, float]:
    """As `concurrently`, from `width` threads."""

    def one_after_another(each: int) -> None:
        for _ in range(each):
            complete(messages(), offered)

    def run(each: int) -> None:
        workers = [threading.Thread(target=one_after_another, args=(each,)) for _ in range(width)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    run(1)
    began, cpu = time.perf_counter(), time.process_time()
    run(count // width)
    done = count // width * width
    return (time.process_time() - cpu) * 1e6 / done, (time.perf_counter() - began) * 1e6 / done


async def delayed(acomplete: Call, text: list[dict[str, Any]]) -> tuple[float, float]:
    """Microseconds by which the loop was late at most while a request of 12 MB was sent, and that the request took."""
    await acomplete(messages(), tools(1))
    late, done = 0.0, False

    async def ticking() -> None:
        nonlocal late
        while not done:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late = max(late, time.perf_counter() - began - 0.001)

    ticks = asyncio.create_task(ticking())
    await asyncio.sleep(0.02)
    began = time.perf_counter()
    await acomplete(text, tools(1))
    took, done = time.perf_counter() - began, True
    await ticks
    return late * 1e6, took * 1e6


def big(kind: str) -> list[dict[str, Any]]:
    """Messages of 12 MB: one text, or the results of 300 calls."""
    if kind == "text":
        return messages('naïve "words"\n' * (BIG_BYTES // 15))
    turns = messages()
    for index in range(300):
        call = {"id": f"f:{index}", "type": "function", "function": {"name": "f", "arguments": '{"true_ms": 1}'}}
        turns.append({"role": "assistant", "content": "", "tool_calls": [call]})
        turns.append(
            {"role": "tool", "tool_call_id": f"f:{index}", "content": "a line of 32 bytes in a result\n" * 1290}
        )
    return [*turns, {"role": "user", "content": "Call f."}]


async def serve_commands(complete: Call, acomplete: Call) -> None:
    """Measure what each line of stdin asks for, on one event loop, so that connections are kept."""
    for line in iter(sys.stdin.readline, ""):
        kind, width, count, number = line.split()
        offered = tools(int(number))
        if kind == "async":
            found = await concurrently(acomplete, int(width), int(count), offered)
        elif kind == "sync":
            found = threads(complete, int(width), int(count), offered)
        else:
            found = await delayed(acomplete, big(kind))
        print(*found, flush=True)


class Worker:
    """A peer in a separate process."""

    def __init__(self, name: str, url: str, certificate: str, python: str = sys.executable) -> None:
        environment = {**os.environ, "SSL_CERT_FILE": certificate, "LITELLM_LOG": "ERROR"}
        command = [python, __file__, name, url]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def measured(self, command: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        while len(row := self._process.stdout.readline().split()) != 2:
            assert row, f"the peer ended during {command}"
        return float(row[0])

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def certificate(folder: Path) -> tuple[str, str]:
    """Paths of an authority's certificate and of a server's key with its certificate, for localhost."""
    import trustme

    authority, paths = trustme.CA(), (str(folder / "ca.pem"), str(folder / "server.pem"))
    authority.cert_pem.write_to_path(paths[0])
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(paths[1])
    return paths


@contextmanager
def serving(pem: str) -> Iterator[str]:
    """Base URL of the server; https if `pem` names its certificate."""
    with subprocess.Popen([sys.executable, __file__, "server", pem], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http{'s' if pem else ''}://localhost:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


class Server(asyncio.Protocol):
    """Answers each request with one call of the tool f as soon as its last byte has come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._head, self._left = transport, b"", 0

    def data_received(self, data: bytes) -> None:
        if not self._left:
            self._head += data
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            self._left, self._head = int(length[15:]), b""
            data = rest
        self._left -= len(data)
        if not self._left:
            self._transport.write(ANSWER)


def answer() -> bytes:
    call = {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": '{"true_ms": 1.5}'}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "kimi-k2.6",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 2500, "completion_tokens": 10, "total_tokens": 2510},
    }
    data = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data


ANSWER = answer()


async def serve(pem: str) -> None:
    tls = None
    if pem:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(pem)
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, ssl=tls, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


ROWS = (
    ("acomplete, 1 at a time", "async 1 200 5", ("httpx2", "litellm")),
    ("acomplete, 50 at a time", "async 50 400 5", ("httpx2", "litellm")),
    ("complete, 16 threads", "sync 16 320 5", ("httpx2",)),
    ("acomplete, 60 tools", "async 1 60 60", ("httpx2",)),
)


def compared(workers: dict[str, Worker], rounds: int) -> None:
    print(f"{'':<28}{'ours, us':>10}   beside it: us, and ours / peer as median (least to most)")
    for title, command, against in ROWS:
        found: dict[str, list[float]] = {"ours": [], **{name: [] for name in against if name in workers}}
        for turn in range(rounds):
            for name in sorted(found, reverse=bool(turn % 2)):
                found[name].append(workers[name].measured(command))
        own = found.pop("ours")
        columns = ""
        for name, theirs in found.items():
            ratios = [mine / other for mine, other in zip(own, theirs, strict=True)]
            middle = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            columns += f"   {name} {statistics.median(theirs):.0f}: {middle}"
        print(f"  {title:<26}{statistics.median(own):>10.0f}{columns}", flush=True)
    for kind in ("text", "results"):
        for name in ("ours", "httpx2"):
            late = [workers[name].measured(f"{kind} 1 1 1") / 1000 for _ in range(rounds)]
            middle = f"{statistics.median(late):.0f} ms ({min(late):.0f} to {max(late):.0f})"
            print(f"  a request of 12 MB ({kind}) makes the loop late by: {name} {middle}", flush=True)


def selected(rounds: int) -> None:
    """Microseconds of `route()` with 30 candidates."""
    from routing import Router

    with tempfile.TemporaryDirectory() as name:
        flags, evidence, catalog = thirty(Path(name))
        router = Router.load(flags, evidence=evidence, catalog=catalog)
        offered = tools(5)
        found = []
        for turn in range(rounds):
            assert len(router.route(messages(), tools=offered, user=str(turn)).candidates) == 30
            began = time.process_time()
            for _ in range(200):
                router.route(messages(), tools=offered, user=str(turn))
            found.append((time.process_time() - began) * 1e6 / 200)
        router.close()
    print(f"route() with 30 candidates: {statistics.median(found):.0f} us ({min(found):.0f} to {max(found):.0f})")


def thirty(folder: Path) -> tuple[str, str, str]:
    """Paths of flags, evidence and a catalogue with 29 endpoints beside the reference, all of which work."""
    ids = [f"openrouter/moonshotai/kimi-bench+host{index}/fp8" for index in range(29)]
    reference = "moonshot/kimi-bench"
    price = {"from": "2026-01-01", "input": "0.6", "cached_input": "0.1", "output": "2.5"}
    sourced = {**price, "origin": "bench", "checked": "2026-01-01"}
    rows = [{"id": name, "model": "kimi-bench", "prices": [sourced]} for name in (reference, *ids)]
    model = {"title": "Bench", "family": "k2", "reference": reference}
    catalog = {"version": 1, "extends": "packaged", "models": {"kimi-bench": model}, "endpoints": rows}
    flag = {"description": "d", "owner": "o", "controls": ["openrouter/*"], "enabled": True, "percent": 100}
    flags = {"version": 1, "serial": 1, "environment": "production", "bucketing": "murmur3-cbor-v1"}
    flags |= {"default_model": "kimi-bench", "flags": {"bench": flag}}
    probed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    figures = {"status": "works", "probed_at": probed, "judged": 60, "passed": 60}
    evidence = {"version": 1, "generated_at": probed, "run": "r", "source": "live"}
    evidence |= {"endpoints": dict.fromkeys((reference, *ids), figures)}
    paths = [folder / name for name in ("flags.yaml", "latest.json", "catalog.yaml")]
    for path, document in zip(paths, (flags, evidence, catalog), strict=True):
        path.write_text(json.dumps(document) + ("\n...\n" if path.suffix == ".yaml" else ""), "utf-8")
    return tuple(map(str, paths))  # type: ignore[return-value]


def main(rounds: int) -> None:
    python = os.environ.get(LITELLM, "")
    if importlib.util.find_spec("httpx2") is None:
        sys.exit("httpx2 is not installed: pip install httpx2")
    if not python:
        print(f"litellm is left out: {LITELLM} names no Python that has it")
    with tempfile.TemporaryDirectory() as name:
        authority, pem = certificate(Path(name))
        for served in ("", pem):
            with serving(served) as url, ExitStack() as stack:
                names = ("ours", "httpx2", "litellm") if python else ("ours", "httpx2")
                workers = {
                    name: Worker(name, url, authority, python if name == "litellm" else sys.executable)
                    for name in names
                }
                for worker in workers.values():
                    stack.callback(worker.end)
                print(f"{'TLS' if served else 'plain'}, CPU a request, {rounds} rounds")
                compared(workers, rounds)
    selected(rounds)
    print(f"load of the machine, with this: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    if sys.argv[1:2] == ["server"]:
        asyncio.run(serve(sys.argv[2]))
    elif sys.argv[1:2] and sys.argv[1] in PEERS:
        asyncio.run(serve_commands(*PEERS[sys.argv[1]](sys.argv[2])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
