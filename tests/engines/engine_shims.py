"""Runs in the environment of the engines: lets a parser's file be imported without the engine around it.

Packages are entered without running their `__init__`, and what a parser imports for other purposes (guided decoding,
types of the server) is stood in for by empty classes. Nothing of a parser itself is replaced.
"""

from __future__ import annotations

import ast
import importlib
import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class Unused:
    """Stands where a class is imported and not needed to parse."""


class Record:
    """A plain holder of fields, as the parsers fill and read them."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None

    def model_dump_json(self) -> str:
        return json.dumps(self, default=vars)

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if value is not None}


class _Stand(ModuleType):
    """A module whose every name is there; those given keep their value."""

    def __init__(self, name: str, names: dict[str, Any]) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Unused,), {})


def stand(*modules: str, **names: Any) -> None:
    """Put stand-ins in the place of modules, each with these names."""
    for module in modules:
        sys.modules[module] = _Stand(module, names)


def enter(package: str, root: Path) -> None:
    """Make a package importable part by part, without running its `__init__`."""
    module = ModuleType(package)
    module.__path__ = [str(root.joinpath(*package.split(".")))]
    sys.modules[package] = module


def load(module: str) -> Any:
    """The module itself, as published."""
    return importlib.import_module(module)


def definitions(path: Path, *names: str, **given: Any) -> dict[str, Any]:
    """Some classes, functions and methods (`Class.method`) of a file whose imports need a GPU, as they stand there.

    `given` is what they use besides; annotations are not evaluated.
    """
    tree = ast.parse(path.read_text("utf-8"))
    inside = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found: dict[str, ast.stmt] = {f"{own.name}.{node.name}": node for own in inside for node in _functions(own.body)}
    found |= {node.name: node for node in inside}
    found |= {node.name: node for node in _functions(tree.body)}
    kept = ast.Module([found[name] for name in names], [])
    space: dict[str, Any] = dict(given)
    exec(compile(kept, str(path), "exec", flags=annotations.compiler_flag), space)
    return space


def _functions(body: list[ast.stmt]) -> list[ast.FunctionDef]:
    return [node for node in body if isinstance(node, ast.FunctionDef)]


def quiet() -> None:
    """The engines log to standard error; what counts is what they return."""
    logging.disable(logging.CRITICAL)
