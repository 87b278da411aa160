"""Captured exchanges: what is kept, what never, and how much."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from asking import FIRST, KEY, STRICT_TOOL, routed
from canary import leaking_files, leaks
from faulty_server import Behaviour, FaultyServer, call, chat, hangs_up, reply, slow_headers

from routing import AllAttemptsFailed, ConfigError, Router, catalog
from routing.captures import store as captures
from routing.captures.store import Captures
from routing.exchange import Exchange
from routing.transport.limits import MAX_BODY

PROVIDER = catalog.load(environment={}).providers["moonshot"]
BAD = chat(None, [call('{"town": "Paris"}')])


def ask(folder: Path, monkeypatch: pytest.MonkeyPatch, speak: Behaviour | str, question: str = "Hi", **how: Any) -> str:
    """The status of a router whose only host answers like this."""
    with FaultyServer(speak) as server, routed(folder, monkeypatch, server.url):
        router = Router.load(folder / "flags.yaml", capture=folder / "captures")
        with suppress(AllAttemptsFailed):
            router.complete(question, tools=[STRICT_TOOL], **how)
        router.close()
    return str(router.status())


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((folder / "captures").iterdir())]


def test_an_answer_that_is_not_delivered_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a row: request, answer, reason; the status counts it."""
    told = ask(tmp_path, monkeypatch, reply(BAD))
    (row,) = rows(tmp_path)
    assert (row["provider"], row["model"], row["url_path"]) == ("moonshot", "kimi-k2.6", "/v1/chat/completions")
    assert row["captured"]["reason"] == "arguments_break_schema"
    assert row["captured"]["endpoint"] == FIRST
    assert row["request"]["messages"] == [{"role": "user", "content": "Hi"}]
    assert json.loads(row["response"]["body"]) == BAD
    assert "captures (1 written, 0 left out)" in told


def test_an_answer_that_is_delivered_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only failures are of use."""
    assert "0 written, 0 left out" in ask(tmp_path, monkeypatch, reply(chat()))
    assert rows(tmp_path) == []


@pytest.mark.parametrize("speak", [hangs_up, slow_headers], ids=["no answer", "timeout"])
def test_a_failure_without_an_answer_is_not_kept(
    speak: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to judge."""
    ask(tmp_path, monkeypatch, speak, timeout=0.3)
    assert rows(tmp_path) == []


def test_files_and_folder_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold conversations."""
    before = os.umask(0)
    try:
        ask(tmp_path, monkeypatch, reply(BAD))
    finally:
        os.umask(before)
    folder = tmp_path / "captures"
    (path,) = folder.iterdir()
    assert [stat.S_IMODE(one.stat().st_mode) for one in (folder, path)] == [0o700, 0o600]


@pytest.mark.parametrize("speak", ["echo", "echo_gzip", "echo_stream", "echo_forms"])
def test_no_key_is_written(speak: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever form the host gives it back, and if the caller's own text holds one."""
    question = f"Why does the server refuse {KEY} and sk-or-v1-{'0a' * 32}?"
    told = ask(tmp_path, monkeypatch, speak, question)
    assert leaking_files(tmp_path / "captures", KEY) == []
    assert not any("0a0a0a" in json.dumps(row) for row in rows(tmp_path))
    assert not leaks(told.encode(), KEY)


def test_an_encoded_key_costs_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a key after removal keeps the whole row from being written."""
    hidden = base64.b64encode(f"token: sk-other-{'aB3' * 12}".encode()).decode()
    told = ask(tmp_path, monkeypatch, reply(BAD | {"id": hidden}))
    assert rows(tmp_path) == []
    assert "0 written, 1 left out" in told


def test_account_data_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in cassettes; the answer itself stays."""
    error = {"error": {"message": "org-0123456789abcdef has no quota", "user_id": "alice"}}
    ask(tmp_path, monkeypatch, reply(error, status=500))
    body = rows(tmp_path)[0]["response"]["body"]
    assert not any(word in body for word in ("org-0123456789abcdef", "alice"))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Captures]:
    store = Captures(tmp_path / "captures")
    yield store
    store.close()


def exchange(number: int = 0, size: int = 10) -> Exchange:
    return Exchange(FIRST, {"messages": [{"number": number}]}, 200, "application/json", b"x" * size)


def test_the_oldest_rows_are_deleted(kept: Captures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Number and bytes are bounded; files of others are left alone."""
    monkeypatch.setattr(captures, "MAX_ROWS", 3)
    (tmp_path / "captures" / "mine.jsonl").write_text("mine")
    for number in range(7):
        kept.keep(exchange(number), PROVIDER, (), "empty_answer")
        kept.close()
    names = {path.name for path in (tmp_path / "captures").iterdir()}
    assert len(names) == 4
    assert "mine.jsonl" in names
    monkeypatch.setattr(captures, "MAX_BYTES", 2000)
    kept.keep(exchange(8, 1500), PROVIDER, (), "empty_answer")
    kept.close()
    (left,) = [path for path in (tmp_path / "captures").iterdir() if path.name != "mine.jsonl"]
    assert json.loads(left.read_text())["request"]["messages"] == [{"number": 8}]
    assert kept.status().written == 8


def test_a_row_that_is_too_large_is_left_out(kept: Captures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is an answer of which not all bytes were kept."""
    monkeypatch.setattr(captures, "MAX_ROW", 500)
    kept.keep(exchange(size=600), PROVIDER, (), "empty_answer")
    kept.keep(exchange(size=MAX_BODY), PROVIDER, (), "empty_answer")
    kept.close()
    assert (kept.status().written, kept.status().left_out) == (0, 2)
    assert list((tmp_path / "captures").iterdir()) == []


def test_a_storm_of_failures_is_not_written_out_in_full(kept: Captures, monkeypatch: pytest.MonkeyPatch) -> None:
    """Capturing must not add load to an outage."""
    gate = threading.Event()
    monkeypatch.setattr(Captures, "_store", lambda _self, _line: gate.wait(10))
    for number in range(10):
        kept.keep(exchange(number), PROVIDER, (), "empty_answer")
    gate.set()
    kept.close()
    assert (kept.status().written, kept.status().left_out) == (captures.MAX_WRITING, 10 - captures.MAX_WRITING)


def test_a_full_disk_ends_nothing(kept: Captures, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status says why; the next row clears it."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        kept.keep(exchange(), PROVIDER, (), "empty_answer")
        kept.close()
    assert kept.status().error == "No space left on device"
    kept.keep(exchange(), PROVIDER, (), "empty_answer")
    kept.close()
    assert (kept.status().error, kept.status().written, kept.status().left_out) == (None, 1, 1)


def test_a_folder_that_cannot_be_written_is_an_error_at_the_start(tmp_path: Path) -> None:
    """It names the argument and the folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file.*capture: cannot be written to"):
        Router.load(capture=tmp_path / "file")
    with pytest.raises(TypeError, match="capture: a path is needed, not int"):
        Router.load(capture=7)  # type: ignore[arg-type]


def test_images_are_left_out() -> None:
    """They are large, and no judge reads them; text of the same length stays."""
    image = base64.b64encode(os.urandom(200_000)).decode()
    long = "lorem ipsum " * 20_000
    done = Exchange(
        FIRST,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}],
                },
                {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": image}}]},
                {"role": "user", "content": long},
            ]
        },
        200,
    )
    row = json.loads(captures._line(done, PROVIDER, (), "empty_answer"))
    first, second, third = row["request"]["messages"]
    assert first["content"][0]["image_url"]["url"] == "data:image/png;base64,[left out]"
    assert second["content"][0]["source"]["data"] == "[left out]"
    assert third["content"] == long
