"""Delivers alerts to two channels: a GitHub issue for each subject, and a webhook.

A failure of one channel does not stop the other, and no alert is sent twice. An open issue means that its subject has
stopped. An alert "stopped" opens or reopens the issue; an alert "working" adds a comment and closes it. A hidden line
in the issue names subject, state and run, and says whether the webhook accepted the alert. A repeated run reads these
lines to know what was already sent.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from routing.errors import ConfigError, ExchangeError
from routing.evidence.model import utc_text
from routing.transport import HttpRequest, Transport
from routing.transport.event_loop import run
from routing.types import LOOPBACK

from ..reporting.markdown import code
from .alert import Alert
from .github.api import Calls, GitHubProblem

if TYPE_CHECKING:
    from github.Issue import Issue
    from github.IssueComment import IssueComment
    from github.Repository import Repository

LABEL = "kimiprobe-alert"
WEBHOOK_VARIABLE = "KIMIPROBE_WEBHOOK_URL"
WEBHOOK_S = 10.0
WEBHOOK_PAUSES_S = (1.0, 4.0)
"""Seconds before the second and the third try, if a webhook could not be reached or answered HTTP 429 or 5xx."""

Sent: TypeAlias = Literal["sent", "failed", "none"]


class NotDelivered(ConfigError):
    """The webhook's URL is not allowed, or it did not accept a message. The URL is secret and not in the error text.

    `passing`: whether another try may be accepted.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message, where=WEBHOOK_VARIABLE)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class AlertDelivery:
    """Result of delivering one alert. `problems` is empty if every channel accepted it.

    `issue` is the address of the GitHub issue, `webhook` the result of the webhook. `repeated` means that the issue
    held the alert already.
    """

    alert: Alert
    issue: str = ""
    webhook: Sent = "none"
    repeated: bool = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Webhook:
    """Web address that messages are posted to. `of` checks the URL; `repr` hides it, because it is a secret."""

    url: str
    timeout_s: float = WEBHOOK_S
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Webhook | None:
        """Create the webhook from KIMIPROBE_WEBHOOK_URL; None if the variable is not set.

        Raises NotDelivered unless the URL is https, or http to this machine.
        """
        url = environment.get(WEBHOOK_VARIABLE, "").strip()
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
            return cls(url)
        raise NotDelivered("must be an https URL (http only to this machine)")

    def __repr__(self) -> str:
        return "Webhook(...)"

    def send(self, text: str) -> None:
        """Post the message, with up to three tries; `timeout_s` limits each. Raises NotDelivered if it is not accepted.

        A message that was not answered in time is not sent again, because it may have been accepted.
        """
        body = json.dumps({"text": slack_text(text)}).encode()
        for pause_s in (*WEBHOOK_PAUSES_S, None):
            problem = run(self._post(body))
            if problem is None:
                return
            if pause_s is None or not problem.passing:
                raise problem
            self.sleep(pause_s)

    async def _post(self, body: bytes) -> NotDelivered | None:
        """Post once; returns why the message was not accepted, or None."""
        request = HttpRequest("POST", self.url, {"Content-Type": "application/json"}, body)
        opened = aclosing(Transport(max_body=1 << 16))
        try:
            async with opened as transport, asyncio.timeout(self.timeout_s), transport.send(request) as response:
                status = response.status
        except TimeoutError:
            return NotDelivered(f"no answer within {self.timeout_s:g} s")
        except ExchangeError as error:
            return NotDelivered(error.reason, passing=error.phase == "connect")
        if 200 <= status < 300:
            return None
        return NotDelivered(f"HTTP {status}", passing=status == 429 or status >= 500)


class Issues:
    """Alert issues of one GitHub repository, one for each subject. Texts link to `run_url` if it is given."""

    def __init__(self, repo: Repository, calls: Calls, *, run_url: str = "") -> None:
        self._repo, self._do, self._run_url = repo, calls, run_url
        self._login: str | None = None

    def find(self, alert: Alert) -> _AlertIssue:
        """Find the newest issue on the alert's subject and, inside that issue, the text that holds this alert already.

        Raises GitHubProblem.
        """
        return self._do("read the issues", lambda: self._find(alert))

    def write(self, thread: _AlertIssue, webhook: Sent) -> str:
        """Write the alert into its issue, open or close the issue, and return the address of the issue.

        A repeated call adds nothing. Raises GitHubProblem.
        """
        return self._do("write the issue", lambda: self._write(thread, webhook))

    # Reading an attribute of PyGithub may send a request, so the whole method runs inside a call.

    def _find(self, alert: Alert) -> _AlertIssue:
        found = self._do(
            "list issues", lambda: list(self._repo.get_issues(state="all", labels=[LABEL], sort="created"))
        )
        for issue in found:
            if self._is_ours(issue) and _subject(alert.key) in (issue.body or ""):
                return _AlertIssue(alert, issue, self._entry(alert, issue))
        return _AlertIssue(alert, None, None)

    def _entry(self, alert: Alert, issue: Issue) -> Issue | IssueComment | None:
        """The issue if its body holds this alert, otherwise the comment that holds it; None if the alert is new."""
        start = _entry_start(alert)
        if start in (issue.body or ""):
            return issue
        comments = self._do("list comments", lambda: list(issue.get_comments()))
        return next((comment for comment in comments if self._is_ours(comment) and start in (comment.body or "")), None)

    def _is_ours(self, text: Issue | IssueComment) -> bool:
        """Whether kimiprobe wrote this issue or comment: a hidden line by another author must not suppress an alert."""
        if self._login is None:
            self._login = self._do("ask who we are", self._own_login)
        login, kind = getattr(text.user, "login", ""), getattr(text.user, "type", "")
        return login == self._login if self._login else kind == "Bot"

    def _own_login(self) -> str:
        """Login of the token's user; empty for the token of a workflow or an App, which writes as a bot."""
        from github.GithubException import GithubException

        try:
            _, data = self._repo.requester.requestJsonAndCheck("GET", "/user")
        except GithubException as error:
            if error.status not in {401, 403, 404}:
                raise
            return ""
        return str(data["login"])

    def _write(self, thread: _AlertIssue, webhook: Sent) -> str:
        alert, issue = thread.alert, thread.issue
        entry = f"{_entry_line(alert, webhook)}\n\n{self._body(alert)}"
        wanted = "open" if alert.state == "stopped" else "closed"
        if issue is None:
            body = f"{_subject(alert.key)}\n{entry}"
            opened, _ = self._do.create(
                "open the issue",
                lambda: self._repo.create_issue(title=alert.text, body=body, labels=[LABEL]),
                lambda: self.find(alert).issue,
            )
            issue = opened
        elif thread.entry is None:
            kept = issue
            self._do("comment on the issue", lambda: kept.create_comment(entry))
        elif _entry_line(alert, webhook) not in (thread.entry.body or ""):
            self._amend(thread.entry, webhook)
        if (issue.title, issue.state) != (alert.text, wanted):
            current = issue
            self._do("update the issue", lambda: current.edit(title=alert.text, state=wanted))
        return issue.html_url

    def _amend(self, entry: Issue | IssueComment, webhook: Sent) -> None:
        body = re.sub(r" webhook=\w+ v=1 -->", f" webhook={webhook} v=1 -->", entry.body or "", count=1)
        self._do("amend the entry", lambda: entry.edit(body=body))

    def _body(self, alert: Alert) -> str:
        lines = [f"**{alert.text}**", "\n".join(f"- {code(line)}" for line in alert.details)]
        since = f"The last run that said otherwise ended at {utc_text(alert.since)}. " if alert.since else ""
        where = f"[run]({self._run_url})" if self._run_url else f"run {code(alert.run)}"
        return "\n\n".join(part for part in [*lines, f"{since}Measured by {where}."] if part)


@dataclass(frozen=True, slots=True)
class _AlertIssue:
    """An alert, the issue on its subject, and as `entry` the issue or comment whose body holds the alert already.

    Issue and entry are None if they do not exist yet.
    """

    alert: Alert
    issue: Issue | None
    entry: Issue | IssueComment | None

    @property
    def is_sent(self) -> bool:
        """Whether the hidden line of the entry says that the webhook has accepted this alert."""
        return self.entry is not None and _entry_line(self.alert, "sent") in (self.entry.body or "")


def deliver(alert: Alert, issues: Issues | None, webhook: Webhook | None, *, run_url: str = "") -> AlertDelivery:
    """Send one alert on each given channel that has not received it yet.

    A failure of one channel does not stop the other; the failures are returned as `problems`.
    """
    problems: list[str] = []
    thread: _AlertIssue | None = None
    if issues:
        try:
            thread = issues.find(alert)
        except GitHubProblem as problem:
            problems.append(str(problem))
    repeated = thread is not None and thread.entry is not None
    sent: Sent = "sent" if thread and thread.is_sent else "none"
    if webhook and sent != "sent":
        try:
            webhook.send(webhook_text(alert, run_url))
            sent = "sent"
        except NotDelivered as problem:
            problems.append(str(problem))
            sent = "failed"
    url = ""
    if issues and thread:
        try:
            url = issues.write(thread, sent)
        except GitHubProblem as problem:
            problems.append(str(problem))
    return AlertDelivery(alert, url, sent, repeated, tuple(problems))


def webhook_text(alert: Alert, run_url: str = "") -> str:
    """Message for the webhook: the alert's sentence, one line for each endpoint, and the run's address."""
    return "\n".join(part for part in (alert.text, *(f"- {line}" for line in alert.details), run_url) if part)


def slack_text(text: str) -> str:
    """Escape the text so that Slack and similar services find neither mention nor link nor markup."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("@", "@\u200b")


def _subject(key: str) -> str:
    return f"<!-- kimiprobe:subject={key} -->"


def _entry_start(alert: Alert) -> str:
    return f"<!-- kimiprobe:alert={alert.key} state={alert.state} run={_run_id(alert.run)} webhook="


def _entry_line(alert: Alert, webhook: Sent) -> str:
    return f"{_entry_start(alert)}{webhook} v=1 -->"


def _run_id(run: str) -> str:
    """The run id without characters that could end a hidden HTML comment."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", run) or "none"
