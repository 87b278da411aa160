"""Checks that `import routing` finds the package of this distribution; other packages use the same name."""

from __future__ import annotations

import importlib

DISTRIBUTION = "pytest-kimiprobe"
LIBRARIES = {"github": ("pygithub", "github"), "record": ("vcrpy", "vcr")}
"""Extra of the distribution → the name of its library in package indexes, and the top-level module of that library."""


def intruder() -> str:
    """Path of another `routing` that comes before ours on `sys.path`; empty if ours is found."""
    try:
        found = importlib.import_module("routing")
    except ImportError as error:
        return f"(no `routing` can be imported: {error})"
    if getattr(found, "DISTRIBUTION", None) == DISTRIBUTION:
        return ""
    return str(getattr(found, "__file__", None) or list(getattr(found, "__path__", [])))


def complaint(path: str) -> str:
    """Message for the user about another `routing`."""
    return (
        f"another package or file named `routing` is in the way: {path}. kimiprobe needs that import name: rename it, "
        "uninstall it, or run from another folder"
    )


def install_hint(extra: str) -> str:
    """The command that installs the missing library of an extra; it works from any index or mirror."""
    return f"pip install {LIBRARIES[extra][0]} (the extra `{extra}` of {DISTRIBUTION})"
