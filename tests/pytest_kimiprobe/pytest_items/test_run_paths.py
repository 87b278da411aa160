"""What a run collects, and which conftest.py files pytest loads for it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from pytest_kimiprobe.cases import model

ROOT = Path(__file__).resolve().parents[3]
HEALTHY = ("--kimiprobe", "--kimiprobe-source=simulator:healthy", "--kimiprobe-endpoint=moonshot/*")
PROBE = "kimiprobe/core.yaml::weather[moonshot/kimi-k2.6-plain-1]"
OWN = """version: 1
cases:
  - {name: capital, prompt: "What is the capital of France?", tools: [{name: f}], expect: {calls: []}, suite: smoke}
...
"""
IN_PYTHON = """
from pytest_kimiprobe import case

@case("What is the capital of France?", suite="smoke")
def test_in_python(answer):
    assert answer.text

def test_of_the_repository():
    raise AssertionError("nobody asked for it")
"""
RAISES = "raise RuntimeError('this conftest.py needs more than a probe does')\n"


@pytest.fixture(autouse=True)
def _plain_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -p no:syrupy -p no:hypothesispytest\ntestpaths = tests\n")


@pytest.fixture
def repository(pytester: pytest.Pytester) -> Path:
    """A repository whose own tests need what is not installed."""
    for folder in (pytester.path, pytester.mkdir("tests")):
        (folder / "conftest.py").write_text(RAISES, "utf-8")
    return pytester.path


@pytest.mark.parametrize("named", [(), ("kimiprobe/core.yaml",), (PROBE,)])
def test_without_a_path_no_conftest_of_the_repository_is_loaded(
    pytester: pytest.Pytester, repository: Path, named: tuple[str, ...]
) -> None:
    """Neither the root's nor that of a folder of tests; ids of packaged cases are not paths."""
    found = pytester.runpytest(*HEALTHY, *named, "-k", "weather and plain")
    assert (found.ret, found.parseoutcomes()["passed"]) == (0, 1)


def test_with_a_path_pytests_own_rules_hold(pytester: pytest.Pytester, repository: Path) -> None:
    """Its conftest.py belongs to what the user asks for."""
    found = pytester.runpytest(*HEALTHY, "tests", PROBE)
    found.stderr.fnmatch_lines(["ImportError while loading conftest*"])


def in_environment(pytester: pytest.Pytester) -> str:
    """The plugin installed into a virtual environment inside the repository, beside another package's tests."""
    installed = pytester.mkdir(".venv") / "lib" / "site-packages"
    for package in ("pytest_kimiprobe", "routing"):
        shutil.copytree(ROOT / package, installed / package, ignore=shutil.ignore_patterns("__pycache__"))
    (pytester.path / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n", "utf-8")
    (installed / "test_installed.py").write_text("def test_of_a_package(): pass\n", "utf-8")
    return str(installed)


def test_an_environment_inside_the_repository_changes_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not entered, and the repository's conftest.py is loaded for no packaged case in it."""
    installed = in_environment(pytester)
    monkeypatch.setenv("PYTHONPATH", installed)
    pytester.makepyfile(
        test_mine="import pytest_kimiprobe\ndef test_mine(): assert '/.venv/' in pytest_kimiprobe.__file__"
    )
    command = [sys.executable, "-m", "pytest", "-v", *HEALTHY]
    both = pytester.run(*command, ".", PROBE)
    both.assert_outcomes(passed=2)
    both.stdout.fnmatch_lines(["test_mine.py::test_mine PASSED*", "kimiprobe/core.yaml::weather* PASSED*"])
    (pytester.path / "conftest.py").write_text(RAISES, "utf-8")
    pytester.run(*command, PROBE).assert_outcomes(passed=1)


def test_a_path_brings_nothing_that_is_not_below_it(pytester: pytest.Pytester) -> None:
    """Own tests and own cases in files and in Python, no packaged case."""
    pytester.makefile(".kimiprobe.yaml", own=OWN)
    pytester.makepyfile(test_mine=IN_PYTHON)
    found = pytester.runpytest(*HEALTHY, ".", "-rA", "-k", "not stream")
    found.assert_outcomes(passed=2, failed=1, deselected=2)
    assert "kimiprobe/" not in found.stdout.str()


@pytest.mark.parametrize(
    "ignored",
    [
        "--ignore=kimiprobe/core.yaml",
        "--ignore-glob=kimiprobe/c*e.yaml",
        "--ignore-glob=*/core.yaml",
        f"--ignore={ROOT / 'pytest_kimiprobe' / 'cases' / 'packaged' / 'core.yaml'}",
    ],
)
def test_packaged_cases_can_be_ignored(pytester: pytest.Pytester, ignored: str) -> None:
    """By their names in ids or by their paths, as pytest ignores files."""
    found = pytester.runpytest(*HEALTHY, ignored, "--collect-only", "-q").stdout.str()
    assert "kimiprobe/core.yaml" not in found
    assert "kimiprobe/turns.yaml" in found


def test_what_is_named_is_not_ignored(pytester: pytest.Pytester) -> None:
    """As with any argument."""
    pytester.runpytest(*HEALTHY, PROBE, "--ignore=kimiprobe/core.yaml").assert_outcomes(passed=1)


class TestOwnPaths:
    """`kimiprobe_paths`."""

    @pytest.fixture(autouse=True)
    def _folder(self, pytester: pytest.Pytester) -> None:
        folder = pytester.mkdir("probes")
        (folder / "own.kimiprobe.yaml").write_text(OWN, "utf-8")
        (folder / "test_own.py").write_text(IN_PYTHON, "utf-8")
        (folder / "conftest.py").write_text("def pytest_report_header(config): return 'own hooks'\n", "utf-8")
        with (pytester.path / "tox.ini").open("a", encoding="utf-8") as ini:
            ini.write("\nkimiprobe_paths = probes\n")

    def test_their_cases_belong_to_every_run_without_a_path(self, pytester: pytest.Pytester) -> None:
        """In files and in Python, beside the packaged ones; other tests of the folder do not."""
        (pytester.mkdir("tests") / "conftest.py").write_text(RAISES, "utf-8")
        found = pytester.runpytest(
            *HEALTHY, "-v", "--kimiprobe-suite=smoke", "-k", "plain and (capital or weather or own)"
        )
        found.assert_outcomes(passed=3, deselected=found.parseoutcomes()["deselected"])
        found.stdout.fnmatch_lines_random(
            ["own hooks", "kimiprobe/core.yaml::weather*", "probes/own.kimiprobe.yaml::capital*", "*::test_in_python*"],
        )

    def test_their_hooks_take_part_where_a_packaged_case_is_named(self, pytester: pytest.Pytester) -> None:
        """A probe that is run again meets the hooks that it met before."""
        found = pytester.runpytest(*HEALTHY, PROBE)
        found.assert_outcomes(passed=1)
        found.stdout.fnmatch_lines(["own hooks"])

    def test_a_named_path_leaves_them_out(self, pytester: pytest.Pytester) -> None:
        """What is asked for is what runs."""
        pytester.makepyfile(test_mine="def test_mine(): pass")
        pytester.runpytest(*HEALTHY, "test_mine.py").assert_outcomes(passed=1)


def test_a_selected_pair_brings_its_halves(pytester: pytest.Pytester) -> None:
    """Without their answers it could not be judged."""
    found = pytester.runpytest(*HEALTHY, "kimiprobe/stream.yaml", "-k", "parity and alike")
    counts = found.parseoutcomes()
    assert counts["passed"] % 3 == 0
    assert counts.get("skipped", 0) == 0


def test_a_package_without_its_case_files_is_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As inside a zip archive, from which Python can import but which has no folder to list."""
    monkeypatch.setattr(model, "FOLDER", pytester.path / "kimiprobe.zip")
    found = pytester.runpytest(*HEALTHY)
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["*no case files in *kimiprobe.zip*zip archive"])


@pytest.mark.parametrize("option", ["--stepwise", "--stepwise-skip", "--stepwise-reset"])
def test_stepwise_is_refused(pytester: pytest.Pytester, option: str) -> None:
    """It takes the place of a failure in the order of collection for what was run before."""
    pytester.makeini("[pytest]\n")
    found = pytester.runpytest(*HEALTHY, PROBE, option)
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["*--stepwise*use --lf*"])


def test_a_folder_of_kimiprobe_paths_that_does_not_exist_is_refused_by_the_settings_name(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeini("[pytest]\nkimiprobe_paths = nowhere\n")
    result = pytester.runpytest("--kimiprobe", "--kimiprobe-source=simulator")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ini setting kimiprobe_paths: no such file or folder: *nowhere"])


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "::error::b", "a\u202eb"])
@pytest.mark.parametrize("suffix", [".kimiprobe.yaml", "_test.py"])
def test_a_file_name_with_control_characters_or_a_leading_command_is_refused_escaped(
    pytester: pytest.Pytester, name: str, suffix: str
) -> None:
    (pytester.path / f"{name}{suffix}").write_text("version: 1\n", "utf-8")
    result = pytester.runpytest("--kimiprobe", "--kimiprobe-source=simulator", ".")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    printed = str(result.stdout)
    assert f"file name {name + suffix!a}: rename the file" in printed
    assert f"{name}{suffix}" not in printed.replace(ascii(name + suffix), "")
