"""Checks a flags file for mistakes that a schema cannot express: contradictions, jumps, globs without effect. Pure.

A jump is a percentage that skips a step of the ladder. A finding of level `error` is a mistake, or a step that a human
must decide; a `warning` is worth a look.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Literal, TypeAlias

from routing.errors import FlagsError
from routing.flags.model import Flag, Flags, glob_pattern
from routing.flags.validation import Problem, problem_at, problems
from routing.parsing import strict_yaml

from ...safe_text import one_line

Level: TypeAlias = Literal["error", "warning"]
_Told: TypeAlias = "tuple[Level, tuple[str | int, ...], str]"
_SCHEMA_COMMENT = re.compile(r"# yaml-language-server: \$schema=\S*flags\.schema\.json\s*")


def lint(
    data: bytes,
    *,
    where: str = "flags.yaml",
    base: Flags | None = None,
    endpoints: Collection[str] = (),
    reference: Collection[str] = (),
    models: Collection[str] = (),
) -> list[Problem]:
    """Check a flags file, and return all findings in the order of the file.

    `base` is the accepted version that this file would replace; without it, jumps and serial are not checked.
    `endpoints` and `models` are names of the catalogue, and `reference` are the ids of reference endpoints, which need
    no flag. Without `endpoints`, globs are not checked; without `models`, names of models are not.
    """
    try:
        document = strict_yaml.loads(data, where=where, error=FlagsError, require_end=True)
    except FlagsError as problem:
        return [_unreadable(problem, where)]
    if wrong := problems(document, models):
        return wrong
    flags = Flags.loads(data, where)
    told = chain(
        chain.from_iterable(
            _about(flag, base.flags.get(flag.name) if base else None, base) for flag in flags.flags.values()
        ),
        _against(flags, base) if base else (),
        _globs(flags, endpoints, frozenset(reference)) if endpoints else (),
    )
    found = [problem_at(document, path, message, level) for level, path, message in told]
    return sorted([*_first_line(data), *found])


def _unreadable(problem: FlagsError, where: str) -> Problem:
    """Convert a syntax error into a finding. Line and column come from the `file:line:column` in it, or are 1."""
    place = problem.where.removeprefix(where).split(":")
    line, column = (int(place[1]), int(place[2])) if len(place) == 3 else (1, 1)
    return Problem(line, column, "error", "", str(problem).removeprefix(f"{problem.where}: "))


def _first_line(data: bytes) -> Iterator[Problem]:
    first = data.decode("utf-8-sig").partition("\n")[0]
    if not _SCHEMA_COMMENT.fullmatch(first):
        comment = "# yaml-language-server: $schema=./routing/flags.schema.json"
        yield Problem(1, 1, "warning", "", f"the first line should be `{comment}`, so that editors check and complete")


# -------------------------------------------------------------------------------------------------------- one flag


def share(flag: Flag | None) -> int:
    """Percentage of users that the flag is on for, named users and groups aside; 0 if it is disabled or None."""
    return flag.percent if flag is not None and flag.enabled else 0


def _about(flag: Flag, before: Flag | None, base: Flags | None) -> Iterator[_Told]:
    at = ("flags", flag.name)
    for kind, targets in (("users", flag.users), ("groups", flag.groups)):
        for name in sorted(targets.allow & targets.deny):
            yield "error", (*at, kind), f"{name} is in allow and in deny; deny wins"
    steps = ", ".join(map(str, flag.ladder))
    if flag.percent and flag.percent not in flag.ladder:
        yield "warning", (*at, "percent"), f"{flag.percent} is not a step of the ladder: 0, {steps}"
    if base is not None and flag.pin is None and share(flag) > _next_step(flag, share(before)):
        now, step = share(before), _next_step(flag, share(before))
        yield "error", (*at, "percent"), f"jumps from {now} to {share(flag)}; the next step is {step}"
    if flag.enabled and not flag.percent and not flag.users.allow and not flag.groups.allow and flag.pin is None:
        yield "warning", (*at, "enabled"), "enabled, but on for no user: percent is 0 and no user or group is allowed"
    if not flag.enabled and flag.percent and flag.pin is None:
        yield (
            "warning",
            (*at, "percent"),
            f"off; when it is enabled again it starts at {flag.percent}, not at the first step",
        )


def _next_step(flag: Flag, now: int) -> int:
    return next((step for step in flag.ladder if step > now), 100)


# ------------------------------------------------------------------------------------------------------- with base


def _against(flags: Flags, base: Flags) -> Iterator[_Told]:
    changed = replace(flags, serial=0, rollback_from=None) != replace(base, serial=0, rollback_from=None)
    if flags.serial < base.serial and (flags.rollback_from or 0) < base.serial:
        yield "error", ("serial",), f"goes back from {base.serial}: raise it to {base.serial + 1}"
    elif changed and flags.serial == base.serial:
        yield "error", ("serial",), f"was not raised: {base.serial} is what the base has; make it {base.serial + 1}"
    for name in base.flags:
        if name not in flags.flags:
            yield "warning", ("flags",), f"{name} is gone: programs that ask for it by name get an error"


# ----------------------------------------------------------------------------------------------------------- globs


def _globs(flags: Flags, endpoints: Collection[str], reference: frozenset[str]) -> Iterator[_Told]:
    for flag in flags.flags.values():
        at = ("flags", flag.name, "controls")
        for number, glob in enumerate(flag.controls):
            matched = [endpoint for endpoint in endpoints if glob_pattern(glob).match(endpoint)]
            if not matched:
                level: Level = "warning" if len(flag.controls) > 1 else "error"
                yield level, (*at, number), f"{glob} matches no endpoint of the catalogue"
            for endpoint in sorted(reference.intersection(matched)):
                yield "warning", (*at, number), f"{glob} matches the reference endpoint {endpoint}, which needs no flag"
        yield from _outdone(flags, flag, endpoints)


def unmatched(globs: Iterable[str], endpoints: Collection[str]) -> Iterator[str]:
    """Yield a message for each glob that matches no endpoint. If `endpoints` is empty, globs are not checked."""
    known = [*dict.fromkeys(f"{endpoint.partition('/')[0]}/*" for endpoint in endpoints), *endpoints]
    for glob in globs if endpoints else ():
        if not any(glob_pattern(glob).match(endpoint) for endpoint in endpoints):
            close = difflib.get_close_matches(glob, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"{one_line(glob)} matches no endpoint of the catalogue{hint}"


def _outdone(flags: Flags, flag: Flag, endpoints: Collection[str]) -> Iterator[_Told]:
    """Warnings about globs of this flag that match an endpoint although a more specific glob of another flag wins."""
    for number, glob in enumerate(flag.controls):
        examples: dict[str, str] = {}
        for endpoint in sorted(endpoints):
            winner = flags.flag_for(endpoint) if glob_pattern(glob).match(endpoint) else None
            if winner is not None and winner.name != flag.name:
                examples.setdefault(winner.name, endpoint)
        for name, endpoint in sorted(examples.items()):
            told = f"{glob} matches {endpoint}, but {name} decides: its glob is more specific"
            yield "warning", ("flags", flag.name, "controls", number), told
