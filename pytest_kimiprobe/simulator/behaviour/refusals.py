"""The providers' error answers: status, headers and body, as in recordings and vendor documentation."""

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
    """An error answer. Checks raise it, and the server sends it."""

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
    """The provider's answer to one kind of error in refusals.yaml; `detail` is the sentence of a bad request."""
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
    """An error inside a stream that began well, as one server-sent event."""
    body: Mapping[str, Any] = refused.body
    if provider == "groq":
        body = {"error": {**body["error"], "status_code": refused.status}}
    name = "event: error\n" if provider in ("groq", "anthropic") else ""
    return f"{name}data: {json.dumps(body, separators=(',', ':'))}\n\n"
