"""Finds flags.yaml, and follows the file while a router runs.

flags.yaml is the reviewed decision which endpoints may serve which users. `FlagsSource` follows a file that may change,
break or vanish: routing continues with the last good flags, and `status()` says so. The module `model` documents the
order of decision.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from ..catalog.model import Catalog
from ..errors import FlagsError
from ..parsing.last_good import LastGoodFile
from ..parsing.safe_read import read_regular
from ..redaction import escaped
from .model import Flags

VARIABLE = "KIMIPROBE_FLAGS"
FILE_NAME = "flags.yaml"
_NO_FILE = (
    f"no {FILE_NAME} in the working folder or above: the packaged flags are used, with which only reference endpoints "
    f"serve; name a file with Router.load(...) or {VARIABLE}"
)


def find_flags(start: Path | None = None) -> Path | None:
    """The path of the flags file to use; None if there is none.

    It is the value of KIMIPROBE_FLAGS, else the first flags.yaml in `start` (default: the working folder) or in a
    folder above it.
    """
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

    `state` is `live` if they are the current content of the file, `last_good` if they are an earlier content of it. It
    is `bootstrap` if they are the packaged flags. `error` says why the current content is not used, `warning` what a
    reviewer should look at. Times are UTC.
    """

    path: str | None
    state: Literal["live", "last_good", "bootstrap"]
    error: str | None
    serial: int
    loaded_at: datetime
    checked_at: datetime
    warning: str | None = None

    def __str__(self) -> str:
        told = "".join(f"\n  {name}: {text}" for name in ("error", "warning") if (text := getattr(self, name)))
        return f"flags: {self.path or 'packaged'} ({self.state}, serial {self.serial}){told}"


class _Accepted(NamedTuple):
    """Flags in use, and what a reviewer should look at in the file that they came from."""

    flags: Flags
    warning: str | None = None


class FlagsSource:
    """The flags of one path, read again when the file changes; thread-safe.

    Without a path the bootstrap flags stay in use. The constructor raises FlagsError if the path cannot be read
    (missing, a directory, no permission). If it can be read, but its content is wrong, the bootstrap flags are used
    first, and `status().error` says why.

    New content with a lower serial than the one in use is used only if its `rollback_from` is at least the serial in
    use. New content with other flags but the same serial is used, with a warning in `status()`. Content that names a
    model that `catalog` does not have is wrong; without a catalogue, names of models are not checked.
    """

    def __init__(self, path: str | Path | None, bootstrap: Flags | None = None, catalog: Catalog | None = None) -> None:
        self._path = where = str(path) if path is not None else None
        first, models = bootstrap or Flags.bootstrap(), catalog.models if catalog else {}
        if catalog and first.default_model not in models:  # a whole catalogue of the user's own
            first = replace(first, default_model=catalog.default_model)
        self._file = LastGoodFile(
            where,
            _Accepted(first, _NO_FILE if where is None else None),
            functools.partial(read_regular, error=FlagsError),
            lambda data, now: _accepted(data, now, str(where), models),
        )
        if where is None:
            logging.getLogger("routing").warning(_NO_FILE)
        for _ in range(3):  # another program may be in the middle of writing it
            self.current()
        held = self._file.held
        if where is not None and held.data is None:
            raise FlagsError(str(held.error).removeprefix(f"{escaped(where)}: "), where=where)

    def current(self) -> Flags:
        """The flags to use now. Costs one `stat` call if the file did not change. Never raises."""
        return self._file.current().flags

    @property
    def held(self) -> Flags:
        """The flags in use, without checking whether the file has changed."""
        return self._file.held.value.flags

    def if_current(self) -> Flags | None:
        """The flags to use now if the file need not be read, else None."""
        accepted = self._file.if_current()
        return accepted and accepted.flags

    def status(self) -> FlagsStatus:
        """Which flags are in use and why, as of the last call of `current()`."""
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


def _accepted(data: bytes, now: _Accepted | None, where: str, models: Collection[str] = ()) -> _Accepted:
    """The flags of the file's new content; `now` are the flags in use, None if they are the packaged ones.

    Raises FlagsError if the content is wrong or may not replace the flags in use.
    """
    flags = Flags.loads(data, where, models)
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
