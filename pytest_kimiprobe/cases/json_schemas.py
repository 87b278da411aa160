"""Cases from JSON Schemas: each line of a `.jsonl` file is a schema, and its case offers a tool with these parameters.

Intended for Moonshot's validator cases (github.com/MoonshotAI/walle, testdata/validator_cases), which are not copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from routing.parsing.safe_read import read_regular
from routing.parsing.strict_json import StrictJsonError, loads
from routing.schema import ToolSet
from routing.types import JsonObject, Tool

from .model import Case, CaseError, Expectation, ExpectedCall

TOOL = "submit_value"
_LONGEST = 1 << 16
"""Maximum length of one line, that is, of one schema, in characters."""
_MOST = 64 << 20
"""Maximum bytes of one file."""
_LARGEST = 4096
"""Largest `minLength`, `minItems` or `minProperties` that an answer can satisfy within its tokens."""
_PROMPT = (
    f"Call the tool {TOOL} exactly once. Choose arguments of your own that satisfy its JSON Schema; do not ask back "
    "and do not write anything else."
)


def files(folder: Path) -> list[Path]:
    """All `.jsonl` files below a folder, sorted. Raises CaseError if there are none."""
    found = sorted(folder.rglob("*.jsonl")) if folder.is_dir() else []
    if not found:
        raise CaseError("no folder with .jsonl files of schemas", where=str(folder))
    return found


def load(path: Path) -> list[Case]:
    """One case for each line. If its schema is unusable, `unusable` says why. Raises CaseError with file and line."""
    try:
        lines = read_regular(path, error=CaseError, max_bytes=_MOST).decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise CaseError("is not UTF-8", where=str(path)) from None
    return list(_cases(lines, path))


def _cases(lines: list[str], path: Path) -> Iterator[Case]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            schema = loads(line) if len(line) <= _LONGEST else None
        except StrictJsonError as error:
            raise CaseError(f"not JSON: {error}", where=f"{path}:{number}:1") from None
        if not isinstance(schema, dict):
            raise CaseError(f"a line holds one JSON object of at most {_LONGEST} bytes", where=f"{path}:{number}:1")
        yield _case(schema, f"line-{number}", path)


def _case(schema: JsonObject, name: str, path: Path) -> Case:
    tool: Tool = {
        "type": "function",
        "function": {"name": TOOL, "description": "Submit a value.", "parameters": _parameters(schema)},
    }
    problems = ToolSet.of([tool]).problems
    unusable = problems[0].reason if problems else _too_long(schema)
    return Case(
        name=name,
        messages=[{"role": "user", "content": _PROMPT}],
        expect=Expectation(calls=(ExpectedCall(TOOL),)),
        tools=[tool],
        suite="full",
        tests=f"arguments satisfy the schema of {path.parent.name}, line {name.rpartition('-')[2]}",
        why="hosts differ most in what they make of a tool's schema",
        seen="https://github.com/MoonshotAI/walle",
        unusable=unusable,
    )


def _too_long(schema: JsonObject) -> str:
    """Which minimum of the schema is too large for the tokens of an answer (`_LARGEST`); empty if none is."""
    todo: list[Any] = [schema]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            for key in ("minLength", "minItems", "minProperties"):
                if isinstance(item.get(key), int) and item[key] > _LARGEST:
                    return f"{key} {item[key]} asks for more than an answer may hold"
        todo += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return ""


def _parameters(schema: JsonObject) -> JsonObject:
    """The schema itself if it describes an object. Otherwise an object schema with the required member `value`."""
    if schema.get("type", "object") == "object" and ("properties" in schema or "type" in schema):
        return {"type": "object", **schema}
    around = ("$defs", "definitions", "$schema")
    inner = {key: value for key, value in schema.items() if key not in around}
    lifted = {key: schema[key] for key in around if key in schema}
    return {"type": "object", "properties": {"value": inner}, "required": ["value"], **lifted}
