"""How much work a reading is, counted and not timed: function calls, and characters that patterns and readers go over."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import routing.rescue
from routing.parsing import literals, strict_json

MODULES = [
    strict_json,
    literals,
    *(
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(routing.rescue.__path__, "routing.rescue.")
    ),
]
_MAKERS = ("anchors", "fence_end", "_or_native")
"""Functions that make patterns."""


class Work:
    """The work since `start`. Characters are those between where a pattern begins to look and where it stops."""

    def __init__(self) -> None:
        self.calls = self.characters = 0

    def of(self, read: Callable[[], object]) -> tuple[int, int]:
        """Function calls (Python's and C's) and characters of one reading."""
        self.calls = self.characters = 0
        sys.setprofile(self._count)
        try:
            read()
        finally:
            sys.setprofile(None)
        return self.calls, self.characters

    def _count(self, frame: Any, event: str, _: Any) -> None:
        if event in {"call", "c_call"} and frame.f_code.co_filename != __file__:
            self.calls += 1

    def loads(self, text: str, **options: Any) -> Any:
        """The strict reader, which goes over its whole text in C."""
        self.characters += len(text)
        return strict_json.loads(text, **options)


class Counted:
    """A pattern that tells `Work` how far it looked."""

    def __init__(self, pattern: re.Pattern[Any], work: Work) -> None:
        self._pattern, self._work = pattern, work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pattern, name)

    def _one(self, how: str, text: Any, at: int, *end: int) -> Any:
        found = getattr(self._pattern, how)(text, at, *end)
        stop = found.end() if found else min([len(text), *end]) if how == "search" else at + 1
        self._work.characters += max(1, stop - at)
        return found

    def search(self, text: Any, at: int = 0, *end: int) -> Any:
        return self._one("search", text, at, *end)

    def match(self, text: Any, at: int = 0, *end: int) -> Any:
        return self._one("match", text, at, *end)

    def fullmatch(self, text: Any, at: int = 0, *end: int) -> Any:
        return self._one("fullmatch", text, at, *end)

    def finditer(self, text: Any, at: int = 0, *end: int) -> Iterator[Any]:
        for found in self._pattern.finditer(text, at, *end):
            self._work.characters += max(1, found.end() - at)
            at = found.end()
            yield found

    def findall(self, text: Any, at: int = 0, *end: int) -> Any:
        self._work.characters += max(1, min([len(text), *end]) - at)
        return self._pattern.findall(text, at, *end)

    def sub(self, new: Any, text: Any) -> Any:
        self._work.characters += max(1, len(text))
        return self._pattern.sub(new, text)

    def split(self, text: Any) -> Any:
        self._work.characters += max(1, len(text))
        return self._pattern.split(text)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Every pattern of the reading, and the strict JSON reader, made to count."""
    counter = Work()
    for module in MODULES:
        for name, value in list(vars(module).items()):
            if isinstance(value, re.Pattern):
                monkeypatch.setattr(module, name, Counted(value, counter))
            elif isinstance(value, dict) and value and all(isinstance(item, re.Pattern) for item in value.values()):
                monkeypatch.setattr(module, name, {key: Counted(item, counter) for key, item in value.items()})
            elif name in _MAKERS:
                monkeypatch.setattr(module, name, _counting(value, counter))
            elif name == "loads" and module is not strict_json:
                monkeypatch.setattr(module, name, counter.loads)
    return counter


def _counting(make: Callable[..., re.Pattern[Any]], counter: Work) -> Callable[..., Counted]:
    def made(*given: Any, **named: Any) -> Counted:
        return Counted(make(*(getattr(one, "_pattern", one) for one in given), **named), counter)

    return made
