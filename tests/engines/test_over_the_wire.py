"""A host that runs a published parser, met by a whole run over a real connection."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from engine_process import ENGINES, Engine, needs_engines, parsed
from engine_wire import Said, plain_body, stream_events
from model_writings import PACKAGED, WRITINGS, right, row

pytestmark = pytest.mark.long

ENDPOINT = "openrouter/moonshotai/kimi-k2.6"
CASE = "name-with-hyphens"


class _Host(BaseHTTPRequestHandler):
    """Answers each chat completion with what the parser made of the right answer, plain or streamed as asked."""

    protocol_version = "HTTP/1.1"
    said: Mapping[bool, Said]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        stream = asked.get("stream") is True
        body = b"".join(stream_events(self.said[stream])) if stream else plain_body(self.said[stream])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if stream else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: tests are silent."""


@contextmanager
def host(engine: Engine) -> Iterator[str]:
    """The base URL of a host with this parser."""
    text = WRITINGS[engine.form]["as documented"](right(CASE))
    told = parsed(engine, [row(PACKAGED[CASE], text, stream=stream) for stream in (False, True)])
    said = {stream: Said.of_engine(one, right(CASE)) for stream, one in zip((False, True), told, strict=True)}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Host", (_Host,), {"said": said}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/api/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@needs_engines
@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("sglang 0.5.23 K2", {"plain": "ok", "stream": "ok", "parity": "ok"}),
        ("sglang 0.5.1 K2", {"plain": "rescued_text", "stream": "empty_answer", "parity": "not_alike"}),
    ],
)
def test_a_run_finds_what_the_parser_loses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, expected: dict[str, str]
) -> None:
    """The whole way: plugin, wire, transport, judge; what leaks plain is rescued, what a stream swallows is lost."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-test-key-of-this-machine-only")
    (found,) = (one for one in ENGINES if one.name == engine)
    with host(found) as url:
        monkeypatch.setenv("KIMIPROBE_BASE_URL_OPENROUTER", url)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--kimiprobe", "-k", CASE]
        command += [f"--kimiprobe-endpoint={ENDPOINT}", "--kimiprobe-json=out.json", "kimiprobe/text.yaml"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    probes = json.loads((tmp_path / "out.json").read_text("utf-8"))["probes"]
    assert {one["mode"]: one["reason"] for one in probes} == expected
