"""Error answers of the providers: status, headers and body, as in recordings and in the vendors' documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from string import Template
from typing import Any


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """An HTTP error answer of a provider. The checks of a request raise it, and the server sends it as the response."""

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
) -> Refusal:
    """The error answer of a provider for one kind of error in refusals.yaml.

    `model`, `upstream` and `detail` (the message for a bad request) are filled into the body. `status` is used if
    refusals.yaml fixes none for this kind. `retry_after_s` is sent as the Retry-After header.
    """
    code, body = _templates()[provider.removesuffix("-cn")][kind]
    values = {"model": model, "detail": detail, "upstream": upstream}
    headers = {"retry-after": str(retry_after_s)} if retry_after_s is not None else {}
    return Refusal(status if code == "$status" else code, _filled(body, values, status), headers)


@cache
def _templates() -> Mapping[str, Any]:
    import yaml

    text = resources.files(__package__).joinpath("refusals.yaml").read_text("utf-8")
    templates: Mapping[str, Any] = yaml.safe_load(text)
    return templates


def _filled(value: Any, values: Mapping[str, str], status: int) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, values, status) for key, inner in value.items()}
    if value == "$status":
        return status
    return Template(value).safe_substitute(values) if isinstance(value, str) else value


def error_event(provider: str, refused: Refusal) -> str:
    """The server-sent event with which a provider reports an error after a stream has begun."""
    body: Mapping[str, Any] = refused.body
    if provider == "groq":
        body = {"error": {**body["error"], "status_code": refused.status}}
    name = "event: error\n" if provider in ("groq", "anthropic") else ""
    return f"{name}data: {json.dumps(body, separators=(',', ':'))}\n\n"
