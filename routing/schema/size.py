"""Measures what checking against a tool's schema costs: size with every `$ref` followed, recursion, patterns. Pure.

If each of 30 references doubles the size of a schema, checking even an empty object visits 2**30 subschemas.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .parts import LITERAL, at_pointer

MAX_EXPANSION = 100_000
"""The most subschemas of one schema, counted with every `$ref` followed.
With more, one small value could take minutes to check.
"""
MAX_PATTERN = 4_000
"""The most characters of one regular expression in a schema."""
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


@dataclass(frozen=True, slots=True)
class SurveyResult:
    """What `survey` found in a schema.

    `problem` says why the schema cannot be used; it is empty if the schema can be used. `recursive` is True if the
    schema refers to itself, or if one of its references cannot be followed.
    """

    problem: str = ""
    recursive: bool = False


def survey(schema: Any) -> SurveyResult:
    """Measure a schema before it is compiled: whether it costs too much to check, and whether it is recursive."""
    found = _Survey(schema)
    try:
        expansion = found.weigh(schema)
    except RecursionError:
        return SurveyResult("the schema is nested too deeply")
    if found.longest_pattern > MAX_PATTERN:
        return SurveyResult(f"a pattern has more than {MAX_PATTERN} characters")
    if expansion > MAX_EXPANSION:
        return SurveyResult(f"its references multiply to more than {MAX_EXPANSION} subschemas")
    return SurveyResult(recursive=found.recursive)


class _Survey:
    def __init__(self, root: Any) -> None:
        self.root = root
        self.recursive = False
        self.longest_pattern = 0
        self._weights: dict[int, int | None] = {}

    def weigh(self, node: Any) -> int:
        """The number of schemas and lists in `node`, itself included, with every reference followed.

        A reference back to a node that contains it counts as one.
        """
        if not isinstance(node, (dict, list)):
            return 0
        if id(node) in self._weights:
            known = self._weights[id(node)]
            self.recursive = self.recursive or known is None
            return known or 1
        self._weights[id(node)] = None
        weight = 1 + sum(map(self.weigh, self._children(node)))
        self._weights[id(node)] = weight
        return weight

    def _measure(self, node: dict[str, Any]) -> None:
        keyed = node.get("patternProperties")
        patterns = [node.get("pattern"), *(keyed if isinstance(keyed, dict) else ())]
        lengths = (len(pattern) for pattern in patterns if isinstance(pattern, str))
        self.longest_pattern = max(self.longest_pattern, *lengths, 0)

    def _children(self, node: dict[str, Any] | list[Any]) -> Iterable[Any]:
        if isinstance(node, list):
            return node
        self._measure(node)
        children: list[Any] = []
        for key, child in node.items():
            if key in _NAMED_SCHEMAS and isinstance(child, dict):
                children.extend(child.values())
            elif key not in LITERAL:
                children.append(child)
        for key in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(node.get(key), str):
                target = at_pointer(self.root, node[key])
                self.recursive = self.recursive or target is None  # a reference by anchor or id is not followed
                children.append(target)
        return children
