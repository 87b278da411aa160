"""flags.yaml: the reviewed decision which endpoints may serve which users, and how a running router follows the file.

`FlagsSource` follows a file that may change, break or vanish: routing continues with the last good flags, and
`status()` says so. The module `model` documents the order of decision.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import FlagsError
from ..parsing.last_good import LastGoodFile
from ..parsing.safe_read import read_regular
from .model import Flags

VARIABLE = "KIMIPROBE_FLAGS"
FILE_NAME = "flags.yaml"


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
    # lexists: a broken link or a folder of that name is reported, not passed over for another project's file.
    return next((path for path in candidates if os.path.lexists(path)), None)


@dataclass(frozen=True, slots=True)
class FlagsStatus:
    """Where the flags in use come from.

    `state`: `live` is what the file says, `last_good` an earlier reading of it, `bootstrap` the packaged flags.
    `error` says why the file is not used, `warning` what a reviewer should look at. Times are UTC.
    """

    path: str | None
    state: Literal["live", "last_good", "bootstrap"]
    error: str | None
    serial: int
    loaded_at: datetime
    checked_at: datetime
    warning: str | None = None


class _Accepted(NamedTuple):
    """Flags in use, and what a reviewer should look at in the file that they came from."""

    flags: Flags
    warning: str | None = None


class FlagsSource:
    """The flags of one path, read again when the file changes; thread-safe.

    Without a path the bootstrap flags stay in use. A path that cannot be read at first (missing, a directory, no
    permission) is a FlagsError. A file whose content is wrong starts on the bootstrap flags, and `status().error` says
    why.

    A file with a lower serial than the one in use is used only if its `rollback_from` is that serial or higher.
    A file that changes its meaning without raising its serial is used, with a warning in `status()`.
    """

    def __init__(self, path: str | Path | None, bootstrap: Flags | None = None) -> None:
        self._path = where = str(path) if path is not None else None
        self._file = LastGoodFile(
            where,
            _Accepted(bootstrap or Flags.bootstrap()),
            functools.partial(read_regular, error=FlagsError),
            lambda data, now: _accepted(data, now, str(where)),
        )
        for _ in range(3):  # another program may be in the middle of writing it
            self.current()
        held = self._file.held
        if where is not None and held.data is None:
            raise FlagsError(str(held.error).removeprefix(f"{where}: "), where=where)

    def current(self) -> Flags:
        """The flags to use now; costs one stat if the file did not change. Never raises."""
        return self._file.current().flags

    def status(self) -> FlagsStatus:
        """The flags in use and the reason, as of the last `current()`."""
        held = self._file.held
        fallen_back: Literal["last_good", "bootstrap"] = "last_good" if held.from_source else "bootstrap"
        return FlagsStatus(
            path=self._path,
            state="live" if held.from_source and held.error is None else fallen_back,
            error=held.error,
            serial=held.value.flags.serial,
            loaded_at=datetime.fromtimestamp(held.loaded_at, UTC),
            checked_at=datetime.fromtimestamp(self._file.checked_at, UTC),
            warning=held.value.warning,
        )


def _accepted(data: bytes, now: _Accepted | None, where: str) -> _Accepted:
    """The flags of new content. Raises FlagsError if they are wrong or may not replace those in use."""
    flags = Flags.loads(data, where)
    if now is None:
        return _Accepted(flags)
    _check_serial(flags, now.flags)
    if flags == now.flags:
        return _Accepted(flags, now.warning)
    same = flags.serial == now.flags.serial
    return _Accepted(flags, f"changed its meaning without raising its serial, {flags.serial}" if same else None)


def _check_serial(new: Flags, old: Flags) -> None:
    if new.serial < old.serial and (new.rollback_from or 0) < old.serial:
        raise FlagsError(
            f"serial {new.serial} is lower than {old.serial}, which is in use: raise it to {old.serial + 1}, "
            f"or allow going back with `rollback_from: {old.serial}`",
            where=new.where,
        )
