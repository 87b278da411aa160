"""Real and public data that lies beside the checkout; never copied into the project."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="shared data is absent")


@cache
def recorded() -> list[dict[str, Any]]:
    """Rows of recorded.jsonl; none where the data is absent."""
    path = DATA / "recorded.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
