"""A flag as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from routing.evidence.model import utc_text
from routing.flags.source import Flag, Targets

from ...safe_text import one_line


def state(flag: Flag) -> str:
    """Whom the flag is on for, in a few words."""
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
    """Rows of key and text, in the order in which they decide."""
    yield "flag", flag.name
    yield "description", one_line(flag.description, 500)
    yield "owner", one_line(flag.owner, 100)
    yield "controls", " ".join(flag.controls)
    yield "on for", state(flag)
    for kind, targets in _kinds(flag):
        yield from _rows(f"{kind}s", targets)
    yield "pin", flag.pin or "none"
    yield "enabled", "yes" if flag.enabled else "no"
    yield "percent", f"{flag.percent} (ladder {', '.join(map(str, flag.ladder))})"
    yield "rescued answers", "count as passed" if flag.accept_rescued else "do not count as passed"
    if flag.reason:
        yield "reason", one_line(flag.reason, 500)
    if flag.since:
        yield "since", utc_text(flag.since)
    if flag.evidence:
        told = f"{flag.evidence.passed} of {flag.evidence.judged} passed, {flag.evidence.result}"
        yield "evidence", one_line(told, 400)


def _rows(kind: str, targets: Targets) -> Iterator[tuple[str, str]]:
    for word, names in (("denied", targets.deny), ("allowed", targets.allow)):
        if names:
            yield f"{kind} {word}", ", ".join(one_line(name) for name in sorted(names))


def as_json(flag: Flag) -> dict[str, Any]:
    """The flag with every key, in the words of the file."""
    evidence = flag.evidence
    return {
        "name": flag.name,
        "description": flag.description,
        "owner": flag.owner,
        "controls": list(flag.controls),
        "enabled": flag.enabled,
        "percent": flag.percent,
        "ladder": list(flag.ladder),
        "users": {"allow": sorted(flag.users.allow), "deny": sorted(flag.users.deny)},
        "groups": {"allow": sorted(flag.groups.allow), "deny": sorted(flag.groups.deny)},
        "accept_rescued": flag.accept_rescued,
        "pin": flag.pin,
        "reason": flag.reason,
        "since": utc_text(flag.since) if flag.since else None,
        "evidence": {"result": evidence.result, "judged": evidence.judged, "passed": evidence.passed}
        if evidence
        else None,
    }
