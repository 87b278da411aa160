"""The README's router example, run as it stands against simulated hosts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_docs import between

from pytest_kimiprobe import simulator


def example() -> str:
    return between("router example", "end of router example").strip().removeprefix("```python\n").removesuffix("```")


def test_the_router_example_explains_its_route_and_delivers_a_call(tmp_path: Path) -> None:
    """From an empty folder, with the addresses and keys of simulated hosts."""
    with simulator.Simulator(simulator.load_scenario("healthy")) as hosts:
        environment = {**os.environ, **hosts.environment()}
        done = subprocess.run(
            [sys.executable, "-c", example()],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "1. moonshot/kimi-k2.6" in done.stdout
    assert "name='get_weather'" in done.stdout


def test_the_router_example_is_short() -> None:
    """Ten lines of code, its two lines of tools included."""
    assert len([line for line in example().splitlines() if line.strip()]) <= 11


@pytest.mark.parametrize(
    "word", ["pytest-kimiprobe[all] @ git+https://", "requirements/runtime.txt", "KIMIPROBE_EVIDENCE"]
)
def test_the_readme_says_how_to_install_and_how_production_gets_its_files(word: str) -> None:
    """The package is not on the index; production reads flags.yaml and latest.json."""
    assert word in Path(__file__).resolve().parents[1].joinpath("README.md").read_text("utf-8")
