"""Settings of a repository read without pytest, and native types of TOML read with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kimiprobe.config.ini_files import repository_settings
from routing.errors import ConfigError

LAYOUTS = [
    {"pytest.ini": "[pytest]\nkimiprobe_suite = full\n", "pyproject.toml": "[tool.pytest]\nkimiprobe_suite = 'x'\n"},
    {"pytest.ini": "", "tox.ini": "[pytest]\nkimiprobe_suite = x\n"},
    {"pyproject.toml": "[tool.pytest]\nkimiprobe_suite = 'smoke'\naddopts = ['-q']\n"},
    {"pyproject.toml": "[tool.pytest.ini_options]\nkimiprobe_suite = 'smoke'\nkimiprobe_paths = ['a b', 'c']\n"},
    {"pyproject.toml": "[project]\nname = 'x'\n", "tox.ini": "[pytest]\nkimiprobe_suite = smoke\n"},
    {"tox.ini": "[tox]\n", "setup.cfg": "[tool:pytest]\nkimiprobe_files =\n    *.a.yaml\n    *.b.yaml\n"},
    {"tox.ini": "[pytest]\nkimiprobe_paths = a ../b\nkimiprobe_endpoint = groq/* moonshot/*\n"},
    {"pyproject.toml": "[project]\nname = 'x'\n"},
    {"setup.py": "", "README": ""},
]


@pytest.mark.parametrize("below", ["", "src/deep"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=map(str, range(len(LAYOUTS))))
def test_settings_are_those_of_the_file_that_pytest_chooses(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, layout: dict[str, str], below: str
) -> None:
    """pytest itself says which; given back by `-o` they mean the same."""
    for name, text in layout.items():
        (pytester.path / name).write_text(text, "utf-8")
    folder = pytester.path / below
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)
    root, settings = repository_settings(folder)
    expected = pytester.parseconfig()
    overrides = [argument for name, value in settings.items() for argument in ("-o", f"{name}={value}")]
    found = pytester.parseconfig("-c", "/dev/null", f"--rootdir={root}", *overrides)
    names = ("kimiprobe_suite", "kimiprobe_paths", "kimiprobe_files", "kimiprobe_endpoint")
    assert found.rootpath == expected.rootpath
    assert [found.getini(name) for name in names] == [expected.getini(name) for name in names]


def test_types_of_toml_are_given_as_text(tmp_path: Path) -> None:
    """A list, a number and true, as pytest's own table has them."""
    text = "[tool.pytest]\nkimiprobe_endpoint = ['a/*', 'b/*']\nkimiprobe_repeat = 3\nkimiprobe_verbose = true\n"
    (tmp_path / "pyproject.toml").write_text(text, "utf-8")
    given = {"kimiprobe_endpoint": "a/* b/*", "kimiprobe_repeat": "3", "kimiprobe_verbose": "True"}
    assert repository_settings(tmp_path) == (tmp_path, given)


@pytest.mark.parametrize(("name", "text"), [("pyproject.toml", "[tool"), ("pytest.ini", "a\nb"), ("tox.ini", "[x")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str) -> None:
    """One line, exit code 2."""
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=name):
        repository_settings(tmp_path)


@pytest.mark.parametrize(("name", "table"), [("pyproject.toml", "tool.pytest"), ("other.toml", "pytest")])
def test_native_types_of_toml_are_accepted_in_a_run(pytester: pytest.Pytester, name: str, table: str) -> None:
    """pytest's own table has lists, numbers and true; an option means the same as text, whichever file `-c` names."""
    (pytester.path / name).write_text(
        f"""
        [{table}]
        kimiprobe_source = "simulator:healthy"
        kimiprobe_endpoint = ["moonshot/*", "groq/*"]
        kimiprobe_repeat = 2
        kimiprobe_budget = 0.25
        kimiprobe_verbose = true
        """,
        "utf-8",
    )
    found = pytester.runpytest(
        "-c", name, "--kimiprobe", "kimiprobe/core.yaml::weather", "--collect-only", "-q"
    ).stdout.str()
    assert {line.split("/")[1].split("[")[1] for line in found.splitlines() if "::weather[" in line} == {
        "groq",
        "moonshot",
    }
    assert "-plain-2]" in found
