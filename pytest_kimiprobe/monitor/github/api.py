"""GitHub client based on PyGithub, with limits on retries and waiting times.

By default PyGithub repeats a POST ten times and sleeps until a rate limit resets, which can take six hours. Here only
GET is repeated (twice). A rate limit is waited for at most twice, never longer than two minutes. Every failure becomes
one sentence that says what to do and never contains the token.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from routing.errors import KeyMissing, RoutingError
from routing.types import LOOPBACK

from ...import_check import install_hint
from ...safe_text import one_line, redact

if TYPE_CHECKING:
    from github.GithubException import GithubException
    from github.Repository import Repository

API = "https://api.github.com"
LONGEST_WAIT_S = 120.0
WAITS = 2
TIMEOUT_S = 20
_T = TypeVar("_T")


class GitHubProblem(RoutingError):
    """GitHub refused a request or could not be reached; the message says what to do.

    `status` is the HTTP status, or None if there was no answer.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Calls:
    """Runs functions that call PyGithub: waits for rate limits, and turns exceptions into GitHubProblem."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self.sleep = sleep
        self._waits = 0

    def __call__(self, doing: str, call: Callable[[], _T]) -> _T:
        """Run `call` and return its result. `doing` names the action in error messages. Raises GitHubProblem."""
        import requests
        from github.GithubException import GithubException

        while True:
            try:
                return call()
            except GithubException as error:
                wait, problem = _asked_wait(error), _explained(doing, error)
            except requests.RequestException as error:
                text = one_line(redact(f"{doing}: GitHub was not reached ({type(error).__name__}); run again later"))
                wait, problem = None, GitHubProblem(text)
            # Raised outside the except block, so that PyGithub's exception, which quotes the request, is not chained.
            if wait is None:
                raise problem
            if wait > LONGEST_WAIT_S or self._waits >= WAITS:
                text = f"{doing}: GitHub's rate limit asks to wait {wait:.0f} s; run again after that"
                raise GitHubProblem(text, status=problem.status)
            self._waits += 1
            self.sleep(wait)

    def create(self, doing: str, create: Callable[[], _T], find: Callable[[], _T | None]) -> tuple[_T, bool]:
        """Run `create`, or return what `find` finds: another run made it, or GitHub's answer to this run was lost.

        The second value is true unless another run made it. Raises GitHubProblem.
        """
        try:
            return self(doing, create), True
        except GitHubProblem as problem:
            unclear = problem.status is None or problem.status >= 500
            found = find() if unclear or "already exists" in str(problem) else None
            if found is None:
                raise
            return found, unclear


def require_name(name: str) -> None:
    """Raise GitHubProblem unless the name is `owner/name`."""
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*/[\w.-]+", name):
        raise GitHubProblem(f"{one_line(name, 60)!r} is not a repository; expected owner/name")


def repository(name: str, environment: Mapping[str, str], calls: Calls, *, backoff_s: float = 0.5) -> Repository:
    """Open the repository `owner/name` with the GITHUB_TOKEN of `environment`.

    Raises KeyMissing if GITHUB_TOKEN is not set. Raises GitHubProblem if PyGithub is not installed, the name or
    GITHUB_API_URL is not allowed, or GitHub refuses.
    """
    try:
        import github
        from urllib3.util import Retry
    except ModuleNotFoundError:
        raise GitHubProblem(f"PyGithub is not installed: {install_hint('github')}") from None
    require_name(name)
    token, url = environment.get("GITHUB_TOKEN", "").strip(), environment.get("GITHUB_API_URL", "") or API
    if not token:
        raise KeyMissing("not set; a workflow passes `github.token` or a GitHub App's", where="GITHUB_TOKEN")
    parts = urlsplit(url)
    local = parts.hostname in LOOPBACK
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
    """GitHub's error message and its list of errors, on one line."""
    data: Any = error.data if isinstance(error.data, dict) else {}
    errors = data.get("errors") or []
    rows = [row.get("message") or row.get("code") or "" if isinstance(row, dict) else str(row) for row in errors]
    return one_line(
        redact("; ".join(str(part) for part in [data.get("message") or error.message or "", *rows] if part))
    )


def _asked_wait(error: GithubException) -> float | None:
    """Seconds to wait that GitHub asks for because of a rate limit; None for any other refusal.

    A request that was refused because of a rate limit had no effect, so it can be repeated.
    """
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    message = message_of(error).lower()
    if error.status not in {403, 429} or not (
        "rate limit" in message or "retry-after" in headers or error.status == 429
    ):
        return None
    if headers.get("retry-after", "").isdigit():
        return float(headers["retry-after"])
    if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdigit():
        return max(float(headers["x-ratelimit-reset"]) - datetime.now(UTC).timestamp(), 1.0)
    return 60.0  # GitHub's documentation: wait at least a minute if no header says otherwise


def _explained(doing: str, error: GithubException) -> GitHubProblem:
    message = message_of(error)
    advice = _advice(error.status, message)
    text = f"{doing}: HTTP {error.status}: {message}" + (f"; {advice}" if advice else "")
    return GitHubProblem(text, status=error.status)


def _advice(status: int, message: str) -> str:
    if "not permitted to create or approve pull requests" in message:
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
