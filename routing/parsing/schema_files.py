"""Our own YAML files: parsed strictly and checked against a packaged JSON Schema; errors name file and line."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from ..errors import ConfigError
from . import strict_yaml

_SHOWN = 60


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


def violations(data: Any, schema: str, package: str) -> Iterator[tuple[list[str | int], str]]:
    """Path and message of each violation of the schema file `schema` of `package`."""
    known_schema, validator = _loaded(package, schema)
    for violation in validator.iter_errors(data):
        path = list(violation.instance_path)
        if violation.schema_path[-1] == "additionalProperties":
            known = node_at(known_schema, violation.schema_path[:-1]).get("properties", {})
            unknown = next(key for key in violation.instance if key not in known)
            yield [*path, unknown], unknown_key(unknown, known)
        else:
            yield path, violation.message


def unknown_key(key: str, known: Mapping[str, Any]) -> str:
    """The message about a key that the schema does not have, with the nearest one that it has."""
    close = difflib.get_close_matches(key[:_SHOWN], known, n=1)
    return "unknown key" + (f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}")


def node_at(schema: Mapping[str, Any], steps: Sequence[str | int]) -> Any:
    """The part of a schema at a path; some releases of jsonschema_rs report the path through `$ref`, some its end."""
    node: Any = schema
    for step in steps:
        node = schema["definitions"][node["$ref"].rpartition("/")[2]] if step == "$ref" else node[step]
    return node


@functools.cache
def _loaded(package: str, schema: str) -> tuple[dict[str, Any], Any]:
    import jsonschema_rs

    data = json.loads((resources.files(package) / schema).read_text("utf-8"))
    return data, jsonschema_rs.Draft7Validator(data)
