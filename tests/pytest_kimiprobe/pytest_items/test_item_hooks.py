"""Probes are pytest items: everybody's hooks run for them, but for those of pytest that watch what a test prints."""

from __future__ import annotations

from pathlib import Path

import pytest

HEALTHY = ("--kimiprobe", "--kimiprobe-source", "simulator:healthy", "--kimiprobe-endpoint", "moonshot/*")
CASE = """version: 1
cases:
  - name: {name}
    prompt: What is the weather in Paris?
    tools: [{{name: get_weather, parameters: {{type: object, properties: {{city: {{type: string}}}}, required: [city]}}}}]
    expect: {{calls: [{{name: get_weather, arguments: {{city: {city}}}}}]}}
...
"""
NOTING = """
from pathlib import Path

def noted(name, item):
    with open({folder!r} + "/noted.txt", "a") as file:
        file.write(f"{here} {{name}} {{getattr(item, 'nodeid', item)}}\\n")

def pytest_runtest_setup(item): noted("setup", item)
def pytest_runtest_call(item): noted("call", item)
def pytest_runtest_teardown(item): noted("teardown", item)
def pytest_runtest_makereport(item): noted("makereport", item)
def pytest_runtest_logstart(nodeid): noted("logstart", nodeid)
"""


@pytest.fixture(autouse=True)
def _plain_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -p no:syrupy -p no:hypothesispytest\n")


def case(folder: Path, name: str, city: str = "Paris") -> None:
    """A file of one case."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.kimiprobe.yaml").write_text(CASE.format(name=name, city=city), "utf-8")


def test_hooks_of_a_conftest_run_for_the_probes_below_it(pytester: pytest.Pytester) -> None:
    """Each phase once, reports three times; those of another folder's conftest.py do not."""
    for name in ("one", "two"):
        folder = pytester.path / name
        case(folder, f"case_{name}")
        (folder / "conftest.py").write_text(NOTING.format(folder=str(pytester.path), here=name), "utf-8")
    pytester.runpytest_subprocess(*HEALTHY, "one", "two", "-k", "plain").assert_outcomes(passed=2)
    noted = (pytester.path / "noted.txt").read_text("utf-8").splitlines()
    for name in ("one", "two"):
        own = [line.split()[1] for line in noted if line.startswith(f"{name} ") and f"case_{name}" in line]
        assert own == ["logstart", "setup", "makereport", "call", "makereport", "teardown", "makereport"]
    assert not [line for line in noted if line.startswith("one ") and "case_two" in line and "logstart" not in line]


def test_marks_that_skip_or_expect_a_failure_are_obeyed(pytester: pytest.Pytester) -> None:
    """As with any item; what is skipped is not even sent."""
    for name, city in (("skipped", "Paris"), ("broken", "Rome"), ("right", "Paris")):
        case(pytester.path, name, city)
    pytester.makeconftest(
        """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                if item.name.startswith("skipped"):
                    item.add_marker(pytest.mark.skip(reason="not today"))
                if item.name.startswith("broken"):
                    item.add_marker(pytest.mark.xfail(reason="known"))
        """
    )
    files = [f"{name}.kimiprobe.yaml" for name in ("skipped", "broken", "right")]
    found = pytester.runpytest_subprocess(*HEALTHY, *files, "-k", "plain")
    found.assert_outcomes(skipped=1, xfailed=1, passed=1)
    found.stdout.fnmatch_lines(["kimiprobe: 2 requests, *"])


@pytest.mark.parametrize("hook", ["pytest_runtest_call", "pytest_runtest_logreport"])
def test_what_a_hook_of_the_users_prints_in_a_phase_is_captured_as_ever(pytester: pytest.Pytester, hook: str) -> None:
    """Elsewhere nothing of a probe is left to run, and its report has no output; a test among them has its own."""
    case(pytester.path, "broken", "Rome")
    pytester.makeconftest(
        f"""
        def {hook}():
            print("printed in a hook")
        """
    )
    pytester.makepyfile(test_other="def test_other():\n    print('of the test')\n    assert False\n")
    found = pytester.runpytest_subprocess(
        *HEALTHY, "test_other.py", "broken.kimiprobe.yaml", "-k", "other or plain", "--tb=long"
    )
    text = found.stdout.str()
    probe, test = text.index("_ broken["), text.index("_ test_other _")
    of_probe = text[probe : test if probe < test else text.index("kimiprobe: simulated hosts")]
    assert ("Captured" in of_probe) == (hook == "pytest_runtest_call")
    assert "of the test" in text
    found.assert_outcomes(failed=2)
