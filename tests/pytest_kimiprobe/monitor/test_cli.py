"""The command line around the commands: help, missing modules and libraries, errors of the user's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pytest_kimiprobe.monitor import cli
from pytest_kimiprobe.monitor.cli import main
from routing import __version__
from routing.errors import FlagsError


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="kimiprobe")


def test_version() -> None:
    """`--version` tells the release."""
    assert invoke("--version").stdout == f"kimiprobe, version {__version__}\n"


def test_help_lists_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row whose module is missing is left out and breaks nothing."""
    rows = {"flags": cli.COMMANDS["flags"], "later": "pytest_kimiprobe.monitor.cli.no_such_module:later"}
    monkeypatch.setattr(cli, "COMMANDS", rows)
    result = invoke("--help")
    assert result.exit_code == 0
    assert "flags  Show flags.yaml" in result.stdout
    assert "later" not in result.stdout
    assert invoke("later").exit_code == 2


@pytest.mark.parametrize("group", [(), ("flags",)], ids=["kimiprobe", "flags"])
def test_every_command_has_one_whole_line_in_the_help(group: tuple[str, ...]) -> None:
    """No row is cut, and none is wrapped at 80 columns."""
    rows = invoke(*group, "--help").stdout.partition("Commands:\n")[2].splitlines()
    assert all(row.endswith((".", ")")) and not row.endswith("...") for row in rows), rows
    assert max(map(len, rows)) <= 80


@pytest.mark.parametrize(("typed", "meant"), [("chek", "check"), ("stauts", "status"), ("Doctor", "doctor")])
def test_a_mistyped_command_gets_a_suggestion(typed: str, meant: str) -> None:
    result = invoke(typed)
    assert result.exit_code == 2
    assert result.stderr.endswith(f"Error: No such command {typed!r}. Did you mean {meant}?\n")


def test_every_row_is_a_command_or_not_there_yet() -> None:
    """No row points at a module that exists without the command."""
    context = click.Context(main)
    assert isinstance(main, cli.Commands)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert isinstance(command, click.Command)
        assert command.name == name


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A command that lacks an extra says which, when it is run."""
    (tmp_path / "needs_github.py").write_text("import github.nothing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "github", None)
    monkeypatch.setattr(cli, "COMMANDS", {"propose": "needs_github:propose"})
    assert "needs pip install pygithub (the extra `github`" in invoke("--help").stdout
    result = invoke("propose", "--whatever", "x")
    assert result.exit_code == 2
    assert "`kimiprobe propose` needs the library github" in result.stderr
    assert "pip install pygithub" in result.stderr


def test_a_config_error_of_any_command_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """ConfigError is the user's to mend: one line, exit code 2; other errors keep their traceback."""

    @click.command()
    @click.option("--bug", is_flag=True)
    def command(bug: bool) -> None:
        if bug:
            raise RuntimeError("a bug")
        raise FlagsError("wrong\nin two lines", where="file:1:2")

    monkeypatch.setattr(cli.Commands, "get_command", lambda *_: command)
    assert (invoke("command").exit_code, invoke("command").stderr) == (2, "Error: file:1:2: wrong in two lines\n")
    assert isinstance(invoke("command", "--bug").exception, RuntimeError)


def test_the_command_line_is_light() -> None:
    """`kimiprobe flags` needs neither pytest's run nor an HTTP client."""
    code = (
        "import sys; from pytest_kimiprobe.monitor.cli import main; main(['flags', 'list'], standalone_mode=False);"
        "print(sorted({'httpx', 'httpx2', 'github', 'vcr', 'pytest', 'jinja2'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
