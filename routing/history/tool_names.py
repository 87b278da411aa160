"""Tool names that an endpoint refuses, given others for one request and taken back in its answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_LONGEST = 64
_ANY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LETTER_FIRST = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_RULES = {"any": _ANY, "plain": _PLAIN, "letter first": _LETTER_FIRST}


def aliases(names: Iterable[str], rule: str) -> Mapping[str, str]:
    """Name -> the one that is sent, for those that break the rule; no two share one, and none takes another's.

    Rules: `plain` (Anthropic's characters), `letter first` (Moonshot's), `any` (dots too, as most hosts take them).
    """
    legal = _RULES[rule]
    wanted = list(dict.fromkeys(names))
    used = {name for name in wanted if legal.fullmatch(name)}
    given: dict[str, str] = {}
    for name in wanted:
        if name in used:
            continue
        alias = base = _base(name, legal)
        count = 1
        while alias in used:
            count += 1
            alias = f"{base[: _LONGEST - 5]}_{count}"
        used.add(alias)
        given[name] = alias
    return given


def _base(name: str, legal: re.Pattern[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:_LONGEST] or "tool"
    return base if legal.fullmatch(base) else f"t_{base}"[:_LONGEST]
