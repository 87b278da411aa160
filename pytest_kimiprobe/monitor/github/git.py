"""Runs git as a subprocess: no prompts, no hooks, no translated messages. The token is passed in the environment."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from routing.errors import ConfigError

from ...safe_text import one_line, redact

TIMEOUT_S = 120


class RecordProblem(ConfigError):
    """The run files could not be pushed. They stay in the results folder."""


class Git:
    """Runs git commands in one folder. `environment` is added to this process's environment variables."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_TRACE", "GIT_CURL"))}
        self.environment = {**plain, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(environment or {})}

    def run(self, *arguments: str, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run one git command with `text` as input. Raises RecordProblem if it fails, unless `check` is false."""
        command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false", *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - a list, no shell
                command,
                cwd=self.folder,
                env=self.environment,
                input=text,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError:
            raise RecordProblem("git is not installed", where="git") from None
        except subprocess.TimeoutExpired:
            done = subprocess.CompletedProcess(command, 124, "", f"no answer within {TIMEOUT_S} s")
        if check and done.returncode:
            raise RecordProblem(f"git {arguments[0]}: {error_text(done.stderr)}", where=str(self.folder))
        return done

    def out(self, *arguments: str, text: str | None = None) -> str:
        """Run a git command that must succeed, and return its stripped output. Raises RecordProblem if it fails."""
        return self.run(*arguments, text=text).stdout.strip()

    def is_ancestor(self, one: str, other: str) -> bool:
        """Whether the commit `one` is the commit `other` or one of its ancestors."""
        return self.run("merge-base", "--is-ancestor", one, other, check=False).returncode == 0


def token_for(url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that make git send GITHUB_TOKEN to the GitHub server and to no other host.

    Empty if there is no token, or the remote's address `url` is not on that server.
    """
    token = environment.get("GITHUB_TOKEN", "").strip()
    server = environment.get("GITHUB_SERVER_URL", "").rstrip("/") or "https://github.com"
    if not token or not server.startswith("https://") or not url.startswith(f"{server}/"):
        return {}
    secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{server}/.extraheader",
        "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {secret}",
    }


def error_text(text: str) -> str:
    """Error output of git on one line, without the lines that start with `hint:`."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("hint:")]
    return one_line(redact("; ".join(lines)), 400) or "no reason given"
