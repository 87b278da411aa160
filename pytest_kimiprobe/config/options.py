"""The options as one table: each is a command line option, an environment variable and an ini setting.

Precedence: command line, environment (`KIMIPROBE_…`), ini (`kimiprobe_…`), default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a run. `read` converts its text to the value, and raises ValueError that says what is wrong."""

    name: str
    default: str
    help: str
    metavar: str = ""
    read: Callable[[str], Any] = str
    action: str = "store"

    @property
    def flag(self) -> str:
        return f"--kimiprobe-{self.name}"

    @property
    def dest(self) -> str:
        return f"kimiprobe_{self.name.replace('-', '_')}"

    @property
    def variable(self) -> str:
        return self.dest.upper()


def _globs(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _two(text: str) -> tuple[str, ...]:
    names = tuple(text.split())
    if len(names) not in {0, 2} or len(set(names)) != len(names):
        raise ValueError(f"two different endpoints are needed, not {text!r}")
    return names


def _positive(text: str) -> int:
    number = int(text) if text.strip().isdigit() else 0
    if number < 1:
        raise ValueError(f"{text!r} is not a whole number of at least 1")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 86400:
        raise ValueError(f"{text!r} is not a number of seconds above 0")
    return number


def _patience(text: str) -> float | None:
    return None if not text else 0.0 if text.strip() in {"0", "0.0"} else _seconds(text)


def _load(text: str) -> tuple[str, ...]:
    if text not in {"", "mixed", "alone", "crowd", "both"}:
        raise ValueError(f"{text!r} is none of mixed, alone, crowd, both")
    return ("alone", "crowd") if text == "both" else (text,) if text else ()


def _usd(text: str) -> Decimal | None:
    if not text:
        return None
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise ValueError(f"{text!r} is not an amount of USD above 0")
    return amount


def _yes(text: str) -> bool:
    return text.strip().lower() in {"1", "true", "yes", "on"}


def _choice(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is none of {', '.join(allowed)}")
        return text

    return read


OPTIONS: tuple[Option, ...] = (
    Option("source", "live", "where answers come from: live, simulator[:SCENARIO] or replay:PATH", "SOURCE"),
    Option("suite", "core", "packaged cases to run: smoke, core or full", "SUITE", _choice("smoke", "core", "full")),
    Option("endpoint", "", "only endpoints that match this glob (may be repeated)", "GLOB", _globs, "append"),
    Option("model", "", "the model to probe, by the family's own name (default: the catalogue's)", "NAME"),
    Option("repeat", "1", "how often each probe is sent", "N", _positive),
    Option(
        "budget",
        "",
        "USD that the run may cost at most; what would cost more is not run (default: 0.50; simulated: no limit)",
        "USD",
        _usd,
    ),
    Option("concurrency", "8", "concurrent requests for each provider", "N", _positive),
    Option("timeout", "120", "seconds that one probe may take in all", "SECONDS", _seconds),
    Option(
        "patience",
        "",
        "seconds to wait for a provider that answers 429 (default: 90; simulated: 0)",
        "SECONDS",
        _patience,
    ),
    Option(
        "load",
        "",
        "one request at a time (alone), 8 concurrently (crowd), both, or mixed (default: both for the packaged core at real hosts)",
        "LOAD",
        _load,
    ),
    Option("json", "", "write every probe and endpoint to this file as JSON", "FILE"),
    Option("results", "", "record the run in this folder of results", "DIR"),
    Option("record", "", "write what was sent and received into this folder, as vcrpy cassettes without keys", "DIR"),
    Option("compare", "", "probe these two endpoints and compare them, pair by pair", "A B", _two),
    Option("discover", "", "also probe the upstreams that OpenRouter lists today", read=_yes, action="store_true"),
    Option("catalog", "", "use this catalogue instead of the packaged one", "FILE"),
    Option("schemas", "", "also run the JSON Schemas in this folder's .jsonl files as cases (suite full)", "DIR"),
    Option("verbose", "", "print the exchanges as they happen, keys taken out", read=_yes, action="store_true"),
)
_BY_NAME = {option.name: option for option in OPTIONS}


def add_options(parser: pytest.Parser) -> None:
    """Declare the options to pytest, on the command line and as ini settings."""
    group = parser.getgroup("kimiprobe", "probe tool calling of Kimi models")
    group.addoption(
        "--kimiprobe", action="store_true", default=False, help="run probes; without it pytest is untouched"
    )
    for option in OPTIONS:
        group.addoption(option.flag, dest=option.dest, action=option.action, default=None, **_declaration(option))
        parser.addini(option.dest, option.help, default=None)
    parser.addini("kimiprobe_files", "globs of your own case files", type="args", default=["*.kimiprobe.yaml"])
    parser.addini("kimiprobe_paths", "folders of your own cases, for runs without a path", type="paths", default=[])


def _declaration(option: Option) -> dict[str, Any]:
    text = f"{option.help} (default: {option.default})" if option.default else option.help
    several = tuple(option.metavar.split())
    if len(several) > 1:
        return {"help": text, "metavar": several, "nargs": len(several)}
    return {"help": text, "metavar": option.metavar} if several else {"help": text}


def value(config: pytest.Config, name: str, environment: Mapping[str, str] | None = None) -> Any:
    """The value of an option, from the first place that sets it. Raises UsageError that names that place."""
    option = _BY_NAME[name]
    place, given = _given(config, option, os.environ if environment is None else environment)
    try:
        return option.read(" ".join(given) if isinstance(given, list) else str(given))
    except ValueError as error:
        raise pytest.UsageError(f"{place}: {error}") from None


def given(config: pytest.Config, *, leave_out: Collection[str]) -> list[str]:
    """The options that any place sets, as arguments of a command line."""
    found: list[str] = []
    for option in OPTIONS:
        place, text = _given(config, option, os.environ)
        if place == "default" or option.name in leave_out:
            continue
        if option.action == "store_true":
            found += [option.flag] if value(config, option.name) else []
        else:
            found += [f"{option.flag}={text}"]
    return found


def of_pytest(config: pytest.Config) -> list[str]:
    """Command line of pytest's own options (root, ini file, plugins, conftest files) that repeats those of this run."""
    option = config.option
    found = [f"--rootdir={config.rootpath}", *(["-c", str(config.inipath)] if config.inipath else [])]
    found += [word for name in option.plugins or () for word in ("-p", name)]
    found += [word for setting in option.override_ini or () for word in ("-o", setting)]
    found += ["--noconftest"] if getattr(option, "noconftest", False) else []
    found += [f"--confcutdir={option.confcutdir}"] if option.confcutdir else []
    return [*found, *(["--disable-plugin-autoload"] if getattr(option, "disable_plugin_autoload", False) else [])]


def _given(config: pytest.Config, option: Option, environment: Mapping[str, str]) -> tuple[str, Any]:
    given = config.getoption(option.dest, None)
    if given not in (None, []):
        return option.flag, given
    if environment.get(option.variable):
        return option.variable, environment[option.variable]
    if ini := _ini(config, option):
        return f"ini setting {option.dest}", ini
    return "default", option.default


def _ini(config: pytest.Config, option: Option) -> Any:
    try:
        return config.getini(option.dest)
    except (TypeError, pytest.UsageError):  # a value in a [tool.pytest] table that is not a string
        from .ini_files import settings_of

        return (settings_of(config.inipath) or {}).get(option.dest, "") if config.inipath else ""
