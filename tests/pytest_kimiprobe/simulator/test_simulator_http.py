"""The server: HTTP, keys, bad requests, load, start and end."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from simulated import WEATHER, playing, post, question, running

from pytest_kimiprobe.simulator import Simulator, serve_forever
from pytest_kimiprobe.simulator.server import http as connection_module

CHAT = "/moonshot/v1/chat/completions"
BODY = question("What is the weather in Paris?", WEATHER, model="kimi-k2.6")


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with running() as simulator:
        yield simulator


def raw(simulator: Simulator, *sent: bytes) -> bytes:
    """The server's answer to these bytes, read until it closes the connection."""
    port = int(simulator.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for part in sent:
            connection.sendall(part)
        got = b""
        while part := connection.recv(65536):
            got += part
    return got


def request(body: bytes, *headers: str, close: bool = True) -> bytes:
    lines = [f"POST {CHAT} HTTP/1.1", "Host: x", "Authorization: Bearer k", *headers]
    return "\r\n".join([*lines, *(["Connection: close"] if close else []), "", ""]).encode() + body


def test_keep_alive(simulator: Simulator) -> None:
    """One connection serves several requests."""
    connection = http.client.HTTPConnection(simulator.url.removeprefix("http://"), timeout=5)
    for _ in range(3):
        connection.request("POST", CHAT, json.dumps(BODY), {"Authorization": "Bearer k"})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["choices"][0]["finish_reason"]) == (200, "tool_calls")
    connection.close()


def test_chunked_request_body(simulator: Simulator) -> None:
    """A request may come in chunks."""
    text = json.dumps(BODY).encode()
    chunks = b"%x\r\n%b\r\n%x;ext=1\r\n%b\r\n0\r\n\r\n" % (10, text[:10], len(text) - 10, text[10:])
    assert b"200 OK" in raw(simulator, request(chunks, "Transfer-Encoding: chunked"))


def test_expect_continue(simulator: Simulator) -> None:
    """A client that waits for 100 Continue gets it."""
    text = json.dumps(BODY).encode()
    got = raw(simulator, request(text, f"Content-Length: {len(text)}", "Expect: 100-continue"))
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
REFUSED = [
    (b"nonsense\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\n\r\n", b"400"),
    (GET + b"no colon\r\n\r\n", b"400"),
    (b"GET http://[x HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    (GET + b"Content-Length: -1\r\n\r\n", b"400"),
    (GET + b"Content-Length: 99999999999\r\n\r\n", b"413"),
    (GET + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    (GET + b"X: " + b"a" * 100_000 + b"\r\n\r\n", b"431"),
]


@pytest.mark.parametrize(("sent", "status"), REFUSED)
def test_malformed_and_oversized_requests_are_refused(simulator: Simulator, sent: bytes, status: bytes) -> None:
    """The connection is closed after the refusal."""
    assert raw(simulator, sent).startswith(b"HTTP/1.1 " + status)


def test_a_chunked_body_over_the_limit_is_refused(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The length of a chunked body is not announced, so its bytes are counted."""
    monkeypatch.setattr(connection_module, "MAX_BODY", 10)
    got = raw(simulator, request(b"b\r\n01234567890\r\n", "Transfer-Encoding: chunked"))
    assert got.startswith(b"HTTP/1.1 413")


def test_a_head_request_gets_no_body(simulator: Simulator) -> None:
    """The headers are those of the answer to a GET."""
    connection = http.client.HTTPConnection(simulator.url.removeprefix("http://"), timeout=5)
    connection.request("HEAD", "/elsewhere")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (404, b"")
    connection.close()


@pytest.mark.parametrize("sent", [b"", GET, request(b"{", "Content-Length: 100")], ids=["nothing", "head", "body"])
def test_a_client_that_resets_the_connection(
    simulator: Simulator, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not disturb others, and leaves no error in the server."""
    port = int(simulator.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(sent)
    assert post(simulator, CHAT, BODY).status_code == 200
    assert not caplog.records


def test_a_reader_that_leaves_mid_stream(simulator: Simulator) -> None:
    """A client that closes in the middle of a stream does not disturb others."""
    simulator.set_scenario(playing("slow", first_token_ms=0, tokens_per_s=20.0))
    headers = {"Authorization": "Bearer k"}
    with httpx.stream("POST", simulator.url + CHAT, json={**BODY, "stream": True}, headers=headers) as answer:
        assert next(answer.iter_bytes())
    simulator.set_scenario(playing())
    assert post(simulator, CHAT, BODY).status_code == 200


KEYLESS = [
    ("/openrouter/api/v1/chat/completions", {"error": {"message": "No auth credentials found", "code": 401}}),
    (CHAT, {"error": {"message": "Invalid Authentication", "type": "invalid_authentication_error"}}),
    (
        "/groq/openai/v1/chat/completions",
        {"error": {"message": "Invalid API Key", "type": "invalid_request_error", "code": "invalid_api_key"}},
    ),
]


@pytest.mark.parametrize(("path", "body"), KEYLESS)
@pytest.mark.parametrize("authorization", [None, "Bearer", "Basic abc", "Bearer the-wrong-key"])
def test_a_missing_or_wrong_key_is_refused(
    simulator: Simulator, path: str, body: object, authorization: str | None
) -> None:
    """The answer is the provider's own 401. Every key is right that does not contain `wrong`."""
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = httpx.post(simulator.url + path, json=BODY, headers=headers, verify=False)
    assert (answer.status_code, answer.json()) == (401, body)


BAD: list[tuple[Any, str]] = [
    ([], "JSON object"),
    ({"model": "kimi-k2.6"}, "messages"),
    ({"model": "kimi-k2.6", "messages": []}, "messages"),
    ({"messages": [{"role": "user", "content": "hi"}]}, "model"),
    ({**BODY, "messages": [{"role": "robot", "content": "hi"}]}, "messages.0.role"),
    ({**BODY, "messages": [{"role": "tool", "content": "x"}]}, "tool_call_id"),
    ({**BODY, "messages": [{"role": "tool", "tool_call_id": "nobody", "content": "x"}]}, "is not found"),
    ({**BODY, "messages": [{"role": "user"}]}, "property 'content' is missing"),
    ({**BODY, "tools": [{"type": "function"}]}, "tools.0"),
    ({**BODY, "tools": [], "tool_choice": "required"}, "tool_choice"),
    ({**BODY, "tools": {}}, "tools"),
    ({**BODY, "tool_choice": "sometimes"}, "tool_choice"),
    ({**BODY, "tool_choice": {"type": "function", "function": {"name": "other"}}}, "other"),
]


@pytest.mark.parametrize(("body", "word"), BAD)
def test_bad_requests(simulator: Simulator, body: object, word: str) -> None:
    """A request that no provider accepts is refused with a sentence that names the fault."""
    answer = post(simulator, CHAT, body)
    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]


@pytest.mark.parametrize(("path", "header"), [(CHAT, "Authorization"), ("/anthropic/v1/messages", "x-api-key")])
def test_a_lone_surrogate_is_refused(simulator: Simulator, path: str, header: str) -> None:
    """JSON can write it, but no answer could quote it."""
    content = json.dumps({**BODY, "max_tokens": 9, "messages": [{"role": "user", "content": "\ud800"}]}).encode()
    answer = httpx.post(simulator.url + path, content=content, headers={header: "Bearer k"}, verify=False)
    assert answer.status_code == 400


def test_a_body_that_is_not_json(simulator: Simulator) -> None:
    """Bytes that are not JSON, or too deeply nested, get the provider's 400."""
    for content in (b"{", b"\xff\xfe", b"[" * 100_000):
        answer = httpx.post(simulator.url + CHAT, content=content, headers={"Authorization": "Bearer k"}, verify=False)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_unknown_paths(simulator: Simulator) -> None:
    """An unknown path gets the provider's 404. Outside all prefixes the message lists them."""
    assert post(simulator, "/groq/openai/v1/nothing", {}).json()["error"]["code"] == "unknown_url"
    outside = post(simulator, "/elsewhere", {})
    assert outside.status_code == 404
    assert "/openrouter/api/v1" in outside.json()["error"]["message"]


def test_fifty_concurrent_requests(simulator: Simulator) -> None:
    """Fifty concurrent requests, half of them streams, are in flight together and get their answers."""
    simulator.set_scenario(playing("slow", first_token_ms=500))
    before = len(simulator.requests)
    arrived: list[int] = []

    async def ask(client: httpx.AsyncClient, spot: int) -> str:
        body = {**question(f"Reply with the single word W{spot}X.", model="kimi-k2.6"), "stream": spot % 2 == 0}
        answer = await client.post(CHAT, json=body)
        assert answer.status_code == 200
        arrived.append(len(simulator.requests) - before)
        return answer.text

    async def ask_all() -> list[str]:
        limits = httpx.Limits(max_connections=50)
        headers = {"Authorization": "Bearer k"}
        async with httpx.AsyncClient(
            base_url=simulator.url, headers=headers, limits=limits, timeout=20, verify=False
        ) as client:
            return await asyncio.gather(*(ask(client, spot) for spot in range(50)))

    answers = asyncio.run(ask_all())
    simulator.set_scenario(playing())
    for spot, text in enumerate(answers):
        if spot % 2:
            assert json.loads(text)["choices"][0]["message"]["content"] == f"W{spot}X"
        else:
            assert text.endswith("data: [DONE]\n\n")
    assert arrived[0] >= 40, "requests that had arrived when the first was answered"


def test_requests_are_remembered_without_keys(simulator: Simulator) -> None:
    """Tests can assert on received requests, which hold no keys."""
    post(simulator, CHAT, BODY, key="sk-very-secret")
    last = simulator.requests[-1]
    assert (last.method, last.path, last.body) == ("POST", CHAT, BODY)
    assert "sk-very-secret" not in repr(simulator.requests)


def test_the_environment_points_every_provider_here(simulator: Simulator) -> None:
    """Each provider has a base URL and a key, under the names that routing reads."""
    environment = simulator.environment()
    assert environment["KIMIPROBE_BASE_URL_OPENROUTER"] == f"{simulator.url}/openrouter/api/v1"
    assert environment["KIMIPROBE_BASE_URL_GROQ"] == f"{simulator.url}/groq/openai/v1"
    assert environment["REPLICATE_API_TOKEN"] == "simulated-replicate-key"
    assert environment["KIMIPROBE_BASE_URL_MOONSHOT_CN"] == f"{simulator.url}/moonshot-cn/v1"
    assert len(environment) == 14


def test_it_ends_cleanly() -> None:
    """After the block the thread has ended and the port is free, also with open connections."""
    before = threading.active_count()
    with running(playing("slow", first_token_ms=60_000)) as simulator:
        port = int(simulator.url.rsplit(":", 1)[1])
        idle = socket.create_connection(("127.0.0.1", port), timeout=5)
        waiting = socket.create_connection(("127.0.0.1", port), timeout=5)
        text = json.dumps(BODY).encode()
        waiting.sendall(request(text, f"Content-Length: {len(text)}"))
    idle.close()
    waiting.close()
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    with pytest.raises(RuntimeError, match="not running"):
        _ = simulator.url


def test_it_can_be_started_again() -> None:
    """One simulator may be used for a second block."""
    simulator = Simulator(playing())
    for _ in range(2):
        with simulator:
            assert post(simulator, CHAT, BODY).status_code == 200


def test_a_taken_port_is_an_error() -> None:
    """A taken port is an error at the start, not at the first request."""
    with running() as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(RuntimeError, match="did not start"), Simulator(playing(), port=port):
            pass
        with pytest.raises(OSError, match="address already in use"):
            serve_forever("healthy", port)


def test_as_a_process() -> None:
    """`python -m pytest_kimiprobe.simulator` prints export lines, serves until Ctrl-C, and ends with 0."""
    command = [sys.executable, "-m", "pytest_kimiprobe.simulator", "--scenario", "healthy", "--seed", "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(13)]
        url = lines[0].split()[4].rstrip(";")
        assert lines[1] == f"export KIMIPROBE_BASE_URL_OPENROUTER={url}/openrouter/api/v1\n"
        answer = httpx.post(url + CHAT, json=BODY, headers={"Authorization": "Bearer k"}, verify=False)
        process.send_signal(2)
        assert (answer.status_code, process.wait(10)) == (200, 0)


def test_a_wrong_scenario_ends_the_process_with_a_sentence() -> None:
    """The exit code is 2, and the message lists the scenarios."""
    command = [sys.executable, "-m", "pytest_kimiprobe.simulator", "--scenario", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "no scenario 'nothing'; available: broken, healthy, mixed, outage, or a path to a file\n",
    )
