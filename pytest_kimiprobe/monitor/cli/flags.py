"""Command group `kimiprobe flags`: shows flags.yaml, and changes it without losing comments."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from routing import catalog as catalogs
from routing.errors import CatalogError, FlagsError
from routing.evidence.model import utc_text
from routing.flags.model import TEXT_KEYS, Flag, Flags
from routing.flags.source import VARIABLE, find_flags
from routing.flags.validation import Problem, schema
from routing.parsing.safe_read import read_regular

from ...safe_text import one_line
from ...tables import Column, folded, rendered
from ..flags_edit import flags_file
from ..flags_edit import lint as flags_lint
from .flags_view import count_text, row_of, state, story
from .groups import SuggestingGroup
from .shared import json_option
from .shared import show as print_result

_NAME_WIDTH = 40


@click.group(cls=SuggestingGroup)
def flags() -> None:
    """Show flags.yaml and change it; comments and order stay.

    The first rule that applies decides: pin "off", deny, pin "on", enabled: false, allow, percent.
    """


def _path(_: click.Context, __: click.Parameter, given: Path | None) -> Path:
    path = given or find_flags()
    if path is None:
        raise FlagsError(f"none found here or above; name one with --flags or {VARIABLE}", where="flags.yaml")
    return path


_flags = click.option(
    "--flags", "path", type=click.Path(path_type=Path), callback=_path, help="flags.yaml (default: found upwards)."
)
_reason = click.option("--reason", help="Why, in a sentence; stored in the flag for reviewers.")
_name = click.argument("name")


def _texts(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator that adds an option for each text key of a flag. Its help text is the description in the schema."""
    keys = schema()["definitions"]["flag"]["properties"]
    for key in reversed(TEXT_KEYS):
        command = click.option(f"--{key.replace('_', '-')}", help=keys[key]["description"])(command)
    return command


# ------------------------------------------------------------------------------------------------------------ look


@flags.command("list")
@_flags
@json_option
def list_(path: Path, as_json: bool) -> None:
    """List all flags: the users they are on for, and what they control."""
    loaded = Flags.load(path)
    rows = [
        [one_line(flag.name, _NAME_WIDTH), state(flag), one_line(", ".join(flag.controls))]
        for flag in loaded.flags.values()
    ]
    columns = (Column("flag", shorten="middle"), Column("on for"), Column("controls", shorten="end"))
    about = f"serial {loaded.serial}, environment {loaded.environment}, default model {loaded.default_model}"
    found = {"serial": loaded.serial, "flags": [row_of(flag) for flag in loaded.flags.values()]}
    print_result([*rendered(columns, rows), about], found, as_json=as_json)


@flags.command()
@_name
@_flags
@json_option
def show(name: str, path: Path, as_json: bool) -> None:
    """Show one flag, and everything that decides about it."""
    flag = Flags.load(path).flag(name)
    lines = (line for key, text in story(flag) for line in folded(key, text, 16))
    print_result(lines, row_of(flag), as_json=as_json)


@flags.command()
@_name
@click.option("--user", help="The user to decide for.")
@click.option("--group", "groups", multiple=True, help="A group of the user's (repeatable).")
@_flags
@json_option
def evaluate(name: str, user: str | None, groups: tuple[str, ...], path: Path, as_json: bool) -> None:
    """Show whether a flag is on for a user, and why."""
    decision = Flags.load(path).evaluate(name, user, groups)
    found = {"flag": name, "user": user, "groups": list(groups), "on": decision.on, "why": decision.why}
    print_result([f"{'on' if decision.on else 'off'}: {decision.why}"], found, as_json=as_json)


# ---------------------------------------------------------------------------------------------------------- change


@flags.command()
@_name
@click.option("--controls", multiple=True, required=True, metavar="GLOB", help="Endpoints it controls (repeatable).")
@_texts
@_flags
def create(name: str, controls: tuple[str, ...], path: Path, **texts: str | None) -> None:
    """Add a flag that is off for all users.

    Without --description, the description names the endpoints that the flag controls. Without --owner, the flag has the
    owner of the first flag in the file.
    """
    there, rule = Flags.load(path).flags, schema()["definitions"]["name"]
    if not re.fullmatch(rule["pattern"], name):
        raise click.UsageError(f"{one_line(name)!r} is not {rule['title']}")
    for problem in flags_lint.unmatched(controls, _catalog().get("endpoints", ())) if name not in there else ():
        raise click.UsageError(problem)
    row: dict[str, Any] = {
        "controls": list(controls),
        "enabled": False,
        "percent": 0,
        "description": f"Routes to {', '.join(controls)}.",
        "owner": next(iter(there.values())).owner,
        **_cleaned(texts),
    }
    _change(path, name, lambda text: flags_file.created(text, name, row, where=str(path)))


@flags.command()
@_name
@click.option("--reason", required=True, help="Why, in a sentence; for the commit message.")
@_flags
def delete(name: str, reason: str, path: Path) -> None:
    """Remove a flag with its comments.

    Refused if another place of the file names the flag. Endpoints that no other flag controls are off afterwards, and
    programs that ask for the flag by name get an error.
    """
    flags_file.change_file(path, lambda text: flags_file.deleted(text, name, where=str(path)))
    click.echo(f"{one_line(name)}: deleted (serial {Flags.load(path).serial}): {one_line(reason, 500)}")


@flags.command()
@_name
@click.option("--percent", type=click.IntRange(0, 100), help="Share of users (default: the present or first step).")
@click.option("--user", "users", multiple=True, help="Turn it on for this user (repeatable).")
@_reason
@_flags
def enable(name: str, percent: int | None, users: tuple[str, ...], reason: str | None, path: Path) -> None:
    """Turn a flag on for a share of users, and for named users.

    Without --percent a flag at 0 starts at the first step of its ladder; with --user alone it stays at 0 for the rest.
    """
    flag = Flags.load(path).flag(name)
    first = 0 if users else flag.ladder[0]
    share = percent if percent is not None else flag.percent or first
    targets = _targets(flag, "users", allow=users)
    if not targets and (flag.enabled, flag.percent) == (True, share):
        _already_on(flag, reason)
        return
    # The former reason explained the former state.
    _set(path, flag, {"reason": None, "enabled": True, "percent": share, **targets, **_cleaned({"reason": reason})})


def _already_on(flag: Flag, reason: str | None) -> None:
    click.echo(f"{flag.name}: on for {state(flag)} (nothing to change)")
    step = next((step for step in flag.ladder if step > flag.percent), None)
    hints = [f"--percent {step} is the next step of its ladder"] if step else []
    hints += [f"to change the reason: kimiprobe flags set {flag.name} --reason ..."] if reason else []
    for hint in hints:
        click.echo(f"note: {hint}", err=True)


@flags.command()
@_name
@_reason
@_flags
def disable(name: str, reason: str | None, path: Path) -> None:
    """Turn a flag off for all users.

    If the flag is enabled again, it starts at the first step of its ladder.
    """
    flag = Flags.load(path).flag(name)
    _set(path, flag, {"enabled": False, "percent": 0, **_cleaned({"reason": reason})})


@flags.command("set")
@_name
@click.option("--percent", type=click.IntRange(0, 100), help="Share of users.")
@click.option("--allow", "--allow-user", "allow", multiple=True, metavar="USER", help="On for this user (repeatable).")
@click.option("--deny", "--deny-user", "deny", multiple=True, metavar="USER", help="Off for this user (repeatable).")
@click.option("--remove-user", "remove", multiple=True, metavar="USER", help="Take this user off both lists.")
@click.option("--allow-group", multiple=True, metavar="GROUP", help="On for this group (repeatable).")
@click.option("--deny-group", multiple=True, metavar="GROUP", help="Off for this group (repeatable).")
@click.option("--remove-group", multiple=True, metavar="GROUP", help="Take this group off both lists.")
@click.option("--pin", type=click.Choice(["on", "off"]), help="A human's decision that the bot never changes.")
@click.option("--no-pin", is_flag=True, help="Let percent and the bot decide again.")
@click.option("--accept-rescued/--no-accept-rescued", default=None, help="Whether rescued answers count as passed.")
@_texts
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
    path: Path,
    **texts: str | None,
) -> None:
    """Change the given parts of a flag; all other parts stay."""
    if pin and no_pin:
        raise click.UsageError("--pin and --no-pin exclude each other")
    flag = Flags.load(path).flag(name)
    changes: dict[str, Any] = {
        **({"percent": percent} if percent is not None else {}),
        **_targets(flag, "users", allow, deny, remove),
        **_targets(flag, "groups", allow_group, deny_group, remove_group),
        **({"pin": pin} if pin or no_pin else {}),
        **({"accept_rescued": accept_rescued} if accept_rescued is not None else {}),
        **_cleaned(texts),
    }
    if not changes:
        raise click.UsageError("nothing to set; see --help")
    _set(path, flag, changes)


def _targets(
    flag: Flag, kind: str, allow: Sequence[str] = (), deny: Sequence[str] = (), remove: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Changed lists of users or groups (`kind`), by key, such as `users.allow`.

    A name that is added to one of the lists allow and deny is removed from the other.
    """
    both = set(allow) & set(deny)
    if both:
        raise click.UsageError(f"{', '.join(sorted(both))}: allow or deny, not both")
    now = getattr(flag, kind)
    allowed = dict.fromkeys([*sorted(now.allow.difference(deny, remove)), *allow])
    denied = dict.fromkeys([*sorted(now.deny.difference(allow, remove)), *deny])
    changed = {"allow": list(allowed)} if allowed.keys() != now.allow else {}
    changed |= {"deny": list(denied)} if denied.keys() != now.deny else {}
    return {f"{kind}.{word}": names for word, names in changed.items()}


def _set(path: Path, flag: Flag, changes: Mapping[str, Any]) -> None:
    moved = any(changes.get(key, getattr(flag, key)) != getattr(flag, key) for key in ("enabled", "percent"))
    since = {"since": utc_text(datetime.now(UTC))} if moved else {}
    _change(path, flag.name, lambda text: flags_file.edited(text, {flag.name: {**changes, **since}}, where=str(path)))


def _cleaned(texts: Mapping[str, str | None]) -> dict[str, str]:
    """The texts that were given, each put on one line; missing and empty ones are left out."""
    return {key: one_line(text, 500) for key, text in texts.items() if text}


def _change(path: Path, name: str, change: Callable[[str], str]) -> None:
    before = Flags.load(path)
    written = flags_file.change_file(path, change)
    after = Flags.load(path)
    flag = after.flag(name)
    word = f"serial {after.serial}" if written else "nothing to change"
    click.echo(f"{flag.name}: on for {state(flag)} ({word})")
    for finding in _findings(path, before) if written else ():
        if f"{finding.path}.".startswith(f"flags.{name}."):
            click.echo(f"note: {finding.path.removeprefix('flags.')}: {finding.message}", err=True)


# ------------------------------------------------------------------------------------------------------------ lint


@flags.command()
@click.option("--base", type=click.Path(path_type=Path), help="The accepted version that this one would replace.")
@_flags
@json_option
def lint(base: Path | None, path: Path, as_json: bool) -> None:
    """Check flags.yaml; exits with 1 if there are errors.

    With --base, steps and serial are checked as well: `git show origin/main:flags.yaml > base.yaml`.
    """
    findings = _findings(path, _accepted(base) if base is not None else None)
    errors = sum(finding.level == "error" for finding in findings)
    lines = [f"{path}:{finding}" for finding in findings]
    lines.append(f"{path}: {count_text(errors, 'error')}, {count_text(len(findings) - errors, 'warning')}")
    print_result(lines, {"findings": [asdict(finding) for finding in findings]}, as_json=as_json)
    sys.exit(errors > 0)


def _findings(path: Path, base: Flags | None) -> list[Problem]:
    return flags_lint.lint(read_regular(path, error=FlagsError), where=str(path), base=base, **_catalog())


def _accepted(base: Path) -> Flags | None:
    """The flags in the file `base`; None if that file is not valid.

    None lets a change pass that repairs the file.
    """
    data = read_regular(base, error=FlagsError)
    try:
        return Flags.loads(data, str(base))
    except FlagsError as problem:
        click.echo(f"steps and serial are not checked, because the base is wrong: {problem}", err=True)
        return None


def _catalog() -> dict[str, Any]:
    try:
        catalog = catalogs.load()
    except CatalogError:  # `doctor` reports it; flags can be checked without it
        return {}
    return {
        "endpoints": list(catalog.endpoints),
        "reference": {model.reference for model in catalog.models.values()},
        "models": list(catalog.models),
    }
