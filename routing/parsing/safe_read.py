"""Reads a file that another program may be writing, or that may not be a regular file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TypeAlias

from ..errors import ConfigError

MAX_BYTES = 1 << 20
"""The default limit on the size of a file, in bytes."""
_TRIES = 5
"""How often a file that keeps changing is read before it is an error."""


Signature: TypeAlias = tuple[int, int, int, int, int]
"""Change and status times in ns, size, inode and device of a file. A changed signature means that the content may have
changed."""


def signature_of(status: os.stat_result) -> Signature:
    """The signature of a file from the result of `stat`.

    It includes ctime, because a program can set mtime back but not ctime.
    """
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev


def read_regular(path: str | Path, *, error: type[ConfigError] = ConfigError, max_bytes: int = MAX_BYTES) -> bytes:
    """Content of a regular file. Raises `error` for anything else: missing, directory, FIFO, device, too large.

    Never blocks on a FIFO or device. A file that changes during reading is read again; if it keeps changing, `error` is
    raised.
    """
    where = str(path)
    for _ in range(_TRIES):
        try:
            _require_regular(os.stat(path), where, error)  # noqa: PTH116 - before open: opening a device can act on it
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as problem:
            raise error(_why(problem), where=where) from None
        try:
            before = os.fstat(handle)
            _require_regular(before, where, error)
            data = _read(handle, max_bytes + 1)
            unchanged = signature_of(os.fstat(handle)) == signature_of(before)
        except OSError as problem:
            raise error(_why(problem), where=where) from None
        finally:
            os.close(handle)
        if len(data) > max_bytes:
            raise error(f"is larger than {max_bytes} bytes", where=where)
        if unchanged:
            return data
    raise error("keeps changing while it is read", where=where)


def _read(handle: int, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    while left and (part := os.read(handle, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _require_regular(status: os.stat_result, where: str, error: type[ConfigError]) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise error("is a directory, not a file", where=where)
    if not stat.S_ISREG(status.st_mode):
        raise error("is not a regular file", where=where)


def _why(problem: OSError | ValueError) -> str:
    if isinstance(problem, FileNotFoundError):
        return "no such file"
    if isinstance(problem, PermissionError):
        return "permission denied"
    return str(getattr(problem, "strerror", None) or problem)
