"""Replaces files as one step: readers see the old or the new content, also after a crash."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from routing.errors import ConfigError


def replace_files(
    contents: Mapping[Path, bytes],
    refused: Callable[[Path, str], ConfigError],
    last_check: Callable[[], None] = lambda: None,
    mode: int = 0o666,
) -> None:
    """Write every content to a temporary file first, then rename all.

    A file that exists keeps its mode. A new file gets `mode`, without the bits of the process's umask.
    `last_check` is called before the first rename, and may raise. If a path cannot be written, `refused(path, reason)`
    gives the error to raise.
    """
    staged: dict[Path, Path] = {}
    path = Path()
    try:
        for path, content in contents.items():
            # A random name, opened exclusively: an existing link of that name cannot be followed.
            staged[path] = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(staged[path], os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
                if path.exists():
                    os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
                file.flush()
                os.fsync(file.fileno())
        last_check()
        for path, temporary in staged.items():
            temporary.replace(path)
        for folder in {path.parent for path in staged}:
            _flush_folder(folder)
    except OSError as error:
        raise refused(path, str(error.strerror or error)) from None
    finally:
        for temporary in staged.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Make renames in `folder` durable; a file system that cannot is left as it is."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
