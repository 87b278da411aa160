"""Every fault of the list has a test that is named after it."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from shared_data import DATA, needs_data

AREAS = {"connect", "tls", "timeout", "body", "json", "status", "ratelimit", "credentials", "stream", "rescue"}
HERE = Path(__file__).resolve().parent


def specified() -> list[ast.FunctionDef]:
    """The test functions beside this one."""
    trees = [ast.parse(path.read_text("utf-8")) for path in sorted(HERE.glob("test_*.py"))]
    return [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef) and "test_" in node.name]


@needs_data
@pytest.mark.parametrize("library", ["httpx2"], indirect=True)
def test_no_fault_is_without_a_test() -> None:
    """And no test is named after a fault that does not exist."""
    rows = json.loads((DATA / "faults.json").read_text("utf-8"))
    ids = {row["id"] for row in rows if row["area"] in AREAS}
    named = {f"{area.upper()}-{number}" for test in specified() for area, number in NAMED.findall(test.name)}
    assert named == ids


NAMED = re.compile(r"_([a-z]{3})_(\d\d)(?=_)")


@pytest.mark.parametrize("library", ["httpx2"], indirect=True)
def test_every_test_here_states_its_rule_in_a_sentence() -> None:
    """One sentence, with its full stop."""
    for test in specified():
        rule = ast.get_docstring(test) or ""
        assert rule.endswith("."), test.name
