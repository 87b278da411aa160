"""Strict JSON against every case of the public JSONTestSuite: y_ accepted, n_ refused, i_ as decided here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from routing.errors import ProviderFailure
from routing.parsing.strict_json import StrictJsonError, loads
from routing.wire import openai_answer as openai

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "json_test_suite.json").read_text("utf-8"))["cases"]
LONG = {
    "n_structure_100000_opening_arrays": "[" * 100_000,
    "n_structure_open_array_object": '[{"":' * 50_000 + "\n",
}
TEXTS: dict[str, str] = {name: text for name, text in VECTORS.items() if isinstance(text, str)} | LONG
NO_UTF8 = {name: bytes.fromhex(raw["hex"]) for name, raw in VECTORS.items() if isinstance(raw, dict)}
STRICTER = {"y_object_duplicated_key", "y_object_duplicated_key_and_value"}
"""The grammar allows them; which value holds is nowhere said, so here they are refused."""
TAKEN = {
    "i_number_double_huge_neg_exp",
    "i_number_real_underflow",
    "i_number_too_big_neg_int",
    "i_number_too_big_pos_int",
    "i_number_very_big_negative_int",
}
"""What the grammar leaves open and is read here: integers stay exact, what is too small for a double is 0."""


def test_the_suite_is_whole() -> None:
    """The suite has all 318 cases."""
    names = [*TEXTS, *NO_UTF8]
    assert [sum(name.startswith(kind) for name in names) for kind in ("y_", "n_", "i_")] == [95, 188, 35]


def read(text: str) -> tuple[bool, Any]:
    try:
        return True, loads(text)
    except StrictJsonError:
        return False, None


@pytest.mark.parametrize("name", TEXTS)
def test_a_case_is_read_or_refused_as_the_suite_says(name: str) -> None:
    """An accepted text has the value that the standard library gives it."""
    accepted, value = read(TEXTS[name])
    expected = name in TAKEN if name.startswith("i_") else name.startswith("y_") and name not in STRICTER
    assert accepted == expected
    if accepted:
        assert json.dumps(value) == json.dumps(json.loads(TEXTS[name]))


@pytest.mark.parametrize("name", NO_UTF8)
def test_a_body_that_is_not_utf8_is_refused_before_parsing(name: str) -> None:
    """Arguments are text: a body with invalid UTF-8 is refused before parsing."""
    with pytest.raises(ProviderFailure, match="bad_encoding"):
        openai.parse(200, {}, b'{"choices": [{"message": {"content": "' + NO_UTF8[name] + b'"}}]}')
