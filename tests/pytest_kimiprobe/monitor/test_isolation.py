"""`kimiprobe check` runs isolated from the repository's test environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    "last_act",
    ["raise SystemExit(1)", "raise SystemExit(0)", "import os; os.kill(os.getpid(), 15)", "raise KeyboardInterrupt"],
)
def test_a_check_that_ends_before_it_probes_exits_with_two_or_more(
    repository: Path, monkeypatch: pytest.MonkeyPatch, last_act: str
) -> None:
    (repository / "probes" / "conftest.py").write_text(f"{last_act}\n", "utf-8")
    assert check(repository, monkeypatch, "--with-conftest").returncode not in {0, 1}


@pytest.mark.parametrize(
    "hook", ["pytest_configure(config)", "pytest_sessionstart(session)", "pytest_collection(session)"]
)
def test_a_plugin_that_raises_ends_a_check_with_two_or_more(
    repository: Path, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    (repository / "listener.py").write_text(f"def {hook}:\n    raise SystemExit(1)\n", "utf-8")
    assert check(repository, monkeypatch, "--plugin=listener").returncode not in {0, 1}


def test_the_header_of_a_check_does_not_name_the_configuration_that_it_does_not_read(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = check(repository, monkeypatch, "-k", "capital").stdout
    assert "kimiprobe: simulated" in shown
    assert not {"rootdir:", "configfile:", "plugins:"} & set(shown.split())


@pytest.mark.parametrize("name", ["json", "record", "catalog"])
@pytest.mark.parametrize("path", ["../out", "/tmp/out", "link/out"])
def test_a_check_refuses_a_setting_that_leads_out_of_the_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    (repository / "link").symlink_to("/tmp")
    with (repository / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(f"kimiprobe_{name} = '{path}'\n")
    done = check(repository, monkeypatch)
    said = f"ini setting kimiprobe_{name}: {path}: must be a relative path inside the repository, without `..`"
    assert (done.returncode, said in done.stderr, done.stdout) == (2, True, "")


def test_a_check_that_only_collects_or_shows_help_is_all_right(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(repository, monkeypatch, "--collect-only", "-q").returncode == 0
    assert check(repository, monkeypatch, "--version").returncode == 0
