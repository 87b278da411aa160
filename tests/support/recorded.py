"""Samples as a run records them, made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_kimiprobe.engine.capture import CapturedExchange, CapturedRequest
from pytest_kimiprobe.recording.samples import Sample

URL = "https://api.moonshot.ai/v1/chat/completions"
ENDPOINT = "moonshot/kimi-k2.6"
ANSWER = b'{"choices":[{"message":{"content":"hi"}}]}'


def a_step(body: bytes = ANSWER, *, asked: bytes = b'{"model":"kimi-k2.6"}', status: int = 200) -> CapturedRequest:
    """One request and its answer."""
    kind = {"content-type": "application/json"}
    return CapturedRequest("POST", URL, kind, asked, status, kind, body)


def a_sample(
    case: str = "weather", *, mode: str = "plain", repeat: int = 1, load: str = "mixed", **more: Any
) -> Sample:
    """One probe of a packaged case."""
    endpoint = more.pop("endpoint", ENDPOINT)
    crowd = "-crowd" if load == "crowd" else ""
    made = Sample(
        id=f"kimiprobe/core.yaml::{case}[{endpoint}-{mode}-{repeat}{crowd}]",
        case=case,
        endpoint=endpoint,
        mode=mode,
        repeat=repeat,
        load=load,
        asked="0123456789abcdef",
        run="run1",
        attempt=1,
        source="simulator",
        kimiprobe="0.1.0",
        captured=CapturedExchange((a_step(),)),
    )
    return replace(made, **more)
