"""Arrows point downward: who may import whom, read from the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HTTP = {"httpx", "httpx2", "httpcore", "httpcore2", "h11", "anyio", "aiohttp"}
UP = {"pytest", "click", "github", "requests", "vcr", "pytest_kimiprobe"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """First parts of absolute imports, also those inside functions; TYPE_CHECKING blocks aside."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", sources("routing"), ids=lambda path: str(path.relative_to(ROOT)))
def test_routing_knows_nothing_of_the_monitor(path: Path) -> None:
    """Production imports it without pytest, click or GitHub; inside, imports are relative."""
    assert not imports(path) & (UP | {"routing"})


@pytest.mark.parametrize("package", ["routing", "pytest_kimiprobe"])
def test_only_transport_knows_the_http_library(package: str) -> None:
    """One seam: swapping the library is one module's work."""
    knowing = {path.name for path in sources(package) if imports(path) & HTTP}
    assert not knowing - {"transport.py"}


def test_the_simulator_is_written_from_the_protocol() -> None:
    """It shares no code with what it tests."""
    for path in sources("pytest_kimiprobe/simulator"):
        assert "routing" not in imports(path), path


PURE = (
    "judge.py",
    "engine/plan.py",
    "engine/pace.py",
    "engine/throttle.py",
    "stats/measures.py",
    "stats/ranking.py",
    "stats/paired_test.py",
    "reporting/terminal.py",
    "tables.py",
    "stats/aggregates.py",
    "stats/status.py",
    "verdicts.py",
    "monitor/decide.py",
    "monitor/costs.py",
)


@pytest.mark.parametrize("name", PURE)
def test_pure_rooms_do_no_io(name: str) -> None:
    """They can be read, tested and trusted alone."""
    doing = {"asyncio", "socket", "subprocess", "threading", "urllib", "click", "github", "pytest"}
    assert not imports(ROOT / "pytest_kimiprobe" / name) & doing


def loaded_after(code: str) -> set[str]:
    """Modules loaded in a fresh interpreter after `code`."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(output.stdout.splitlines()[-1].split())


BANNED = {"pytest", "click", "github", "requests", "jsonschema", "httpx", "httpx2"}


@pytest.mark.parametrize(
    "code",
    [
        "import routing",
        "from routing import Router; Router.load()",
        "from routing import Router; print(Router.load().route('hi', tools=[], user='1'))",
    ],
    ids=["import", "load", "route"],
)
def test_loading_and_routing_stay_light(code: str) -> None:
    """No HTTP library before the first request, and never a test framework."""
    assert not BANNED & loaded_after(code)
