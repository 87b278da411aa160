"""flags.yaml: the model, its validation, and the source that keeps the last good file."""

from __future__ import annotations

from .model import Flag, Flags
from .source import FlagsSource, find_flags

__all__ = ["Flag", "Flags", "FlagsSource", "find_flags"]
