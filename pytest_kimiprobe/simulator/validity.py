"""Check whether tool schemas are valid, and whether arguments satisfy a schema.

A schema that another schema refers to by URL is not fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .conversation import OfferedTool

_DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def is_schema(schema: Any) -> bool:
    """Whether a value is an object that is a valid JSON Schema.

    The draft is the one that `$schema` names, by default the newest. A schema that is valid in draft 7 counts too.
    """
    from jsonschema_rs import meta

    if not isinstance(schema, Mapping):
        return False
    return any(meta.is_valid({**schema, **draft}) for draft in ({}, {"$schema": _DRAFT_7}))


def checker(schema: Mapping[str, Any], *, formats: bool = False) -> Callable[[Any], bool]:
    """A function that returns whether a value satisfies `schema`, and its formats too if `formats` is true.

    If the schema is invalid, or refers to another one that is not part of it, the function returns True for everything.
    """
    import jsonschema_rs

    def refuse(uri: str) -> Any:
        raise ValueError(f"not fetched: {uri}")

    try:
        return jsonschema_rs.validator_for(dict(schema), retriever=refuse, validate_formats=formats).is_valid
    except (ValueError, jsonschema_rs.ReferencingError):
        return lambda _: True


def offer(name: str, description: str | None, schema: Any) -> OfferedTool:
    """The offered tool with these values. An invalid `schema` is replaced by an empty one, which allows everything."""
    return OfferedTool(name, description or "", schema if is_schema(schema) else {})
