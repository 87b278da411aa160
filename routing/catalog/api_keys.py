"""Reads the API keys of a provider from environment variables, and detects placeholders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from ..redaction import ApiKey

_TEMPLATE = re.compile(r"\.\.\.|…|[<>{}$]|(?:^|[-_])[xX*]{3,}$")
"""Pattern of values that examples show instead of a key: `sk-...`, `sk-xxxx`, `<key>`, `${KEY}`."""
_TELLING = re.compile(r"your|yourkey|yourapikey|yourtoken|changeme|replaceme|placeholder")
_FILLER = re.compile(
    r"|sk|gsk|r8|tgp|or|v1|proj|my|the|an|insert|enter|put|paste|add|api|secret|access|key|token|apikey|here|goes|change"
    r"|replace|me|none|null|undefined|todo|tbd|password"
)
"""A value with a part that matches `_TELLING`, or with no other parts than these, is a placeholder. Examples are
`your-key-here` and `sk-`."""


def keys_in(environment: Mapping[str, str], name: str) -> tuple[tuple[ApiKey, ...], str]:
    """The keys in the variables `name`, `name_2` and so on. If there are none, also what is wrong with the last one."""
    values, number = [environment.get(name, "")], 2
    while value := environment.get(f"{name}_{number}", ""):
        values.append(value)
        number += 1
    return _read_keys(tuple(values))


@lru_cache(maxsize=64)
def _read_keys(values: tuple[str, ...]) -> tuple[tuple[ApiKey, ...], str]:
    keys: dict[ApiKey, None] = {}
    problem = "not set"
    for value in filter(None, (part.strip() for text in values for part in text.split(","))):
        if _is_placeholder(value):
            problem = "holds a placeholder, not a key"
        elif not value.isascii() or not value.isprintable() or any(mark in value for mark in " \"'\\"):
            problem = "holds a quote, space or character that no key has"
        else:
            keys[ApiKey(value)] = None
    return tuple(keys), problem


def _is_placeholder(value: str) -> bool:
    parts = re.split(r"[-_. ]+", value.lower())
    telling = any(map(_TELLING.fullmatch, parts)) or all(map(_FILLER.fullmatch, parts))
    return telling or bool(_TEMPLATE.search(value))
