"""Reads the project's YAML files: parses them strictly and checks them against a packaged JSON Schema.

Errors name file and line.
"""

from __future__ import annotations

import difflib
import functools
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from ..errors import ConfigError
from . import strict_yaml

_SHOWN = 60
_MASK = "\ufffc"
"""Placeholder for the wrong value in the validator's messages. It is replaced by the value's short form."""


def load_checked(
    data: bytes,
    schema: str,
    *,
    where: str,
    error: type[ConfigError],
    package: str,
    require_end: bool = False,
) -> strict_yaml.Document:
    """Parse `data` and check it against the schema file `schema` of `package`.

    Raises `error` with `file:line:column: path: what is wrong` for the first violation. `require_end` is that of
    `strict_yaml.loads`.
    """
    document = strict_yaml.loads(data, where=where, error=error, require_end=require_end)
    for path, message in violations(document.data, schema, package):
        dotted = ".".join(map(str, path)) or "the file"
        raise error(f"{dotted}: {message}", where=document.at(path))
    return document


def converted(row: Mapping[str, Any], how: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """A copy of `row` in which each value whose key is in `how` is converted by that key's function."""
    return {key: how[key](value) if key in how else value for key, value in row.items()}


def violations(data: Any, schema: str, package: str) -> Iterator[tuple[list[str | int], str]]:
    """Each violation by `data` of the schema file `schema` of `package`, as its path and a message."""
    known_schema, validator = loaded(package, schema)
    later: list[tuple[list[str | int], str]] = []  # an unknown key is often why another is missing
    for violation in validator.iter_errors(data):
        path, value, keyword = list(violation.instance_path), violation.instance, violation.schema_path[-1]
        node: Any = functools.reduce(operator.getitem, violation.schema_path[:-1], known_schema)
        if keyword == "additionalProperties":
            known = node.get("properties", {})
            yield from (([*path, key], _unknown_key(key, known)) for key in value if key not in known)
        elif keyword == "enum":  # the validator names three values at most
            yield path, f"{shown(value)} is not one of {_alternatives(node['enum'])}"
        elif keyword == "oneOf" and "title" in node:
            later.append((path, node["title"]))
        elif keyword == "required":
            later.append((path, violation.message.replace(_MASK, shown(value))))
        elif keyword in {"anyOf", "pattern"} and "title" in node:
            yield path, f"{shown(value)} is not {node['title']}"
        else:
            quote = keyword == "type" and node["type"] == "string" and isinstance(value, int)
            yield path, violation.message.replace(_MASK, shown(value)) + (": put it in quotes" if quote else "")
    yield from later


def _alternatives(values: Sequence[Any]) -> str:
    *others, last = map(json.dumps, values)
    return f"{', '.join(others)} or {last}" if others else last


def shown(value: Any) -> str:
    """The value as JSON, escaped and cut to 60 characters, for use in a message."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _unknown_key(key: str, known: Mapping[str, Any]) -> str:
    """The message about a key that the schema does not have: it names the most similar known key, or all known keys."""
    close = difflib.get_close_matches(key[:_SHOWN], known, n=1)
    return "unknown key" + (f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}")


@functools.cache
def loaded(package: str, schema: str) -> tuple[dict[str, Any], Any]:
    """The schema file `schema` of `package`, and its validator.

    The validator does not check the names of keys (`propertyNames`) in the mappings at the top level.
    """
    import jsonschema_rs

    data = json.loads((resources.files(package) / schema).read_text("utf-8"))
    # An error about a name holds a copy of the whole mapping, so that a file of many names would fill the memory.
    nodes = data["properties"].items()
    checked = {name: {key: value for key, value in node.items() if key != "propertyNames"} for name, node in nodes}
    # The linear engine: no value can make a pattern run long.
    engine = jsonschema_rs.RegexOptions()
    return data, jsonschema_rs.Draft7Validator({**data, "properties": checked}, mask=_MASK, pattern_options=engine)
