"""Flags files that the tests of flags.yaml share, and the message with which one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing.errors import FlagsError
from routing.flags.model import Flags

ROOT = Path(__file__).resolve().parents[2]
FLAG = "openrouter_kimi_tool_calling"

HEAD = """\
version: 1
serial: 41
environment: production
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
"""
RICH = (ROOT / "tests" / "vectors" / "flags_rich.yaml").read_bytes()


def one_flag(body: str = "", *, enabled: bool = True, percent: int = 100, head: str = HEAD) -> bytes:
    """A file with one flag; `body` are further lines of it, indented by four."""
    return (
        f"{head}flags:\n  {FLAG}:\n    description: d\n    owner: o\n    controls: [openrouter/moonshotai/kimi-*]\n"
        f"    enabled: {str(enabled).lower()}\n    percent: {percent}\n{body}...\n"
    ).encode()


def refusal(data: bytes) -> str:
    """The message with which a file named `f` is refused."""
    with pytest.raises(FlagsError) as caught:
        Flags.loads(data, "f")
    return str(caught.value)
