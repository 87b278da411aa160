"""What callers write against the public API passes strict type checkers, and their mistakes do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPTS = Path(sys.executable).parent
COMMANDS = {
    "mypy": [sys.executable, "-m", "mypy", "--strict", str(HERE / "api.py")],
    "pyright": [str(SCRIPTS / "basedpyright"), "-p", str(HERE / "pyrightconfig.json"), "--pythonpath", sys.executable],
}


@pytest.mark.parametrize("checker", COMMANDS)
def test_the_public_api_is_typed(checker: str) -> None:
    """Lines that must be errors carry the checker's own mark, and an unused mark is an error."""
    done = subprocess.run(COMMANDS[checker], capture_output=True, text=True, check=False, cwd=HERE.parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
