"""What pytest prints of probes: one screen, and more if its own options ask for it."""

from __future__ import annotations

import re

import pytest

BROKEN = ("--kimiprobe", "--kimiprobe-source", "simulator:broken", "kimiprobe/core.yaml")
OWN = "def test_right(): pass\ndef test_wrong(): assert 1 == 2\n"


@pytest.fixture(autouse=True)
def _plain_ini(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    pytester.makeini("[pytest]\naddopts = -ra -p no:cacheprovider -p no:syrupy -p no:hypothesispytest\n")


@pytest.fixture
def packaged(pytester: pytest.Pytester) -> pytest.RunResult:
    return pytester.runpytest("--kimiprobe", "--kimiprobe-source", "simulator", "--kimiprobe-suite", "smoke")


def test_a_run_of_eight_endpoints_ends_on_one_screen(packaged: pytest.RunResult) -> None:
    """24 lines of 80 columns, pytest's last line among them; no file names, dots, tracebacks or short summary."""
    start = next(n for n, line in enumerate(packaged.outlines) if line.startswith("kimiprobe: simulated hosts"))
    shown = packaged.outlines[start:]
    assert len(shown) <= 24, "\n".join(shown)
    assert max(map(len, packaged.outlines[start - 2 :])) <= 80
    text = packaged.stdout.str()
    assert not re.search(r"core\.yaml|FAILURES|ERRORS|short test summary|\[100%\]", text)
    assert packaged.outlines[-1].startswith("=")


def test_the_last_line_counts_verdicts_as_ever(pytester: pytest.Pytester) -> None:
    """What is not printed is not lost."""
    outcomes = pytester.runpytest(*BROKEN).parseoutcomes()
    assert outcomes["failed"] > 0
    assert outcomes["errors"] > 0
    assert outcomes["passed"] > 0


@pytest.mark.parametrize(
    ("asked", "shown", "hidden"),
    [
        (
            "-v",
            ["*core.yaml::weather* FAILED*", "*= FAILURES =*", "*first try, 95 %*", "FAILED *core.yaml::*"],
            "nothing",
        ),
        ("-rA", ["*= short test summary info =*", "FAILED *core.yaml::*", "*first try, 95 %*"], "*FAILED*[[]*%*"),
        ("--tb=short", ["*= FAILURES =*"], "*FAILED*[[]*%*"),
    ],
)
def test_pytests_own_options_ask_for_more(pytester: pytest.Pytester, asked: str, shown: list[str], hidden: str) -> None:
    """Items, sections, short summary and the further tables; the screen still ends the run."""
    result = pytester.runpytest(*BROKEN, asked)
    for line in shown:
        result.stdout.fnmatch_lines([line])
    result.stdout.no_fnmatch_line(hidden)
    assert any(line.startswith("next  ") for line in result.outlines[-3:])


def test_the_short_summary_has_the_order_of_rerun(pytester: pytest.Pytester) -> None:
    """Wrong answers first, by their ids."""
    result = pytester.runpytest(*BROKEN, "-rf")
    failed = [line.split()[1] for line in result.outlines if line.startswith("FAILED ")]
    assert failed
    assert failed == sorted(failed)


def test_own_tests_of_the_same_run_are_printed_as_ever(pytester: pytest.Pytester) -> None:
    """Letters, traceback and short summary are theirs alone."""
    pytester.makepyfile(test_own=OWN)
    result = pytester.runpytest(
        "--kimiprobe", "--kimiprobe-source", "simulator:broken", "test_own.py", "kimiprobe/core.yaml"
    )
    result.stdout.fnmatch_lines(
        ["test_own.py .F*", "*= FAILURES =*", "*assert 1 == 2*", "FAILED test_own.py::test_wrong*"]
    )
    result.stdout.no_fnmatch_line("*core.yaml::*")


def test_a_terminal_of_another_encoding_does_not_crash(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ASCII is enough for the screen."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("PYTHONUTF8", "0")
    result = pytester.runpytest_subprocess(*BROKEN)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "UnicodeEncodeError" not in result.stdout.str() + result.stderr.str()
    result.stdout.fnmatch_lines(["endpoint * answered *"])
