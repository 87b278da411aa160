"""Check tool schemas, and arguments against them. No schema is fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .conversation import OfferedTool

_DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def is_schema(schema: Any) -> bool:
    """Whether a value is a JSON Schema of the newest draft or of draft 7."""
    from jsonschema_rs import meta

    if not isinstance(schema, Mapping):
        return False
    return any(meta.is_valid({**schema, **draft}) for draft in ({}, {"$schema": _DRAFT_7}))


def checker(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    """A function that tests arguments against a schema; an invalid schema allows everything."""
    import jsonschema_rs

    def refuse(uri: str) -> Any:
        raise ValueError(f"not fetched: {uri}")

    try:
        return jsonschema_rs.validator_for(dict(schema), retriever=refuse).is_valid
    except (ValueError, jsonschema_rs.ReferencingError):
        return lambda _: True


def offer(name: str, description: str | None, schema: Any) -> OfferedTool:
    """The tool as the model sees it; an invalid schema counts as an empty one."""
    return OfferedTool(name, description or "", schema if is_schema(schema) else {})
