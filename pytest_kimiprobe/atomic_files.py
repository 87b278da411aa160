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
    mode: int | None = None,
) -> None:
    """Write every content to a temporary file first, then rename all.

    A file that exists keeps its mode. A new file gets `mode`, or by default what the process's umask leaves.
    `last_check` is called before the first rename, and may raise. If a path cannot be written, `refused(path, reason)`
    gives the error to raise.
    """
    staged: dict[Path, Path] = {}
    path = Path()
    try:
        for path, content in contents.items():
            # A random name, opened with "x": an existing link of that name cannot be followed.
            staged[path] = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
            path.parent.mkdir(parents=True, exist_ok=True)
            with staged[path].open("xb") as file:
                permissions = path.stat().st_mode & 0o777 if path.exists() else mode
                if permissions is not None:
                    os.fchmod(file.fileno(), permissions)
                file.write(content)
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
