"""Edits the text of flags.yaml in place: only the characters of the changed values are replaced.

Comments, order, quotes and blank lines stay as reviewers wrote them. Positions come from the nodes of the YAML parser;
the file is never generated from its data. Each edit is checked: the new text must parse to the old data with exactly
these changes.

    edited(text, {"openrouter_kimi_tool_calling": {"enabled": True, "percent": 10, "users.allow": ["alice"]}})

Dots in a key lead into nested mappings; the value None removes the key. Any change raises the serial. An edit that
changes nothing returns the same text.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from routing.errors import FlagsError
from routing.flags.model import KEYS, Flags
from routing.parsing import strict_yaml
from routing.parsing.safe_read import read_regular
from routing.parsing.strict_yaml import shown

from ...atomic_files import replace_files
from .yaml_text import Value, put, without_comments

Changes: TypeAlias = Mapping[str, Mapping[str, Value]]
"""Flag name → key (`percent`, `users.allow`, `evidence`) → new value; None removes the key."""

_SETS = {"allow", "deny", "controls"}


def edited(text: str, changes: Changes, *, where: str = "flags.yaml") -> str:
    """The text with these values changed and the serial raised; the same text if nothing changes.

    Lists of users, groups and globs are treated as sets: names that stay in a list keep their place and comment. Raises
    FlagsError if the text or the result is not a valid flags file, or a flag is unknown.
    """
    flags = Flags.loads(text.encode(), where)
    steps = [
        (("flags", flags.flag(name).name, *key.split(".")), value)
        for name, row in changes.items()
        for key, value in row.items()
    ]
    return _applied(text, steps, where)


def created(text: str, name: str, row: Mapping[str, Value], *, where: str = "flags.yaml") -> str:
    """The text with a new flag at the end of the file, and the serial raised. `row` holds the new flag's keys.

    Raises FlagsError if the flag exists already, or the result is not a valid flags file.
    """
    if name in Flags.loads(text.encode(), where).flags:
        raise FlagsError(f"flag {name!r} exists already", where=where)
    row = {key: row[key] for key in KEYS if row.get(key) is not None}
    return _applied(text, [(("flags", name), row)], where)


def deleted(text: str, name: str, *, where: str = "flags.yaml") -> str:
    """The text with this flag and its comments removed, and the serial raised.

    Raises FlagsError if the flag is unknown, is the only one of the file, or is named elsewhere in the file.
    """
    flags = Flags.loads(text.encode(), where)
    flags.flag(name)  # raises FlagsError that lists the names
    if len(flags.flags) == 1:
        raise FlagsError(f"flag {name!r} is the only one, and a file needs one: disable it instead", where=where)
    new = _applied(without_comments(text, ("flags", name)), [(("flags", name), None)], where)
    if named := re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", new):
        line = new[new.rfind("\n", 0, named.start()) + 1 :].partition("\n")[0].strip()
        raise FlagsError(f"flag {name!r} is named elsewhere, change that first: {shown(line, 80)}", where=where)
    return new


def change_file(path: Path, change: Callable[[str], str]) -> bool:
    """Read the file, apply `change` to its text, and write the result atomically; False if the text stays the same.

    Raises FlagsError if the file cannot be read or written, or another program changed it meanwhile. It is also raised
    if the new text is not a valid flags file. After an error the old file is unchanged.
    """
    old = read_regular(path, error=FlagsError)
    new = change(_decoded(old, path)).encode()
    Flags.loads(new, str(path))
    if new == old:
        return False
    _replace(path, old, new)
    return True


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FlagsError("is not UTF-8", where=str(path)) from None


def _replace(path: Path, old: bytes, new: bytes) -> None:
    """Replace the file unless it has changed since it was read. If `path` is a link, its target is replaced."""
    target = Path(os.path.realpath(path))

    def require_unchanged() -> None:
        if read_regular(target, error=FlagsError) != old:
            raise FlagsError("was changed by another program meanwhile: try again", where=str(path))

    replace_files(
        {target: new}, lambda _, why: FlagsError(f"cannot be written: {why}", where=str(path)), require_unchanged
    )


# ------------------------------------------------------------------------------------------------------- the edit

_Step: TypeAlias = "tuple[tuple[str, ...], Value]"
_UNSET: Any = object()


def _applied(text: str, steps: Sequence[_Step], where: str) -> str:
    old = _data(text, where)
    steps = [(path, _in_place(path, _get(old, path), value)) for path, value in steps]
    steps = [(path, value) for path, value in steps if not _same(_get(old, path), value)]
    if not steps:
        return text
    steps += _new_serial(old)
    wanted = copy.deepcopy(old)
    for path, value in steps:
        _set(wanted, path, value)
    try:
        new = _put_all(text, steps)
        done = _data(new, where) == wanted
    except (FlagsError, ValueError, yaml.YAMLError):
        done = False
    if not done:
        raise FlagsError("cannot be edited in place as it is written: change it by hand", where=where)
    Flags.loads(new.encode(), where)
    return new


def _put_all(text: str, steps: Sequence[_Step]) -> str:
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    for path, value in steps:
        text = put(text, path, value, order=KEYS)
    return mark + text


def _data(text: str, where: str) -> Any:
    return strict_yaml.loads(text.encode(), where=where, error=FlagsError, require_end=True).data


def _new_serial(data: Mapping[str, Any]) -> list[_Step]:
    """Edit steps that raise the serial and remove `rollback_from`.

    The new serial is above both old numbers, because a router may have seen either of them.
    """
    leave: list[_Step] = [(("rollback_from",), None)] if "rollback_from" in data else []
    return [*leave, (("serial",), max(data["serial"], data.get("rollback_from", 0)) + 1)]


def _get(data: Any, path: Sequence[str]) -> Any:
    for step in path:
        if not isinstance(data, Mapping) or step not in data:
            return _UNSET
        data = data[step]
    return data


def _in_place(path: Sequence[str], now: Any, value: Value) -> Value:
    """The new list of names in an order that changes few lines: names that stay keep their order, added ones come last.

    Any value that is not a list of users, groups or globs is returned unchanged.
    """
    if not isinstance(now, list) or not isinstance(value, Sequence) or path[-1] not in _SETS:
        return value
    return [*(name for name in now if name in value), *(name for name in value if name not in now)]


def _same(now: Any, value: Value) -> bool:
    """Whether `value` means the same as `now`. A missing key means the same as null, false, 0 or an empty value."""
    return not value if now is _UNSET else bool(now == value)


def _set(data: dict[str, Any], path: Sequence[str], value: Value) -> None:
    for step in path[:-1]:
        inner = data.setdefault(step, {})
        if not isinstance(inner, dict):
            raise FlagsError(f"{step} holds no keys")
        data = inner
    if value is None:
        del data[path[-1]]
    else:
        data[path[-1]] = value
