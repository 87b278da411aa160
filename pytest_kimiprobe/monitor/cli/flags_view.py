"""Shows one flag as text and as JSON, for `kimiprobe flags`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from routing.evidence.model import utc_text
from routing.flags.model import TEXT_KEYS, Flag, Targets

from ...safe_text import one_line

_FIRST = ("description", "owner")


def state(flag: Flag) -> str:
    """The users that the flag is on for, in a few words: `10 % + 2 users - 1 denied`."""
    if flag.pin is not None:
        return 'no user (pin "off")' if flag.pin == "off" else f'all users (pin "on"){_but(flag)}'
    if not flag.enabled:
        return "no user"
    named = [count_text(len(targets.allow), kind) for kind, targets in _kinds(flag) if targets.allow]
    shares = [f"{flag.percent} %"] if flag.percent or not named else []
    return " + ".join([*shares, *named]) + _but(flag)


def _kinds(flag: Flag) -> tuple[tuple[str, Targets], ...]:
    return ("user", flag.users), ("group", flag.groups)


def count_text(number: int, word: str) -> str:
    """A number with a noun in singular or plural: `no errors`, `1 error`, `2 errors`."""
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"


def _but(flag: Flag) -> str:
    denied = len(flag.users.deny) + len(flag.groups.deny)
    return f" - {denied} denied" if denied else ""


def story(flag: Flag) -> Iterator[tuple[str, str]]:
    """The flag as rows of a key and a text.

    The first rows say what the flag is. Then come the rules in the order in which they decide, and then the other keys.
    """
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
    """The flag as a JSON object with every key of the flags file."""
    text = json.dumps(asdict(flag), default=lambda value: utc_text(value) if value == flag.since else sorted(value))
    plain: dict[str, Any] = json.loads(text)
    return plain
