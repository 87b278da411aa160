"""The import name `routing` is common: whether the one that Python finds is ours."""

from __future__ import annotations

import importlib

DISTRIBUTION = "pytest-kimiprobe"


def intruder() -> str:
    """Path of another `routing` that stands before ours on `sys.path`; empty where ours is found."""
    try:
        found = importlib.import_module("routing")
    except ImportError as error:
        return f"(no `routing` can be imported: {error})"
    if getattr(found, "DISTRIBUTION", None) == DISTRIBUTION:
        return ""
    return str(getattr(found, "__file__", None) or list(getattr(found, "__path__", [])))


def complaint(path: str) -> str:
    """What a user is told."""
    return (
        f"another package or file named `routing` is in the way: {path}. kimiprobe needs that import name: rename it, "
        "uninstall it, or run from another folder"
    )
