"""The `kimiprobe_*` settings of a repository, read from pytest's configuration files without pytest."""

from __future__ import annotations

import configparser
import shlex
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from routing.errors import ConfigError

_PREFIX = "kimiprobe_"


def repository_settings(folder: Path) -> tuple[Path, dict[str, str]]:
    """The root folder of a repository and its `kimiprobe_*` settings, from the file that pytest would choose.

    Raises ConfigError for a file that cannot be read.
    """
    above = [folder, *folder.parents]
    for root in above:
        for name in _FILES:
            found = settings_of(root / name) if (root / name).is_file() else None
            if found is not None:
                return root, found
    marks = (root for mark in ("pyproject.toml", "setup.py") for root in above if (root / mark).is_file())
    return next(marks, folder), {}


def settings_of(file: Path) -> dict[str, str] | None:
    """The `kimiprobe_*` settings of a configuration file of pytest; None if it has no section for pytest.

    A file of another name, which `-c` may name, is read as TOML. Raises ConfigError for a file that cannot be read.
    """
    read = _FILES.get(file.name, _any_toml)
    try:
        found = read(file.read_text("utf-8"))
    except (OSError, ValueError, configparser.Error) as error:
        raise ConfigError(str(error), where=str(file)) from None
    if found is None:
        return None
    return {key: _text(key, found[key], file.parent) for key in found if key.startswith(_PREFIX)}


def _text(name: str, value: Any, root: Path) -> str:
    """Text of a setting for `-o NAME=VALUE`. Paths are relative to the file."""
    if name == "kimiprobe_paths":
        paths = value if isinstance(value, list) else shlex.split(value)
        return shlex.join(str(root / path) for path in paths)
    if isinstance(value, list):
        return (shlex.join if name == "kimiprobe_files" else " ".join)(map(str, value))
    return str(value)


def _ini(text: str) -> Mapping[str, Any] | None:
    return _section(text, "pytest")


def _section(text: str, name: str) -> Mapping[str, Any] | None:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True, default_section="")
    parser.read_string(text)
    return dict(parser[name]) if parser.has_section(name) else None


def _toml(text: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = tomllib.loads(text).get("pytest", {})
    return found


def _pyproject(text: str) -> Mapping[str, Any] | None:
    tool = tomllib.loads(text).get("tool", {}).get("pytest", {})
    native = {name: value for name, value in tool.items() if name != "ini_options"}
    found: Mapping[str, Any] | None = native or tool.get("ini_options")
    return found


def _any_toml(text: str) -> Mapping[str, Any] | None:
    return _toml(text) or _pyproject(text)


_FILES: Mapping[str, Callable[[str], Mapping[str, Any] | None]] = {
    "pytest.toml": _toml,
    ".pytest.toml": _toml,
    "pytest.ini": lambda text: _ini(text) or {},
    ".pytest.ini": lambda text: _ini(text) or {},
    "pyproject.toml": _pyproject,
    "tox.ini": _ini,
    "setup.cfg": lambda text: _section(text, "tool:pytest"),
}
"""pytest's configuration files in its order. The first that has a section for pytest is read."""
