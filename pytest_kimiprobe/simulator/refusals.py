"""How each provider words its errors: status, headers and body, as seen in recordings and vendor documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from string import Template
from typing import Any


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """An answer that is an error. Raised by checks, rendered by the server."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(
    provider: str,
    kind: str,
    *,
    model: str = "",
    detail: str = "",
    upstream: str = "",
    status: int = 500,
    retry_after_s: int | None = None,
) -> Refused:
    """The provider's own words for one kind of error in refusals.yaml; `detail` is the sentence of a bad request."""
    code, body = _words()[provider.removesuffix("-cn")][kind]
    said = {"model": model, "detail": detail, "upstream": upstream}
    headers = {"retry-after": str(retry_after_s)} if retry_after_s is not None else {}
    return Refused(status if code == "$status" else code, _filled(body, said, status), headers)


@cache
def _words() -> Mapping[str, Any]:
    import yaml

    words: Mapping[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("refusals.yaml").read_text("utf-8"))
    return words


def _filled(value: Any, said: Mapping[str, str], status: int) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, said, status) for key, inner in value.items()}
    if value == "$status":
        return status
    return Template(value).safe_substitute(said) if isinstance(value, str) else value


def error_event(provider: str, refused: Refused) -> str:
    """An error inside a stream that began well, as server-sent events."""
    if provider == "groq":
        error = {**refused.body["error"], "status_code": refused.status}
        return f"event: error\ndata: {json.dumps({'error': error}, separators=(',', ':'))}\n\n"
    body = json.dumps(refused.body, separators=(",", ":"))
    return f"event: error\ndata: {body}\n\n" if provider == "anthropic" else f"data: {body}\n\n"
