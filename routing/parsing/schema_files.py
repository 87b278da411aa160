"""Our own YAML files: parsed strictly and checked against a packaged JSON Schema; errors name file and line."""

from __future__ import annotations

import difflib
import functools
import json
import operator
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from typing import Any

from ..errors import ConfigError
from . import strict_yaml

_SHOWN = 60
_MASK = "\ufffc"
"""The wrong value in the messages of the validator, until its short form replaces it."""


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

    Raises `error` with `file:line:column: path: what is wrong` for the first violation.
    """
    document = strict_yaml.loads(data, where=where, error=error, require_end=require_end)
    for path, message in violations(document.data, schema, package):
        dotted = ".".join(map(str, path)) or "the file"
        raise error(f"{dotted}: {message}", where=document.at(path))
    return document


def converted(row: Mapping[str, Any], how: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The row of a checked file with the values of some keys converted."""
    return {key: how[key](value) if key in how else value for key, value in row.items()}


def violations(data: Any, schema: str, package: str) -> Iterator[tuple[list[str | int], str]]:
    """Path and message of each violation of the schema file `schema` of `package`."""
    known_schema, validator = loaded(package, schema)
    for violation in validator.iter_errors(data):
        path, value, keyword = list(violation.instance_path), violation.instance, violation.schema_path[-1]
        node: Any = functools.reduce(operator.getitem, violation.schema_path[:-1], known_schema)
        if keyword == "additionalProperties":
            known = node.get("properties", {})
            yield from (([*path, key], _unknown_key(key, known)) for key in value if key not in known)
        elif keyword == "pattern" and "title" in node:
            yield path, f"{shown(value)} is not {node['title']}"
        else:
            quote = keyword == "type" and node["type"] == "string" and isinstance(value, int)
            yield path, violation.message.replace(_MASK, shown(value)) + (": put it in quotes" if quote else "")


def shown(value: Any) -> str:
    """A value of a file as a message may show it: JSON, escaped and short."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _unknown_key(key: str, known: Mapping[str, Any]) -> str:
    """The message about a key that the schema does not have, with the nearest one that it has."""
    close = difflib.get_close_matches(key[:_SHOWN], known, n=1)
    return "unknown key" + (f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}")


@functools.cache
def loaded(package: str, schema: str) -> tuple[dict[str, Any], Any]:
    """A packaged schema, and its validator. The validator leaves out the names of the keys at the top level."""
    import jsonschema_rs

    data = json.loads((resources.files(package) / schema).read_text("utf-8"))
    # An error about a name holds a copy of the whole mapping, so that a file of many names would fill the memory.
    nodes = data["properties"].items()
    checked = {name: {key: value for key, value in node.items() if key != "propertyNames"} for name, node in nodes}
    # The linear engine: no value can make a pattern run long.
    engine = jsonschema_rs.RegexOptions()
    return data, jsonschema_rs.Draft7Validator({**data, "properties": checked}, mask=_MASK, pattern_options=engine)
