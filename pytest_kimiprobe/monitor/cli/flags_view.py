"""A flag as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from typing import Any

from routing.evidence.model import utc_text
from routing.flags.model import KEYS, TEXT_KEYS
from routing.flags.source import Flag, FlagEvidence, Targets

from ...safe_text import one_line

_FIRST = ("description", "owner")


def state(flag: Flag) -> str:
    """The users that the flag is on for, in a few words."""
    if flag.pin is not None:
        return 'nobody (pin "off")' if flag.pin == "off" else f'everybody (pin "on"){_but(flag)}'
    if not flag.enabled:
        return "nobody"
    named = [_count(len(targets.allow), kind) for kind, targets in _kinds(flag) if targets.allow]
    shares = [f"{flag.percent} %"] if flag.percent or not named else []
    return " + ".join([*shares, *named]) + _but(flag)


def _kinds(flag: Flag) -> tuple[tuple[str, Targets], ...]:
    return ("user", flag.users), ("group", flag.groups)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _but(flag: Flag) -> str:
    denied = len(flag.users.deny) + len(flag.groups.deny)
    return f" - {denied} denied" if denied else ""


def story(flag: Flag) -> Iterator[tuple[str, str]]:
    """Rows of key and text: what the flag is, then the rules in the order in which they decide, then the rest."""
    yield "flag", flag.name
    for key in _FIRST:
        yield key, one_line(getattr(flag, key), 500)
    yield "controls", " ".join(flag.controls)
    yield "on for", state(flag)
    for kind, targets in _kinds(flag):
        yield from _rows(f"{kind}s", targets)
    yield "pin", flag.pin or "none"
    yield "enabled", "yes" if flag.enabled else "no"
    yield "percent", f"{flag.percent} (ladder {', '.join(map(str, flag.ladder))})"
    yield "rescued answers", "count as passed" if flag.accept_rescued else "do not count as passed"
    for key in TEXT_KEYS:
        if key not in _FIRST and (text := getattr(flag, key)):
            yield key.replace("_", " "), one_line(text, 500)
    if flag.since:
        yield "since", utc_text(flag.since)
    if flag.evidence:
        passed = f"{flag.evidence.passed} of {flag.evidence.judged} passed"
        yield "evidence", one_line(f"{passed}, {flag.evidence.result}", 400)


def _rows(kind: str, targets: Targets) -> Iterator[tuple[str, str]]:
    for word, names in (("denied", targets.deny), ("allowed", targets.allow)):
        if names:
            yield f"{kind} {word}", ", ".join(one_line(name) for name in sorted(names))


def row_of(flag: Flag) -> dict[str, Any]:
    """The flag with every key, in the terms of the file."""
    return {"name": flag.name, **{key: _plain(getattr(flag, key)) for key in KEYS}}


def _plain(value: Any) -> Any:
    """A field's value as JSON has it."""
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, Targets | FlagEvidence):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value
