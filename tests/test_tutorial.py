"""The README's tutorial, executed unchanged."""

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
_AFTER = '\necho "afterwards $(env | grep -c ^KIMIPROBE_BASE_URL_) base URLs in $PWD"\n'


def test_the_tutorial_walks_the_circle_and_the_router_changes_its_mind(tmp_path: Path) -> None:
    """It needs no key, changes the first candidate, ends its simulator and leaves the shell as it was.

    The simulator holds the pipe open: the output ends only when the simulator has ended.
    """
    shutil.copy(ROOT / "flags.yaml", tmp_path)
    (tmp_path / ".venv").symlink_to(BIN.parent)
    tutorial = between("tutorial", "end of tutorial", TUTORIAL).strip().removeprefix("```sh\n").removesuffix("```")
    command = ["bash", "-euo", "pipefail", "-c", tutorial + _AFTER]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as shell:
        try:
            printed, _ = shell.communicate(timeout=120)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)  # also the simulator if the script stopped early
    assert shell.returncode == 0, printed
    first_choices = re.findall(r"^  1\. (\S+)", printed, re.MULTILINE)
    assert len(first_choices) == 2
    assert first_choices[0] == "moonshot/kimi-k2.6"
    assert first_choices[1].startswith("openrouter/moonshotai/kimi-k2.6")
    assert "Turn on openrouter_kimi_tool_calling for 10 % of users" in printed
    assert f"afterwards 0 base URLs in {tmp_path}" in printed
    assert (tmp_path / "circle" / "results" / "latest.json").is_file()
