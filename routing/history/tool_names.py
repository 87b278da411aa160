"""Chooses other names for tools whose names an endpoint refuses, for one request. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

NameRule: TypeAlias = Literal["any", "plain", "letter first"]
_LONGEST = 64
_RULES: Mapping[NameRule, re.Pattern[str]] = {
    "any": re.compile(r"[A-Za-z0-9_.-]{1,64}"),
    "plain": re.compile(r"[A-Za-z0-9_-]{1,64}"),
    "letter first": re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}"),
}


def aliases(names: Iterable[str], rule: NameRule) -> Mapping[str, str]:
    """Tool name -> the name that is sent instead, for each name that breaks the rule. All names that are sent differ.

    Rules: `plain` (the characters that Anthropic accepts), `letter first` (Moonshot), `any` (most hosts: dots too).
    """
    legal = _RULES[rule]
    wanted = list(dict.fromkeys(names))
    used = {name for name in wanted if legal.fullmatch(name)}
    given: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name in wanted:
        if name in used:
            continue
        alias = base = _base(name, legal)
        while alias in used:
            counts[base] = counts.get(base, 1) + 1
            alias = f"{base[: _LONGEST - 5]}_{counts[base]}"
        used.add(alias)
        given[name] = alias
    return given


def _base(name: str, legal: re.Pattern[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:_LONGEST] or "tool"
    return base if legal.fullmatch(base) else f"t_{base}"[:_LONGEST]
