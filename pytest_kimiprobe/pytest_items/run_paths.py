"""Divides the arguments of a run into names and paths, and limits the folders for which pytest loads a conftest.py.

The ids of packaged cases, schemas and recordings begin with a name, not a path: `kimiprobe/core.yaml::weather[...]`.
Every other argument is a path: pytest's own rules hold for it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Container, Iterable
from pathlib import Path

import pytest

from ..config import options

PACKAGED = "kimiprobe"
"""First part of packaged cases' ids: `kimiprobe/core.yaml::weather[...]`."""
RECORDED = "replay"
"""First part of the ids of rows in recordings: `replay/mine.jsonl::...`."""
SCHEMAS = "schemas"
"""First part of the ids of cases from `--kimiprobe-schemas`: `schemas/types.jsonl::line-1[...]`."""
_CASES = Path(__file__).resolve().parents[1] / "cases" / "packaged"


def limit_conftests(config: pytest.Config) -> None:
    """Unless the user names a path, let pytest load only the conftest.py files of `kimiprobe_paths`.

    Called before pytest loads any. Otherwise pytest would load those of the working directory and its `test*` folders,
    which may need libraries that a probe does not need. Setting `confcutdir` keeps pytest from loading those of the
    folders above the packaged cases, such as a repository that contains the virtual environment.
    """
    namespace = config.known_args_namespace
    if not all(_is_name(argument, config.invocation_params.dir) for argument in namespace.file_or_dir):
        return
    source: str = namespace.kimiprobe_source or options.value(config, "source")
    if own := config.getini("kimiprobe_paths"):
        namespace.file_or_dir = [str(path) for path in own]
    elif source.startswith("replay:"):
        namespace.file_or_dir = [source.removeprefix("replay:")]
    else:
        namespace.file_or_dir, namespace.confcutdir = [str(_CASES)], str(_CASES)


def divided(arguments: Iterable[str], known: Container[str], folder: Path) -> tuple[dict[str, set[str]], list[str]]:
    """Divide arguments into names, each with its selected parts after `::` (`""` selects all), and paths.

    An argument is a name if `known` contains it. It is also a name if it begins with `kimiprobe/` and `folder` has no
    such path.
    """
    names: dict[str, set[str]] = {}
    paths = []
    for argument in arguments:
        name, _, part = argument.partition("::")
        if name in known or (name.startswith(f"{PACKAGED}/") and _is_name(argument, folder)):
            names.setdefault(name, set()).add(part)
        else:
            paths.append(argument)
    return names, paths


def is_wanted(name: str, parts: Container[str]) -> bool:
    """Whether `parts` selects the probe `name`: by `""` (all), by the probe's own name, or by the name of its case."""
    return "" in parts or name in parts or name.partition("[")[0] in parts


def is_ignored(name: str, path: Path, config: pytest.Config) -> bool:
    """Whether `--ignore` or `--ignore-glob` matches a packaged file, by its name in ids or by its path."""
    here = config.invocation_params.dir
    named = here / name
    ignored = {here / given for given in config.getoption("ignore") or ()}
    globs = [str(here / given) for given in config.getoption("ignore_glob") or ()]
    return not ignored.isdisjoint({path, named, named.parent}) or any(
        fnmatch.fnmatch(str(named), glob) for glob in globs
    )


def _is_name(argument: str, folder: Path) -> bool:
    head = argument.partition("::")[0]
    return head.partition("/")[0] in {PACKAGED, RECORDED, SCHEMAS} and "/" in head and not (folder / head).exists()
