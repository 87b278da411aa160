"""GitHub through PyGithub, without its dangerous defaults: no POST is repeated blindly, no wait is longer than a pause.

PyGithub would repeat a POST ten times and sleep until a rate limit resets, six hours if need be. Here only GET is
repeated (twice), a refusal by a rate limit is waited for twice at most and never longer than two minutes, and every
failure ends as one sentence that says what to do. The token is in none of them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from routing.errors import KeyMissing, RoutingError

from ...safe_text import one_line, redact

if TYPE_CHECKING:
    from github.GithubException import GithubException
    from github.Repository import Repository

API = "https://api.github.com"
LONGEST_WAIT_S = 120.0
WAITS = 2
TIMEOUT_S = 20
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_T = TypeVar("_T")


class GitHubProblem(RoutingError):
    """GitHub refused or could not be reached; the message says what to do. `status` is HTTP's, None without answer."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Calls:
    """Runs calls of PyGithub with few retries and clear errors."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self.sleep = sleep
        self._waits = 0

    def __call__(self, doing: str, call: Callable[[], _T]) -> _T:
        """The call's result. `doing` is what was tried, for the message. Raises GitHubProblem."""
        import requests
        from github.GithubException import GithubException

        while True:
            try:
                return call()
            except GithubException as error:
                wait, problem = _asked_wait(error), _explained(doing, error)
            except requests.RequestException as error:
                told = one_line(redact(f"{doing}: GitHub was not reached ({type(error).__name__}); run again later"))
                wait, problem = None, GitHubProblem(told)
            # Raised out here, so that PyGithub's exception with all it quotes is not carried along.
            if wait is None:
                raise problem
            if wait > LONGEST_WAIT_S or self._waits >= WAITS:
                told = f"{doing}: GitHub's rate limit asks to wait {wait:.0f} s; run again after that"
                raise GitHubProblem(told, status=problem.status)
            self._waits += 1
            self.sleep(wait)


def repository(name: str, environment: Mapping[str, str], calls: Calls, *, backoff_s: float = 0.5) -> Repository:
    """The repository `owner/name`, with the token of the environment.

    Raises ModuleNotFoundError's sentence as GitHubProblem where PyGithub is missing, KeyMissing without a token.
    """
    try:
        import github
        from urllib3.util import Retry
    except ModuleNotFoundError:
        raise GitHubProblem('PyGithub is not installed: pip install "pytest-kimiprobe[github]"') from None
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*/[\w.-]+", name):
        raise GitHubProblem(f"{one_line(name, 60)!r} is no repository: owner/name is")
    token, url = environment.get("GITHUB_TOKEN", "").strip(), environment.get("GITHUB_API_URL", "") or API
    if not token:
        raise KeyMissing("not set; a workflow passes `github.token` or a GitHub App's", where="GITHUB_TOKEN")
    parts = urlsplit(url)
    local = parts.hostname in _LOOPBACK
    if not (parts.scheme == "https" or (local and parts.scheme == "http")) or parts.username or parts.password:
        raise GitHubProblem("GITHUB_API_URL: https is needed: the token would travel in clear text")
    retry = Retry(
        total=2,
        allowed_methods=("GET", "HEAD"),
        status_forcelist=(500, 502, 503, 504),
        backoff_factor=backoff_s,
        respect_retry_after_header=False,
        raise_on_status=False,
    )
    client = github.Github(
        auth=github.Auth.Token(token),
        base_url=url.rstrip("/"),
        timeout=TIMEOUT_S,
        retry=retry,
        seconds_between_requests=0 if local else 0.25,
        seconds_between_writes=0 if local else 1,
    )
    return calls(f"open {name}", lambda: client.get_repo(name))


def message_of(error: GithubException) -> str:
    """GitHub's own words, its list of errors too, on one line."""
    data: Any = error.data if isinstance(error.data, dict) else {}
    errors = data.get("errors") or []
    rows = [row.get("message") or row.get("code") or "" if isinstance(row, dict) else str(row) for row in errors]
    return one_line(
        redact("; ".join(str(part) for part in [data.get("message") or error.message or "", *rows] if part))
    )


def _asked_wait(error: GithubException) -> float | None:
    """Seconds that a rate limit asks for; None where it is another refusal. Such a request was not carried out."""
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    words = message_of(error).lower()
    if error.status not in {403, 429} or not ("rate limit" in words or "retry-after" in headers or error.status == 429):
        return None
    if headers.get("retry-after", "").isdigit():
        return float(headers["retry-after"])
    if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdigit():
        return max(float(headers["x-ratelimit-reset"]) - datetime.now(UTC).timestamp(), 1.0)
    return 60.0  # GitHub's documentation: at least a minute where no header says otherwise


def _explained(doing: str, error: GithubException) -> GitHubProblem:
    words = message_of(error)
    advice = _advice(error.status, words)
    told = f"{doing}: HTTP {error.status}: {words}" + (f"; {advice}" if advice else "")
    return GitHubProblem(told, status=error.status)


def _advice(status: int, words: str) -> str:
    if "not permitted to create or approve pull requests" in words:
        return (
            'switch on "Allow GitHub Actions to create and approve pull requests" under Settings, Actions, General, '
            "Workflow permissions"
        )
    if status == 401:
        return "GITHUB_TOKEN has expired or was revoked; the results are recorded, run again with a new one"
    if status == 403:
        return "the job needs `contents: write`, `pull-requests: write` and `issues: write`"
    if status == 404:
        return "it does not exist, or the token may not see it"
    return "nothing is lost, run again later" if status >= 500 else ""
