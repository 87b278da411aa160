"""The command line `kimiprobe`. Each command has its own module, which is imported only when it is needed.

Commands are listed in `COMMANDS`. A wrong file or setting (ConfigError) ends in one line on stderr and exit code 2.
"""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any, NoReturn

try:
    import click
except ModuleNotFoundError:
    raise SystemExit(
        "kimiprobe: only the runtime is installed; the commands need the whole package: pip install pytest click jsonschema"
    ) from None

from ...import_check import LIBRARIES, complaint, install_hint, intruder

if _path := intruder():  # before anything of ours needs the real one
    raise SystemExit(f"kimiprobe: {complaint(_path)}")

from routing import __version__
from routing.errors import ConfigError

from ...safe_text import one_line
from .groups import SuggestingGroup

_NAMES = "check rerun status doctor live-check flags decide route record results propose alert cost simulate replay"
COMMANDS = {name: "pytest_kimiprobe.monitor.cli.{0}:{0}".format(name.replace("-", "_")) for name in _NAMES.split()}
"""Command → `module:attribute`, in the order of `--help`. Commands whose module is missing are not offered."""


class Wrong(click.ClickException):
    """Error that ends a command with exit code 2 and one line on stderr, which says what the user has to change."""

    exit_code = 2


class Commands(SuggestingGroup):
    """Command group that imports a command's module when the command is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands that are installed, in the order of COMMANDS."""
        return [name for name in COMMANDS if self.get_command(ctx, name) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's own
        """Import the command of that name; None if there is none.

        If the command needs a library that is not installed, a replacement is returned that names the library when run.
        """
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as problem:
            return None if problem.name == module else _lacking(cmd_name, str(problem.name))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the arguments name. A ConfigError is shown as one line instead of a traceback."""
        try:
            return super().invoke(ctx)
        except ConfigError as problem:
            raise Wrong(one_line(str(problem), 1000)) from None


def _lacking(name: str, library: str) -> click.Command:
    extra = next((name for name, (_, module) in LIBRARIES.items() if module == library.partition(".")[0]), None)
    how = install_hint(extra) if extra else f"pip install {library}"

    def refuse(**_: object) -> NoReturn:
        raise Wrong(f"`kimiprobe {name}` needs the library {library}: {how}")

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, callback=refuse, short_help=f"(needs {how})", context_settings=settings)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kimiprobe")
def main() -> None:
    """Measure which endpoint serves Kimi tool calls correctly, and keep the decision in flags.yaml."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another encoding gets escapes instead of a traceback
            stream.reconfigure(errors="backslashreplace")
