"""`kimiprobe check` runs isolated from the repository's test environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kimiprobe.monitor.isolation import repository_settings
from routing.errors import ConfigError

RAISES = "raise RuntimeError('not for a probe')\n"
HOSTILE = """
[tool.pytest]
strict = true
addopts = ["--no-such-option"]
required_plugins = ["pytest-none"]
filterwarnings = ["error::NoSuchWarning"]
asyncio_mode = "auto"
kimiprobe_source = "simulator:healthy"
kimiprobe_paths = ["probes"]
"""
OWN = """version: 1
cases:
  - {name: capital, prompt: "What is the capital of France?", tools: [{name: f}], expect: {calls: []}, suite: smoke}
...
"""
PLUGIN = "def pytest_kimiprobe_result(result):\n    print('heard', result.case)\n"
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


def check(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`kimiprobe check`, below settings that break any other pytest."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option-either")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    command = [
        str(Path(sys.executable).parent / "kimiprobe"),
        "check",
        "--suite=smoke",
        "--endpoint=moonshot/*",
        *arguments,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose tests need what is not installed, with cases and a plugin of its own."""
    (tmp_path / "pyproject.toml").write_text(HOSTILE, "utf-8")
    for name in ("tests", "probes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "conftest.py").write_text(RAISES, "utf-8")
    (tmp_path / "probes" / "own.kimiprobe.yaml").write_text(OWN, "utf-8")
    (tmp_path / "listener.py").write_text(PLUGIN, "utf-8")
    return tmp_path


def test_nothing_of_the_test_environment_reaches_a_check(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No conftest.py, option, required plugin, filter, module or variable; its `kimiprobe_*` settings do."""
    (repository / "yaml.py").write_text(RAISES, "utf-8")
    done = check(repository, monkeypatch, "--kimiprobe-json=out.json", "-k", "capital or weather")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((repository / "out.json").read_text("utf-8"))
    assert (found["source"], found["complete"]) == ("simulator", True)
    assert {probe["case"] for probe in found["probes"]} == {"capital", "weather"}


def test_a_plugin_takes_part_where_it_is_named(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is a module of the repository."""
    done = check(repository, monkeypatch, "--plugin=listener", "-s", "-q", "-k", "capital and plain")
    assert (done.returncode, "heard capital" in done.stdout) == (0, True), done.stdout + done.stderr


def test_a_conftest_is_loaded_where_that_is_asked_for(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `kimiprobe_paths`, as `pytest --kimiprobe` does; a folder of tests is none."""
    done = check(repository, monkeypatch, "--with-conftest")
    assert done.returncode != 0
    assert "probes/conftest.py" in done.stderr
    assert "tests/conftest.py" not in done.stderr
