"""The tutorial of docs/tutorial.md, run as it stands."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from test_docs import ROOT, TUTORIAL, between

BIN = Path(sys.executable).parent


def test_the_tutorial_walks_the_circle_and_the_router_changes_its_mind(tmp_path: Path) -> None:
    """From a copy of flags.yaml to another first candidate, without a key."""
    shutil.copy(ROOT / "flags.yaml", tmp_path)
    (tmp_path / ".venv").symlink_to(BIN.parent)
    script = between("tutorial", "end of tutorial", TUTORIAL).strip().removeprefix("```sh\n").removesuffix("```")
    log = tmp_path / "log.txt"
    with log.open("w") as out:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, stdout=out, stderr=out, start_new_session=True
        )
        try:
            code = shell.wait(timeout=120)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)  # the simulator too, where the script stopped early
    printed = log.read_text("utf-8")
    assert code == 0, printed
    first_choices = re.findall(r"^  1\. (\S+)", printed, re.MULTILINE)
    assert len(first_choices) == 2
    assert first_choices[0] == "moonshot/kimi-k2.6"
    assert first_choices[1].startswith("openrouter/moonshotai/kimi-k2.6")
    assert "Turn on openrouter_kimi_tool_calling for 10 % of users" in printed
    assert (tmp_path / "circle" / "results" / "latest.json").is_file()
