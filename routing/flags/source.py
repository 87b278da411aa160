"""flags.yaml: the reviewed decision which endpoints may serve whom, and how a running router keeps up with it.

`Flags` is what one file says (routing.flags_model tells the order of decision). `FlagsSource` follows a file that may
change, break or vanish: routing goes on with the last good flags, and `status()` says so.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ..errors import FlagsError
from ..parsing.safe_read import Signature, read_regular
from .model import LADDER, VERSION, Decision, Flag, FlagEvidence, Flags, Targets

__all__ = [
    "LADDER",
    "VERSION",
    "Decision",
    "Flag",
    "FlagEvidence",
    "Flags",
    "FlagsSource",
    "FlagsStatus",
    "Targets",
    "find_flags",
]

VARIABLE = "KIMIPROBE_FLAGS"
FILE_NAME = "flags.yaml"
# File times tick every few ms: a file written this recently can change again without changing its signature.
_SETTLED_NS = 100_000_000


def find_flags(start: Path | None = None) -> Path | None:
    """The flags file to use: KIMIPROBE_FLAGS, else the first flags.yaml upwards from `start` (default: here)."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    try:
        folder = (start or Path()).absolute()
    except FileNotFoundError:  # the working folder was deleted
        return None
    candidates = (parent / FILE_NAME for parent in (folder, *folder.parents))
    # lexists: a broken link or a folder of that name is told as such, not passed over for another project's file.
    return next((path for path in candidates if os.path.lexists(path)), None)


@dataclass(frozen=True, slots=True)
class FlagsStatus:
    """Where the flags in use come from.

    `state`: `live` is what the file says, `last_good` an earlier reading of it, `bootstrap` the packaged flags.
    `error` says what keeps the file from being used, `warning` what a reviewer should look at. Times are UTC.
    """

    path: str | None
    state: Literal["live", "last_good", "bootstrap"]
    error: str | None
    serial: int
    loaded_at: datetime
    checked_at: datetime
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    """What is in use and what was last seen of the file; swapped as one object, so no reader sees half a change."""

    flags: Flags
    loaded_at: float
    from_file: bool = False
    signature: Signature | None = None
    settled: bool = False
    data: bytes | None = None
    error: str | None = None
    warning: str | None = None


class FlagsSource:
    """The flags of one path, read again when the file changes; thread-safe.

    Without a path the bootstrap flags stay in use. A path that cannot be read at first (missing, a directory, no
    permission) is a FlagsError; a file whose content is wrong starts on the bootstrap flags, and `status().error`
    tells.

    A file with a lower serial than the one in use is taken only where its `rollback_from` is that serial or higher.
    A file that changes its meaning without raising its serial is taken, with a warning in `status()`.
    """

    def __init__(self, path: str | Path | None, bootstrap: Flags | None = None) -> None:
        self._path = str(path) if path is not None else None
        self._held = _Held(bootstrap or Flags.bootstrap(), time.time())
        self._checked_at = self._held.loaded_at
        self._loading = threading.Lock()
        for _ in range(3):  # it may just be in the middle of being written
            self.current()
        if self._path is not None and self._held.data is None:
            raise FlagsError(str(self._held.error).removeprefix(f"{self._path}: "), where=self._path)

    def current(self) -> Flags:
        """The flags to use now; costs one stat unless the file changed. Never raises."""
        if self._path is None:
            return self._held.flags
        self._checked_at = time.time()
        signature = _signature(self._path)
        held = self._held
        if signature == held.signature and held.settled:
            return held.flags
        # Whoever comes while another thread reads goes on with what there is.
        if self._loading.acquire(blocking=False):
            try:
                self._held = _reloaded(self._held, self._path, signature)
            finally:
                self._loading.release()
        return self._held.flags

    def status(self) -> FlagsStatus:
        """What is in use and why, as of the last `current()`."""
        held = self._held
        fallen_back: Literal["last_good", "bootstrap"] = "last_good" if held.from_file else "bootstrap"
        return FlagsStatus(
            path=self._path,
            state="live" if held.from_file and held.error is None else fallen_back,
            error=held.error,
            serial=held.flags.serial,
            loaded_at=datetime.fromtimestamp(held.loaded_at, UTC),
            checked_at=datetime.fromtimestamp(self._checked_at, UTC),
            warning=held.warning,
        )


def _signature(path: str) -> Signature | None:
    try:
        return Signature.of(os.stat(path))  # noqa: PTH116 - on every request; half the cost of Path.stat
    except (OSError, ValueError):
        return None


def _reloaded(held: _Held, path: str, signature: Signature | None) -> _Held:
    settled = signature is None or time.time_ns() - max(signature.mtime_ns, signature.ctime_ns) > _SETTLED_NS
    held = replace(held, signature=signature, settled=settled)
    try:
        data = read_regular(path, error=FlagsError)
        if not settled and read_regular(path, error=FlagsError) != data:
            raise FlagsError("is being written", where=path)  # noqa: TRY301 - unsettled: the next request looks again
    except FlagsError as problem:
        return replace(held, data=None, error=str(problem))
    return held if data == held.data else _taken(held, data, path)


def _taken(held: _Held, data: bytes, path: str) -> _Held:
    """The new content in use, or the old flags with the reason why not."""
    try:
        flags = Flags.loads(data, path)
        if held.from_file:
            _check_serial(flags, held.flags)
    except FlagsError as problem:
        return replace(held, data=data, error=str(problem))
    warning = held.warning if held.from_file and flags == held.flags else None
    if held.from_file and flags != held.flags and flags.serial == held.flags.serial:
        warning = f"changed its meaning without raising its serial, {flags.serial}"
    return replace(held, flags=flags, loaded_at=time.time(), from_file=True, data=data, error=None, warning=warning)


def _check_serial(new: Flags, old: Flags) -> None:
    if new.serial < old.serial and (new.rollback_from or 0) < old.serial:
        raise FlagsError(
            f"serial {new.serial} is lower than {old.serial}, which is in use: raise it to {old.serial + 1}, "
            f"or allow going back with `rollback_from: {old.serial}`",
            where=new.where,
        )
