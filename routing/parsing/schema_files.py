"""Our own YAML files: parsed strictly, then held against their packaged JSON Schema, errors with file, line and column."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from ..errors import ConfigError
from . import strict_yaml


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

    Raises `error` with `file:line:column: path: what is wrong`; the first violation is told.
    """
    document = strict_yaml.loads(data, where=where, error=error, require_end=require_end)
    for violation in _validator(package, schema).iter_errors(document.data):
        path = list(violation.instance_path)
        dotted = ".".join(map(str, path)) or "the file"
        raise error(f"{dotted}: {violation.message}", where=document.at(path))
    return document


@functools.cache
def _validator(package: str, schema: str) -> Any:
    import jsonschema_rs

    return jsonschema_rs.Draft7Validator(json.loads((resources.files(package) / schema).read_text("utf-8")))
