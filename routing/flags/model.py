"""Content of a flags file: its flags, the users for whom each flag is on, and the endpoints that it controls.

Order of decision; the first rule that applies decides:

    1. pin "off"         off for everybody: a human's decision
    2. deny              off for this user or group
    3. pin "on"          on for everybody else, enabled or not: a human's decision
    4. enabled: false    off: the kill switch
    5. allow             on for this user or group
    6. percent           on for the first N percent of users (bucketing.py); without a user only at 100

Deny comes before pin "on" because it is about a user's rights (for example data residency), not about the endpoint's
health.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from ..errors import FlagsError
from ..evidence.model import parse_utc
from ..parsing import strict_yaml
from ..parsing.safe_read import read_regular
from ..parsing.schema_files import converted
from . import bucketing
from .validation import problems, specificity

VERSION = 1
LADDER = (10, 50, 100)
_Claim: TypeAlias = "tuple[re.Pattern[str], Flag]"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a flag is on for a user, and why. `why` never contains the user's id."""

    on: bool
    why: str


@dataclass(frozen=True, slots=True)
class Targets:
    """Users or groups, by name: the flag is on for those in `allow` and off for those in `deny`.

    The module's docstring gives the order in which these and the other rules apply.
    """

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FlagEvidence:
    """Evidence for the last change of a flag: `passed` of `judged` answers passed.

    `result` is a results file or run id.
    """

    result: str
    judged: int
    passed: int


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of flags.yaml. Its fields are the keys of the flag in the file, in the same order.

    `percent` and `ladder` are whole percent. `controls` are globs of endpoint ids, in which `*` matches any text. A new
    field of type `str` needs an entry in the schema and no other code: it is read, shown and set by its name.
    """

    name: str
    description: str
    owner: str
    controls: tuple[str, ...]
    enabled: bool = False
    percent: int = 0
    ladder: tuple[int, ...] = LADDER
    users: Targets = Targets()
    groups: Targets = Targets()
    accept_rescued: bool = False
    rescue: str = "all"
    pin: Literal["on", "off"] | None = None
    reason: str = ""
    since: datetime | None = None
    evidence: FlagEvidence | None = None

    def evaluate(self, user: str | None = None, groups: Iterable[str] | None = ()) -> Decision:
        """Whether the flag is on for a request of this user and these groups, and why.

        An empty user counts as no user. Raises TypeError if `user` is not a text or number, or `groups` not a list.
        """
        if not isinstance(user, str | int | None):
            raise TypeError(f"user: a user's id as text is needed, not {type(user).__name__}")
        if groups is not None and not isinstance(groups, Iterable):
            raise TypeError(f"groups: a list of names is needed, not {type(groups).__name__}")
        user = str(user) if user is not None else ""  # an id given as a number must match its deny entry
        groups = (groups,) if isinstance(groups, str) else tuple(groups or ())
        if self.pin == "off":
            return Decision(on=False, why='pin "off"')
        if user in self.users.deny or not self.groups.deny.isdisjoint(groups):
            return Decision(on=False, why=_named("denied", user in self.users.deny, self.groups.deny, groups))
        if self.pin == "on":
            return Decision(on=True, why='pin "on"')
        if not self.enabled:
            return Decision(on=False, why="enabled: false")
        if user in self.users.allow or not self.groups.allow.isdisjoint(groups):
            return Decision(on=True, why=_named("allowed", user in self.users.allow, self.groups.allow, groups))
        return self._by_percent(user)

    def _by_percent(self, user: str) -> Decision:
        if self.percent in {0, 100}:
            return Decision(on=self.percent == 100, why=f"percent: {self.percent}")
        if not user:
            return Decision(on=False, why=f"percent: {self.percent}, and no user is given")
        inside = bucketing.inside(self.name, user, self.percent)
        return Decision(on=inside, why=f"{'inside' if inside else 'outside'} percent: {self.percent}")


KEYS = tuple(field.name for field in fields(Flag) if field.name != "name")
"""The keys of a flag in flags.yaml, in the order in which the file has them."""
TEXT_KEYS = tuple(field.name for field in fields(Flag) if field.type == "str" and field.name != "name")
"""The keys of a flag whose value is a text."""


def _named(word: str, by_user: bool, listed: frozenset[str], groups: tuple[str, ...]) -> str:
    return f"user {word}" if by_user else f"group {next(group for group in groups if group in listed)} {word}"


@dataclass(frozen=True, slots=True)
class Flags:
    """All flags of one file, and the file's other settings.

    `where` is the path of the file; the comparison of two `Flags` ignores it. `stand_in` marks the packaged flags,
    which are used if no file could be read. An unknown name then evaluates to off instead of raising, because the
    unread file may define it.
    """

    serial: int
    environment: Literal["production", "test"]
    default_model: str
    flags: Mapping[str, Flag]
    fallback_models: tuple[str, ...] = ()
    rollback_from: int | None = None
    version: int = VERSION
    bucketing: str = bucketing.NAME
    where: str = field(default="", compare=False)
    stand_in: bool = False
    _claims: tuple[_Claim, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", MappingProxyType(dict(self.flags)))
        claims = sorted(
            ((glob, flag) for flag in self.flags.values() for glob in flag.controls),
            key=lambda claim: specificity(claim[0]),
            reverse=True,
        )
        object.__setattr__(self, "_claims", tuple((glob_pattern(glob), flag) for glob, flag in claims))

    @classmethod
    def loads(cls, data: bytes, where: str = "flags.yaml", models: Collection[str] = ()) -> Flags:
        """Parse a flags file. Raises FlagsError with `file:line:column: flags.NAME.key: what is wrong`.

        `models` are the models of the catalogue; if it is empty, names of models are not checked.
        """
        document = strict_yaml.loads(data, where=where, error=FlagsError, require_end=True)
        _check(document, models)
        return _flags(document.data, where)

    @classmethod
    def load(cls, path: str | Path, models: Collection[str] = ()) -> Flags:
        """Read a flags file: a regular file of at most 1 MiB. `models` are those of `loads`. Raises FlagsError."""
        return cls.loads(read_regular(path, error=FlagsError), str(path), models)

    @staticmethod
    @cache
    def bootstrap() -> Flags:
        """The packaged flags: every flag is off, so that only reference endpoints and the vision endpoint serve."""
        name = "bootstrap_flags.yaml"
        flags = Flags.loads((resources.files(__package__) / name).read_bytes(), f"packaged {name}")
        return replace(flags, stand_in=True)

    def flag(self, name: str) -> Flag:
        """The flag with this name. Raises FlagsError, which lists the known names, if there is none."""
        try:
            return self.flags[name]
        except (KeyError, TypeError):
            raise FlagsError(f"no flag {name!r}; available: {', '.join(self.flags)}", where=self.where) from None

    def evaluate(self, name: str, user: str | None = None, groups: Iterable[str] | None = ()) -> Decision:
        """Whether the flag is on for this user and these groups, and why. Raises FlagsError for an unknown name."""
        if self.stand_in and name not in self.flags:
            return Decision(on=False, why="no flags file is in use")
        return self.flag(name).evaluate(user, groups)

    def enabled(self, name: str, user: str | None = None, groups: Iterable[str] | None = ()) -> bool:
        """Whether the flag is on for this user and these groups. Raises FlagsError for an unknown name."""
        return self.evaluate(name, user, groups).on

    def flag_for(self, endpoint: str) -> Flag | None:
        """The flag whose most specific glob matches the endpoint id; None if no flag controls it."""
        return next((flag for pattern, flag in self._claims if pattern.match(endpoint)), None)


@cache
def glob_pattern(glob: str) -> re.Pattern[str]:
    """The compiled pattern of an endpoint glob: it matches whole ids and distinguishes upper and lower case.

    A glob with many `*` is not slow: fnmatch translates it into a pattern that backtracks little.
    """
    return re.compile(fnmatch.translate(glob))


def _check(document: strict_yaml.Document, models: Collection[str]) -> None:
    """Raise FlagsError with the first problem of a parsed flags file, and how many more there are."""
    version = document.data.get("version") if isinstance(document.data, dict) else None
    if type(version) is int and version > VERSION:
        told = f"version {version} is newer than {VERSION}, which this release reads: upgrade pytest-kimiprobe"
        raise FlagsError(told, where=document.at(["version"]))
    found = problems(document, models)
    if found:
        more = f" (and {len(found) - 1} more: `kimiprobe flags lint` lists them)" if len(found) > 1 else ""
        raise FlagsError(f"{found[0].text}{more}", where=f"{document.where}:{found[0].line}:{found[0].column}")


def _flags(data: Mapping[str, Any], where: str) -> Flags:
    return Flags(
        serial=data["serial"],
        environment=data["environment"],
        default_model=data["default_model"],
        flags={name: Flag(name, **converted(row, _CONVERTED)) for name, row in data["flags"].items()},
        fallback_models=tuple(data.get("fallback_models", ())),
        rollback_from=data.get("rollback_from"),
        where=where,
    )


def _targets(row: Mapping[str, list[str]]) -> Targets:
    return Targets(frozenset(row.get("allow", ())), frozenset(row.get("deny", ())))


_CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    "controls": tuple,
    "ladder": tuple,
    "users": _targets,
    "groups": _targets,
    "since": parse_utc,
    "evidence": lambda row: FlagEvidence(**row),
}
