"""Docs that cannot go stale: options, samples, examples and links."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kimiprobe import hooks
from pytest_kimiprobe.config.options import OPTIONS
from pytest_kimiprobe.simulator import Persona, load_scenario

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PROBING, COSTS, TUTORIAL = (ROOT / "docs" / f"{name}.md" for name in ("probing", "costs", "tutorial"))


def options_table() -> str:
    """The option table of docs/probing.md."""
    rows = ["| option | default | meaning |", "|---|---|---|"]
    rows += [
        f"| `{option.flag}{' ' + option.metavar if option.metavar else ''}` | {option.default or ''} | {option.help} |"
        for option in OPTIONS
    ]
    return "\n".join(rows)


def between(start: str, end: str, page: Path = README) -> str:
    """The text between two marks of a page."""
    text = page.read_text("utf-8")
    found = re.search(rf"<!-- {re.escape(start)}[^>]*-->\n(.*?)\n?<!-- {re.escape(end)} -->", text, re.DOTALL)
    assert found, f"{page.name} has no block {start!r}"
    return found[1]


def test_every_option_is_documented() -> None:
    """`python tests/test_docs.py` renews it."""
    assert between("options", "end of options", PROBING).strip() == options_table()


def test_the_cost_sample_is_what_the_command_prints_today(tmp_path: Path) -> None:
    """Prices change; then the page must."""
    command = [sys.executable, "-c", "from pytest_kimiprobe.monitor.cli import main; main(['cost'])"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert (
        between("sample: kimiprobe cost", "end of sample", COSTS).strip("`\n").removeprefix("text\n") == printed.strip()
    )


HOOKS = [value for name, value in vars(hooks).items() if name.startswith("pytest_kimiprobe_")]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
def test_every_hook_is_documented_with_its_signature(hook: Callable[..., object]) -> None:
    """As a heading of docs/hooks.md, with its arguments, their types and what it gives back."""
    expected = f"### `{hook.__name__}{str(inspect.signature(hook)).replace(chr(39), '')}`"
    assert expected in (ROOT / "docs" / "hooks.md").read_text("utf-8").splitlines()


def test_no_hook_is_documented_that_is_not_there() -> None:
    """Headings and hooks are the same."""
    headings = re.findall(r"^### `(\w+)\(", (ROOT / "docs" / "hooks.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(hook.__name__ for hook in HOOKS)


def test_the_examples_of_hooks_work_as_pasted(pytester: pytest.Pytester) -> None:
    """All in one conftest.py: the case of one is asked of the endpoint of another, judged and told."""
    page = (ROOT / "docs" / "hooks.md").read_text("utf-8")
    pytester.makeconftest("\n".join(re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)))
    asked = ("kimiprobe/plugins::hello", "--kimiprobe-endpoint=*+wandb/fp8", "-o", "kimiprobe_paths=.")
    done = pytester.runpytest_subprocess("--kimiprobe", "--kimiprobe-source=simulator:healthy", *asked, "-s")
    done.assert_outcomes(passed=2)
    assert done.stdout.str().count("openrouter/moonshotai/kimi-k2.6+wandb/fp8: pass, ok") == 2


def test_every_word_of_a_case_is_documented() -> None:
    """Fields, expectations and matchers of the schema stand in docs/cases.md."""
    page = (ROOT / "docs" / "cases.md").read_text("utf-8")
    schema = json.loads((ROOT / "pytest_kimiprobe" / "cases" / "case.schema.json").read_text("utf-8"))["definitions"]
    words = [name for part in ("case", "expect", "expected_call") for name in schema[part]["properties"]]
    words += list(schema["matcher"]["then"]["properties"])
    assert [word for word in words if f"`{word}" not in page and f"{{{word}" not in page] == []


PAGES = [page for page in sorted(ROOT.glob("**/*.md")) if not re.search(r"/(?:\.venv[^/]*|node_modules)/", str(page))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Relative links only; the rest is the web's."""
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_example_of_a_case_file_runs_as_pasted(tmp_path: Path) -> None:
    """docs/cases.md is the first thing that somebody copies."""
    example = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "cases.md").read_text("utf-8"), re.DOTALL)
    assert example
    (tmp_path / "x.kimiprobe.yaml").write_text(example[1], "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--kimiprobe", "x.kimiprobe.yaml"]
    command += ["--kimiprobe-source", "simulator:healthy"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout


def test_the_example_of_true_rates_loads_as_pasted(tmp_path: Path) -> None:
    """docs/measures.md shows every rate there is."""
    example = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "measures.md").read_text("utf-8"), re.DOTALL)
    assert example
    (tmp_path / "truth.yaml").write_text(example[1], "utf-8")
    persona = load_scenario(tmp_path / "truth.yaml").persona_of("moonshot/kimi-k2.6")
    rates = {"availability", "trigger_rate", "leak_rate", "schema_accuracy", "first_token_ms", "first_token_p95_ms"}
    assert persona is not None
    assert {name for name in rates if getattr(persona, name) == getattr(Persona(), name)} == set()


@pytest.mark.parametrize("option", ["--input", "--output", "--requests"])
def test_a_cost_of_less_than_nothing_is_a_usage_error(option: str) -> None:
    """A negative count of tokens or requests is refused by its option's name."""
    command = [sys.executable, "-c", f"from pytest_kimiprobe.monitor.cli import main; main(['cost', '{option}', '-1'])"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert option in done.stderr


def renew() -> None:
    """Write the option table and the samples into their pages."""
    command = [sys.executable, "-c", "from pytest_kimiprobe.monitor.cli import main; main(['cost'])"]
    cost = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    probe = [".venv/bin/python", "-m", "pytest", "--kimiprobe", "--kimiprobe-source", "simulator"]
    shown = subprocess.run(probe, capture_output=True, text=True, check=False, cwd=ROOT).stdout
    table = shown[shown.index("kimiprobe: simulated hosts") :].strip()
    for page, start, end, block in (
        (PROBING, "options", "end of options", options_table()),
        (COSTS, "sample: kimiprobe cost", "end of sample", f"```text\n{cost}\n```"),
        (README, "sample: make probe", "end of sample", f"```text\n{table}\n```"),
    ):
        head, _, rest = page.read_text("utf-8").partition(f"<!-- {start}")
        mark, _, rest = rest.partition("-->\n")
        tail = rest.partition(f"<!-- {end} -->")[2]
        page.write_text(f"{head}<!-- {start}{mark}-->\n{block}\n<!-- {end} -->{tail}", "utf-8")


if __name__ == "__main__":
    renew()
