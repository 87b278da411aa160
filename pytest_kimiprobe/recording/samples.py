"""Recorded probes in vcrpy cassettes: exchanges as interactions, and the facts that judging needs as metadata.

    metadata: {kimiprobe: {version, case, endpoint, samples: [{id, mode, repeat, load, interactions, total_ms, ...}]}}

`interactions` is the number of entries in the cassette's list that belong to a sample, in order. It is 0 if no answer
came back, and more than 1 if an answer was polled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from routing.redaction import escaped
from routing.types import ChatRequest, JsonObject
from routing.wire.json_fields import money

from ..engine.capture import CapturedExchange, CapturedFailure, CapturedRequest
from .cassettes import Unreadable, as_mapping, as_text, step_of

VERSION = 1
_SIDES = ("request", "answer")
_PHASES = ("connect", "send", "headers", "body", "parse", "verify")
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Sample:
    """One recorded probe.

    `asked` is the fingerprint of its request (`request_fingerprint`). `kimiprobe` is the release that recorded it.
    `verdict` and `reason` are those of that release. Times are in milliseconds, as in an Exchange and an Outcome.
    """

    id: str
    case: str
    endpoint: str
    mode: str
    repeat: int
    load: str
    asked: str
    run: str
    attempt: int
    source: str
    kimiprobe: str
    captured: CapturedExchange
    verdict: str = ""
    reason: str = ""
    first_token_ms: float | None = None
    total_ms: float = 0.0
    late_ms: float = 0.0
    at_once: int = 0
    refusals: int = 0
    cost_usd: Decimal | None = None
    cost_origin: str = "unknown"

    @property
    def order(self) -> tuple[str, str, str, int]:
        """Sort key of the samples in a cassette: case file, mode, load, repeat."""
        return self.id.partition("::")[0], self.mode, self.load, self.repeat


def request_fingerprint(request: ChatRequest) -> str:
    """Short fingerprint of a request. A replay uses it to check that the case still sends the same request."""
    fields = {name: value for name, value in asdict(request).items() if value not in (None, (), [], False)}
    return sha256(json.dumps(fields, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def cassette(samples: Sequence[Sample]) -> str:
    """Text of the cassette of one case and endpoint, in vcrpy's format: samples in order, keys sorted."""
    from vcr.request import Request  # type: ignore[import-untyped]
    from vcr.serialize import serialize  # type: ignore[import-untyped]
    from vcr.serializers import yamlserializer  # type: ignore[import-untyped]

    ordered = sorted(samples, key=lambda sample: sample.order)
    steps = [step for sample in ordered for step in sample.captured.steps]
    about = {"version": VERSION, "case": _writable(ordered[0].case), "endpoint": _writable(ordered[0].endpoint)}
    data = {
        "requests": [Request(step.method, step.url, step.content, dict(step.headers)) for step in steps],
        "responses": [_response(step) for step in steps],
        "metadata": {"kimiprobe": about | {"samples": [_row(sample) for sample in ordered]}},
    }
    return str(serialize(data, yamlserializer))


def samples_of(document: Any) -> list[Sample] | None:
    """The samples of a parsed cassette; None if kimiprobe did not write it. Raises Unreadable."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    about = metadata.get("kimiprobe") if isinstance(metadata, dict) else None
    if not isinstance(about, dict):
        return None
    if about.get("version") != VERSION:
        versions = f"version {str(about.get('version'))[:20]!r}; this release reads version {VERSION}"
        raise Unreadable(f"metadata.kimiprobe: {versions}: upgrade pytest-kimiprobe")
    rows, interactions = _list(about, "samples"), _list(document, "interactions")
    case, endpoint = (_plain(as_text(about.get(name), name), name) for name in ("case", "endpoint"))
    found, used = [], 0
    for each in rows:
        row = as_mapping(each, "a sample")
        count = _whole(row, "interactions")
        if used + count > len(interactions):
            raise Unreadable("metadata.kimiprobe: lists more interactions than there are")
        found.append(_sample(row, case, endpoint, interactions[used : used + count]))
        used += count
    if used != len(interactions):
        raise Unreadable("metadata.kimiprobe: lists fewer interactions than there are")
    return found


def _response(step: CapturedRequest) -> JsonObject:
    known = {status.value: status.phrase for status in HTTPStatus}
    return {
        "status": {"code": step.status, "message": known.get(step.status, "")},
        "headers": {name: [value] for name, value in step.answer_headers.items()},
        "body": {"string": step.body},
    }


def _writable(name: str) -> str:
    """The name with lone surrogates escaped, because UTF-8 cannot encode them."""
    return name.encode("utf-8", "backslashreplace").decode()


def _row(sample: Sample) -> JsonObject:
    row: JsonObject = {name: getattr(sample, name) for name in _READERS}
    row["id"] = _writable(sample.id)
    row |= {name: round(row[name], 6) for name in ("first_token_ms", "total_ms", "late_ms") if row[name] is not None}
    row["interactions"] = len(sample.captured.steps)
    row["cost_usd"] = None if sample.cost_usd is None else str(sample.cost_usd)
    if sample.captured.broken is not None:
        row["broken"] = asdict(sample.captured.broken)
    if not sample.captured.whole:
        row["whole"] = False
    return row


def _sample(row: Mapping[str, Any], case: str, endpoint: str, interactions: Sequence[Any]) -> Sample:
    captured = CapturedExchange(
        tuple(map(step_of, interactions)), _broken(row.get("broken")), row.get("whole") is not False
    )
    read = {name: reader(row, name) for name, reader in _READERS.items()}
    known = {name: value for name, value in read.items() if value is not None}
    return Sample(case=case, endpoint=endpoint, captured=captured, **known)


def _broken(row: Any) -> CapturedFailure | None:
    if row is None:
        return None
    row = as_mapping(row, "broken")
    return CapturedFailure(
        _short(row, "reason"),
        _short(row, "detail"),
        _one_of(row, "phase", _PHASES),
        row.get("retryable") is True,
        _one_of(row, "side", _SIDES),
    )


def _list(row: Mapping[str, Any], field: str) -> list[Any]:
    value = row.get(field)
    if not isinstance(value, list):
        raise Unreadable(f"{field} must be a list")
    return value


def _one_of(row: Mapping[str, Any], field: str, allowed: Sequence[str]) -> Any:
    value = row.get(field)
    if value not in allowed:
        raise Unreadable(f"{field} must be one of {', '.join(allowed)}")
    return value


def _short(row: Mapping[str, Any], field: str) -> str:
    """The short text of a field. A number is accepted too, because YAML reads unquoted digits as one."""
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > _LONGEST:
        raise Unreadable(f"{field} must be a short text")
    return _plain(str(value), field)


def _plain(text: str, field: str) -> str:
    """The text, if ids and reports may contain it. Raises Unreadable if it has control characters."""
    if escaped(text) != text:
        raise Unreadable(f"{field} holds control characters")
    return text


def _whole(row: Mapping[str, Any], field: str) -> int:
    value = row.get(field)
    if type(value) is not int or not 0 <= value <= 1_000_000:
        raise Unreadable(f"{field} must be a whole number")
    return value


def _number(row: Mapping[str, Any], field: str) -> float | None:
    """The milliseconds of a field; None if it is empty. The cassette reader returns decimal numbers as text."""
    value = row.get(field)
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, str | int) else math.nan
    except ValueError:
        number = math.nan
    if not 0 <= number < 1e9:
        raise Unreadable(f"{field} must be a number of milliseconds")
    return number


def _money(row: Mapping[str, Any], field: str) -> Decimal | None:
    amount = money(row.get(field))
    if amount is None and row.get(field) is not None:
        raise Unreadable(f"{field} must be an amount of USD")
    return amount


_READERS: Mapping[str, Callable[[Mapping[str, Any], str], Any]] = {
    **dict.fromkeys(("id", "asked", "run", "source", "kimiprobe", "verdict", "reason"), _short),
    **dict.fromkeys(("repeat", "attempt", "at_once", "refusals"), _whole),
    **dict.fromkeys(("first_token_ms", "total_ms", "late_ms"), _number),
    "mode": partial(_one_of, allowed=("plain", "stream")),
    "load": partial(_one_of, allowed=("mixed", "alone", "crowd")),
    "cost_origin": partial(_one_of, allowed=("reported", "catalog", "unknown")),
    "cost_usd": _money,
}
"""Fields of a sample that its row in the metadata holds, each with the function that reads it."""
