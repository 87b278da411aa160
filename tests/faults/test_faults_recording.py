"""What hosts echo never reaches a cassette, whatever they make of it; the run is told, and all else goes on."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking import KEY, Asker
from canary import leaking_files, leaks
from faulty_server import Behaviour, FaultyServer, Line, chat, delta, event, head, reply

from pytest_kimiprobe.recording.replays import read

Faulty = Callable[..., FaultyServer]
ENDPOINT = "openrouter/moonshotai/kimi-k2.6"
FOREIGN = "sk-or-v1-0123456789abcdef0123456789abcdef"
A_CASE = """version: 1
cases:
  - {name: steady, prompt: "Call f.", max_tokens: 64, tools: [{name: f}], expect: {calls: [{name: f}]}}
...
"""
ANSWER = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "{said}"}}


@pytest.fixture(autouse=True)
def library() -> str:
    """Whichever library there is: others hold both to the same answers."""
    return ""


@pytest.fixture(autouse=True, scope="module")
def _loaded() -> None:
    """pytester forgets modules after each inner run: what the HTTP library loads late is loaded here, once."""
    asker = Asker()
    with FaultyServer("hangs_up") as gone, FaultyServer(reply(chat())) as there:
        asker.ask(gone.url)
        asker.ask(there.url)
    asker.close()


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, faulty: Faulty) -> Callable[..., pytest.RunResult]:
    """Records one case at a host of this machine, with everything else that a run can write."""
    pytester.makefile(".kimiprobe.yaml", own=A_CASE)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)

    def start(speak: str | Behaviour, *more: str) -> pytest.RunResult:
        monkeypatch.setenv("KIMIPROBE_BASE_URL_OPENROUTER", faulty(speak).url)
        return pytester.runpytest(
            *(
                "-p",
                "no:cacheprovider",
                "-p",
                "no:syrupy",
                "-p",
                "no:hypothesispytest",
                "own.kimiprobe.yaml",
                "--kimiprobe",
                f"--kimiprobe-endpoint={ENDPOINT}",
            ),
            *("--kimiprobe-record=tapes", "--kimiprobe-json=out.json", "--kimiprobe-verbose", "--kimiprobe-timeout=5"),
            *more,
        )

    return start


def tapes(pytester: pytest.Pytester) -> list[Path]:
    return sorted((pytester.path / "tapes").rglob("*.yaml"))


def words(told: pytest.RunResult) -> str:
    """What was printed, however it was folded into lines."""
    return " ".join(told.stdout.str().split())


def probes(pytester: pytest.Pytester, name: str = "out.json") -> list[tuple[Any, ...]]:
    rows = json.loads((pytester.path / name).read_text("utf-8"))["probes"]
    return [(row["id"], row["verdict"], row["reason"]) for row in rows]


@pytest.mark.parametrize("speak", ["echo", "echo_gzip", "echo_forms"])
def test_crd_07_an_echoed_key_is_in_no_cassette(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester, speak: str
) -> None:
    """In the body in any form, in headers, packed: it is taken out, the rest is evidence and replays to the same."""
    told = run(speak)
    assert told.ret == 1
    assert len(tapes(pytester)) == 1
    assert leaking_files(pytester.path, KEY) == []
    assert not leaks(told.stdout.str().encode() + told.stderr.str().encode(), KEY)
    (sample, *_) = read(pytester.path / "tapes").samples.values()
    assert sample.captured.steps[0].answer_headers.keys() <= {"content-type"}
    assert sample.captured.steps[0].url == "https://openrouter.ai/api/v1/chat/completions"
    source = ("--kimiprobe", "--kimiprobe-source=replay:tapes", "--kimiprobe-json=again.json")
    assert pytester.runpytest("-p", "no:cacheprovider", *source).ret == 1
    assert sorted(probes(pytester, "again.json")) == sorted(probes(pytester))


def test_crd_07_an_answer_with_a_key_in_pieces_is_not_recorded(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    """A key cut over two events cannot be taken out of the bytes: the cassette is left out, and the run says where."""
    told = run("echo_stream")
    assert told.ret == pytest.ExitCode.TESTS_FAILED
    said = words(told)
    assert "NOT RECORDED: 1 cassette: found what looks like a key in" in said
    assert "own.kimiprobe.yaml::steady[openrouter/moonshotai/kimi-k2.6-plain-1]: response body" in said
    assert tapes(pytester) == []
    assert len(probes(pytester)) == 2
    assert leaking_files(pytester.path, KEY) == []
    assert not leaks(told.stdout.str().encode() + told.stderr.str().encode(), KEY)


def _said(text: str) -> bytes:
    return json.dumps({"choices": [ANSWER | {"message": {"role": "assistant", "content": text}}]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        _said(f"use {FOREIGN}"),
        _said(f"use {base64.b64encode(FOREIGN.encode()).decode()}"),
        _said(f"use {base64.b64encode(gzip.compress(FOREIGN.encode())).decode()}"),
        gzip.compress(FOREIGN.encode()),
        b"%73%6b" + FOREIGN[2:].encode().replace(b"-", b"%2d"),
    ],
    ids=["plain", "base64", "gzip in base64", "gzip as it stands", "url"],
)
def test_crd_11_an_answer_with_another_key_is_not_recorded(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester, body: bytes
) -> None:
    """By its look alone, in an answer or in what is none; the results are written as usual."""
    told = run(reply(body))
    assert told.ret == pytest.ExitCode.TESTS_FAILED
    assert "NOT RECORDED: 1 cassette: found what looks like a key in" in words(told)
    assert "response body" in words(told)
    assert FOREIGN not in told.stdout.str()
    assert tapes(pytester) == []
    assert len(probes(pytester)) == 2


def _with_account(line: Line) -> None:
    """An answer around which the host tells whose it is."""
    while line.request():
        raw = json.dumps({**chat(), "user": "u-secret", "x_host": {"id": "req_01kkht58t5fzx"}}).encode()
        given = ("Set-Cookie: session=s3cr3t", "x-request-id: 77aa", "openai-organization: org-firm", "Server: h-17")
        line.send(head(200, *given, length=len(raw)), raw)


def test_account_data_is_in_no_cassette(run: Callable[..., pytest.RunResult], pytester: pytest.Pytester) -> None:
    """Cookies, request ids and organizations; the answer itself is as it came."""
    run(_with_account)
    (tape,) = tapes(pytester)
    text = tape.read_text("utf-8")
    for gone in ("s3cr3t", "77aa", "org-firm", "h-17", "u-secret", "01kkht58", "127.0.0.1", "Bearer", "uthorization"):
        assert gone not in text
    assert "x_host" in text


def _cut(line: Line) -> None:
    """Half a stream, then the end of the connection in the middle of a chunk."""
    while line.request():
        line.send(head(kind="text/event-stream", length=1000), event(delta(content="half")))
        return


def _silent(line: Line) -> None:
    line.request()
    line.server.ending.wait(30)


@pytest.mark.parametrize(("speak", "reason"), [(_cut, "connection_cut"), (_silent, "timeout"), ("hangs_up", None)])
def test_what_broke_off_is_evidence_too(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester, speak: str | Behaviour, reason: str | None
) -> None:
    """vcrpy records nothing of a timeout or a cut; here the bytes that came and the reason are kept, and replay as that."""
    run(speak, "--kimiprobe-timeout=1")
    (tape,) = tapes(pytester)
    rows = probes(pytester)
    assert {row[1] for row in rows} == {"error"}
    assert reason is None or {row[2] for row in rows} == {reason}
    if speak is _cut:
        assert "half" in tape.read_text("utf-8")
    pytester.runpytest(
        *("-p", "no:cacheprovider", "--kimiprobe", "--kimiprobe-source=replay:tapes", "--kimiprobe-json=again.json")
    )
    assert sorted(probes(pytester, "again.json")) == sorted(rows)
