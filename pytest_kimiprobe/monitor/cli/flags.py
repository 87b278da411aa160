"""`kimiprobe flags`: look at flags.yaml and change it without touching a comment."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from routing import catalog as catalogs
from routing.errors import CatalogError, FlagsError
from routing.evidence.model import utc_text
from routing.flags.source import VARIABLE, Flag, Flags, find_flags
from routing.parsing.safe_read import read_regular

from ...safe_text import one_line
from ...tables import Column, rendered
from ..flags_edit import flags_file
from ..flags_edit import lint as flags_lint
from .flags_view import as_json, state, story

_WIDTH = 80
_NAME_WIDTH = 40


@click.group()
def flags() -> None:
    """Look at flags.yaml and change it; comments and order stay.

    Who gets a flag, first word wins: pin "off", deny, pin "on", enabled: false, allow, percent.
    """


def _path(_: click.Context, __: click.Parameter, given: Path | None) -> Path:
    path = given or find_flags()
    if path is None:
        raise FlagsError(f"none found here or above; name one with --flags or {VARIABLE}", where="flags.yaml")
    return path


_flags = click.option(
    "--flags", "path", type=click.Path(path_type=Path), callback=_path, help="flags.yaml (default: found upwards)."
)
_json = click.option("--json", "machine", is_flag=True, help="Print JSON.")
_reason = click.option("--reason", help="Why, in a sentence; stored in the flag for reviewers.")
_name = click.argument("name")


# ------------------------------------------------------------------------------------------------------------ look


@flags.command("list")
@_flags
@_json
def list_(path: Path, machine: bool) -> None:
    """All flags: whom they are on for, and what they control."""
    loaded = Flags.load(path)
    if machine:
        _print_json({"serial": loaded.serial, "flags": [as_json(flag) for flag in loaded.flags.values()]})
        return
    rows = [[one_line(flag.name, _NAME_WIDTH), state(flag), ", ".join(flag.controls)] for flag in loaded.flags.values()]
    room = _WIDTH - sum(2 + max(len(row[place]) for row in [["flag", "on for"], *rows]) for place in (0, 1))
    for row in rows:
        row[2] = one_line(row[2], max(room, 10))
    for line in rendered(
        (Column("flag", shorten="middle"), Column("on for"), Column("controls", shorten="middle")), rows
    ):
        click.echo(line)
    click.echo(f"serial {loaded.serial}, environment {loaded.environment}, default model {loaded.default_model}")


@flags.command()
@_name
@_flags
@_json
def show(name: str, path: Path, machine: bool) -> None:
    """One flag with everything that decides about it."""
    flag = Flags.load(path).flag(name)
    if machine:
        _print_json(as_json(flag))
        return
    for key, text in story(flag):
        click.echo(textwrap.fill(text, _WIDTH, initial_indent=f"{key:<15} ", subsequent_indent=" " * 16))


@flags.command()
@_name
@click.option("--user", help="The user to decide for.")
@click.option("--group", "groups", multiple=True, help="A group of the user's (repeatable).")
@_flags
@_json
def evaluate(name: str, user: str | None, groups: tuple[str, ...], path: Path, machine: bool) -> None:
    """Whether a flag is on for a user, and why."""
    decision = Flags.load(path).evaluate(name, user, groups)
    if machine:
        _print_json({"flag": name, "user": user, "groups": list(groups), "on": decision.on, "why": decision.why})
    else:
        click.echo(f"{'on' if decision.on else 'off'}: {decision.why}")


# ---------------------------------------------------------------------------------------------------------- change


@flags.command()
@_name
@click.option("--controls", multiple=True, required=True, metavar="GLOB", help="Endpoints it controls (repeatable).")
@click.option("--description", help="What turning it on does (default: told from --controls).")
@click.option("--owner", help="Whom to ask (default: the owner of the first flag).")
@_reason
@_flags
def create(  # noqa: PLR0917 - one parameter an option
    name: str, controls: tuple[str, ...], description: str | None, owner: str | None, reason: str | None, path: Path
) -> None:
    """Add a flag that is off for everybody."""
    first = next(iter(Flags.load(path).flags.values()))
    row: dict[str, Any] = {
        "description": _told(description) or f"Routes to {', '.join(controls)}.",
        "owner": _told(owner) or first.owner,
        "controls": list(controls),
        "enabled": False,
        "percent": 0,
        "reason": _told(reason),
    }
    _change(path, name, lambda text: flags_file.created(text, name, row, where=str(path)))


@flags.command()
@_name
@click.option(
    "--percent", type=click.IntRange(0, 100), help="Share of users (default: as it stands, else the first step)."
)
@click.option("--user", "users", multiple=True, help="Turn it on for this user (repeatable).")
@_reason
@_flags
def enable(name: str, percent: int | None, users: tuple[str, ...], reason: str | None, path: Path) -> None:
    """Turn a flag on: for a share of users, and for the users named.

    Without --percent a flag at 0 starts at the first step of its ladder; with --user alone it stays at 0 for the rest.
    """
    flag = Flags.load(path).flag(name)
    first = 0 if users else flag.ladder[0]
    share = percent if percent is not None else flag.percent or first
    targets = _targets(flag, "users", allow=users)
    # The former reason told why it stood as it did.
    stale = {"reason": None} if targets or (flag.enabled, flag.percent) != (True, share) else {}
    _set(path, flag, {**stale, "enabled": True, "percent": share, **targets}, reason)


@flags.command()
@_name
@_reason
@_flags
def disable(name: str, reason: str | None, path: Path) -> None:
    """Turn a flag off for everybody; enabled again, it starts at the first step of its ladder."""
    flag = Flags.load(path).flag(name)
    _set(path, flag, {"enabled": False, "percent": 0}, reason)


@flags.command("set")
@_name
@click.option("--percent", type=click.IntRange(0, 100), help="Share of users.")
@click.option("--allow", "--allow-user", "allow", multiple=True, metavar="USER", help="On for this user (repeatable).")
@click.option("--deny", "--deny-user", "deny", multiple=True, metavar="USER", help="Off for this user (repeatable).")
@click.option("--remove-user", "remove", multiple=True, metavar="USER", help="Take this user off both lists.")
@click.option("--allow-group", multiple=True, metavar="GROUP", help="On for this group (repeatable).")
@click.option("--deny-group", multiple=True, metavar="GROUP", help="Off for this group (repeatable).")
@click.option("--remove-group", multiple=True, metavar="GROUP", help="Take this group off both lists.")
@click.option("--pin", type=click.Choice(["on", "off"]), help="A human's word that the bot never touches.")
@click.option("--no-pin", is_flag=True, help="Let percent and the bot decide again.")
@click.option("--accept-rescued/--no-accept-rescued", default=None, help="Whether rescued answers count as passed.")
@_reason
@_flags
def set_(  # noqa: PLR0917 - one parameter an option
    name: str,
    percent: int | None,
    allow: tuple[str, ...],
    deny: tuple[str, ...],
    remove: tuple[str, ...],
    allow_group: tuple[str, ...],
    deny_group: tuple[str, ...],
    remove_group: tuple[str, ...],
    pin: str | None,
    no_pin: bool,
    accept_rescued: bool | None,
    reason: str | None,
    path: Path,
) -> None:
    """Change parts of a flag; whatever is not named stays."""
    if pin and no_pin:
        raise click.UsageError("--pin and --no-pin exclude each other")
    flag = Flags.load(path).flag(name)
    changes: dict[str, Any] = {
        **({"percent": percent} if percent is not None else {}),
        **_targets(flag, "users", allow, deny, remove),
        **_targets(flag, "groups", allow_group, deny_group, remove_group),
        **({"pin": pin} if pin or no_pin else {}),
        **({"accept_rescued": accept_rescued} if accept_rescued is not None else {}),
    }
    if not changes and not reason:
        raise click.UsageError("nothing to set; see --help")
    _set(path, flag, changes, reason)


def _targets(
    flag: Flag, kind: str, allow: Sequence[str] = (), deny: Sequence[str] = (), remove: Sequence[str] = ()
) -> dict[str, list[str]]:
    """New allow and deny lists; who is put on one of them is taken off the other."""
    both = set(allow) & set(deny)
    if both:
        raise click.UsageError(f"{', '.join(sorted(both))}: allow or deny, not both")
    now = getattr(flag, kind)
    off = {"allow": {*deny, *remove}, "deny": {*allow, *remove}}
    more = {"allow": allow, "deny": deny}
    lists = {word: _listed(getattr(now, word), more[word], off[word]) for word in ("allow", "deny")}
    return {f"{kind}.{word}": names for word, names in lists.items() if set(names) != getattr(now, word)}


def _listed(now: frozenset[str], more: Sequence[str], off: set[str]) -> list[str]:
    return [*sorted(now - off), *(name for name in dict.fromkeys(more) if name not in now)]


def _set(path: Path, flag: Flag, changes: Mapping[str, Any], reason: str | None) -> None:
    changes = {**changes, **({"reason": _told(reason)} if reason else {})}
    moved = changes.get("enabled", flag.enabled) != flag.enabled or changes.get("percent", flag.percent) != flag.percent
    if moved:
        changes["since"] = utc_text(datetime.now(UTC))
    _change(path, flag.name, lambda text: flags_file.edited(text, {flag.name: changes}, where=str(path)))


def _told(sentence: str | None) -> str | None:
    return one_line(sentence, 500) if sentence else None


def _change(path: Path, name: str, change: Callable[[str], str]) -> None:
    before = Flags.load(path)
    written = flags_file.change_file(path, change)
    after = Flags.load(path)
    flag = after.flag(name)
    word = f"serial {after.serial}" if written else "nothing to change"
    click.echo(f"{flag.name}: on for {state(flag)} ({word})")
    if written:
        _warn(path, name, before)


def _warn(path: Path, name: str, before: Flags) -> None:
    """What a reviewer will see, for the flag that was changed."""
    for finding in flags_lint.lint(read_regular(path, error=FlagsError), where=str(path), base=before, **_catalog()):
        if f"{finding.path}.".startswith(f"flags.{name}."):
            click.echo(f"note: {finding.path.removeprefix('flags.')}: {finding.message}", err=True)


# ------------------------------------------------------------------------------------------------------------ lint


@flags.command()
@click.option("--base", type=click.Path(path_type=Path), help="The accepted version that this one would replace.")
@_flags
@_json
def lint(base: Path | None, path: Path, machine: bool) -> None:
    """Everything that is wrong with flags.yaml, or worth a look. Exits with 1 where an error was found.

    With --base, steps and serial are judged as well: `git show origin/main:flags.yaml > base.yaml`.
    """
    accepted = _accepted(base) if base is not None else None
    findings = flags_lint.lint(read_regular(path, error=FlagsError), where=str(path), base=accepted, **_catalog())
    errors = sum(finding.level == "error" for finding in findings)
    if machine:
        keys = ("line", "column", "level", "path", "message")
        _print_json({"findings": [{key: getattr(finding, key) for key in keys} for finding in findings]})
    else:
        for finding in findings:
            click.echo(f"{path}:{finding}")
        click.echo(f"{path}: {_count(errors, 'error')}, {_count(len(findings) - errors, 'warning')}")
    sys.exit(errors > 0)


def _accepted(base: Path) -> Flags | None:
    """The base, or None where its content is wrong: the change that mends it must be able to pass."""
    data = read_regular(base, error=FlagsError)
    try:
        return Flags.loads(data, str(base))
    except FlagsError as problem:
        click.echo(f"steps and serial are not judged, for the base is wrong: {problem}", err=True)
        return None


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"


def _catalog() -> dict[str, Any]:
    try:
        catalog = catalogs.load()
    except CatalogError:  # `doctor` tells; flags can be judged without it
        return {}
    return {"endpoints": list(catalog.endpoints), "reference": {model.reference for model in catalog.models.values()}}


def _print_json(data: Mapping[str, Any]) -> None:
    click.echo(json.dumps({"version": 1, **data}, indent=1))
