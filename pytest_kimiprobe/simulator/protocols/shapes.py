"""Check that a request is JSON and satisfies the JSON Schema of its protocol. Later code can rely on the types."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from ..behaviour.refusals import refusal
from ..conversation import JsonObject

_SHOWN = 120


def parse_body(provider: str, raw: bytes, protocol: str = "") -> JsonObject:
    """Parse the body of a request, which must be a JSON object.

    `protocol` names the protocol's schema in shapes.yaml; by default it follows from the provider. Raises Refusal with
    the provider's error answer if the body is not a JSON object, or breaks that schema.
    """
    try:
        body = json.loads(raw)
        json.dumps(body, ensure_ascii=False).encode()  # JSON can write lone surrogates, which no answer can quote
    except (ValueError, RecursionError):
        raise refusal(provider, "bad_request", detail="We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise refusal(provider, "bad_request", detail="The request body must be a JSON object.")
    for error in _validator(protocol or (provider if provider in ("anthropic", "replicate") else "openai")).iter_errors(
        body
    ):
        where = ".".join(map(str, error.instance_path)) or "body"
        what = error.message if len(error.message) <= _SHOWN else f"{error.message[:_SHOWN]}..."
        raise refusal(provider, "bad_request", detail=f"{where}: {what}")
    return body


@cache
def _validator(protocol: str) -> Any:
    import jsonschema_rs
    import yaml

    shapes = yaml.safe_load(resources.files(__package__).joinpath("shapes.yaml").read_text("utf-8"))
    return jsonschema_rs.validator_for(shapes[protocol])
