"""Keeps exchanges whose answers were not delivered, as rows that the monitor can judge again.

    Router.load(capture="captures")                     captures/20261201T051740.123456Z-1f0c9a3b.jsonl
    pytest --kimiprobe --kimiprobe-source replay:captures

A row holds the request in the host's protocol and the host's answer (docs/recordings.md). Keys and account data are
removed; the conversation itself is kept, so only the user of the process can read the files. Rows are written in
threads, so that no request waits for them. Their number and size are bounded; the oldest are deleted first.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..catalog.model import Provider
from ..errors import ConfigError
from ..exchange import Exchange
from ..forking import ForkAware
from ..redaction import redact_keys
from ..transport.limits import MAX_BODY
from ..types import JsonObject, Tool
from .account_data import clean_body
from .key_scan import holds_key

MAX_ROWS = 200
"""The most rows in a folder."""
MAX_BYTES, MAX_ROW = 64 << 20, 2 << 20
"""The most bytes of all rows in a folder, and of one row. A larger row is not written: the search for keys takes about
a second of CPU time per megabyte."""
MAX_WRITING = 1
"""The most rows that are written concurrently. Exchanges that fail while so many are being written are not kept."""
_ENCODED = re.compile(r"(data:[^,]{0,100},)?[A-Za-z0-9+/=_-]{4096,}")
"""Pattern of an image or file inside a request. It is left out: it is large, and no judge reads it."""
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}\.jsonl")
_PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "replicate": "/v1/predictions"}
_NOT_IN_BYTES = frozenset({"timeout", "connection_cut", "local_failure", "body_too_large"})
"""Reason codes that cannot be found again from the bytes of an answer: a replay would give another reason."""


@dataclass(frozen=True, slots=True)
class CaptureStatus:
    """Folder of the captured exchanges; how many were written and left out; why the newest could not be written."""

    folder: str
    written: int = 0
    left_out: int = 0
    error: str | None = None

    def __str__(self) -> str:
        told = f"\n  error: {self.error}" if self.error else ""
        return f"captures: {self.folder} ({self.written} written, {self.left_out} left out){told}"


class Captures(ForkAware):
    """Writes undelivered exchanges to a folder. Thread-safe.

    The folder is created if it does not exist. The constructor raises ConfigError if it cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._lock = threading.Lock()
        self._status = CaptureStatus(str(folder))
        self._threads: list[threading.Thread] = []
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"capture: cannot be written to: {why}", where=str(folder)) from None

    def after_fork(self) -> None:
        """Forget the parent's threads, and replace the lock, which one of them may hold."""
        self._lock, self._threads = threading.Lock(), []

    def status(self) -> CaptureStatus:
        """The folder, the numbers of exchanges written and left out so far, and the error of the newest write."""
        return self._status

    def keep(self, done: Exchange, provider: Provider, tools: tuple[Tool, ...], reason: str) -> None:
        """Write the exchange in a thread, if it has an answer and no more than `MAX_WRITING` are being written.

        `tools` are those of the caller: an endpoint without native tools got them in the prompt. `reason` is the reason
        code with which the answer was refused.
        """
        if done.status is None or reason in _NOT_IN_BYTES or not done.request:
            return
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            if len(self._threads) >= MAX_WRITING or len(done.body) >= MAX_BODY:
                self._count(left_out=1)
                return
            writer = threading.Thread(
                target=self._write, args=(done, provider, tools, reason), name="kimiprobe-capture"
            )
            self._threads.append(writer)
            writer.start()

    def close(self) -> None:
        """Wait for the rows that are being written."""
        with self._lock:
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join()

    def _write(self, done: Exchange, provider: Provider, tools: tuple[Tool, ...], reason: str) -> None:
        try:
            line = _line(done, provider, tools, reason)
            if line:
                self._store(line)
            with self._lock:
                self._count(written=bool(line), left_out=not line)
        except Exception as error:  # noqa: BLE001 - a full disk or an odd answer must not end a service
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            with self._lock:
                self._count(left_out=1, error=why)

    def _count(self, written: int = 0, left_out: int = 0, error: str | None = None) -> None:
        now = self._status
        self._status = CaptureStatus(
            now.folder, now.written + written, now.left_out + left_out, error if error or written else now.error
        )

    def _store(self, line: bytes) -> None:
        """Write the row to a file that only this user can read, then delete the oldest rows beyond the limits."""
        path = self._folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}.jsonl"
        staged = path.with_suffix(".tmp")
        try:
            with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(line)
            staged.replace(path)
        except OSError:
            staged.unlink(missing_ok=True)
            raise
        entries = [entry for entry in os.scandir(self._folder) if _NAME.fullmatch(entry.name)]
        sizes = sorted((entry.path, _size(entry)) for entry in entries)
        left = sum(size for _, size in sizes)
        for position, (name, size) in enumerate(sizes[:-1]):
            if len(sizes) - position <= MAX_ROWS and left <= MAX_BYTES:
                break
            with suppress(OSError):  # another process may have deleted it
                os.unlink(name)  # noqa: PTH108 - a scanned entry
            left -= size


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:  # another process has deleted it
        return 0


def row_of(done: Exchange, provider: Provider, tools: tuple[Tool, ...], reason: str) -> JsonObject:
    """The exchange as a row of a recording, without keys and account data."""
    stream = done.content_type.strip().lower().startswith("text/event-stream")
    request = {"tools": list(tools), **done.request} if tools else done.request
    body = clean_body(done.body, done.status or 0, done.content_type).decode("utf-8", "replace")
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {
        "id": f"{reason} {moment}",
        "provider": provider.name,
        "url_path": _PATHS.get(provider.wire, ""),
        "model": done.endpoint.partition("/")[2],
        "stream": stream or done.request.get("stream") is True,
        "request": _mapped(request, redact_keys),
        "response": {"status": done.status, "content_type": done.content_type[:200], "body": redact_keys(body)},
        "captured": {"at": moment, "reason": reason, "endpoint": done.endpoint},
    }


def _line(done: Exchange, provider: Provider, tools: tuple[Tool, ...], reason: str) -> bytes:
    """The row as a line of JSON; empty if it is too large, or if something that looks like a key is left in it."""
    request = _mapped(done.request, _without_image)
    if len(json.dumps(request)) > MAX_ROW:  # before the slower search for keys
        return b""
    row = row_of(replace(done, request=request), provider, tools, reason)
    data = json.dumps(row, ensure_ascii=True, allow_nan=False).encode()
    return b"" if len(data) > MAX_ROW or holds_key(data, os.environ) else data + b"\n"


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of a JSON value in which `change` was applied to every text."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(str(key)): _mapped(inner, change) for key, inner in value.items()}
    return [_mapped(inner, change) for inner in value] if isinstance(value, list | tuple) else value


def _without_image(text: str) -> str:
    encoded = _ENCODED.fullmatch(text)
    return f"{encoded[1] or ''}[left out]" if encoded else text
