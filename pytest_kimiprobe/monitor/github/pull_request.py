"""Keeps one pull request for each flag in line with the evidence: opens it, updates it in place, or closes it.

Each pull request has a branch with exactly one commit on the base branch. The commit is made anew when the base's flags
file or the evidence changes. A branch that a human committed to is left alone. If a human closes a pull request
unmerged, the proposal is not opened again for 14 days. A pull request that the evidence no longer supports is closed
with a sentence that says so. Every step can be interrupted and repeated: existing branches and pull requests are looked
up before new ones are created.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from ...results.run_file import Failure
from ...results.store import safe_name
from ..decide import Proposal
from . import proposal_text as say
from .api import Calls, GitHubProblem

if TYPE_CHECKING:
    from github.PullRequest import PullRequest
    from github.Repository import Repository

Action: TypeAlias = Literal["opened", "updated", "unchanged", "closed", "left", "none"]
_LABEL_WAITS_S = (1.0, 2.0, 4.0)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PullRequestResult:
    """What was done with the pull request of one flag; `told` gives the reason in a sentence.

    The action `left` means that nothing was done, because a human committed to the branch or closed the same proposal.
    """

    flag: str
    action: Action
    told: str
    url: str = ""


class PullRequests:
    """The bot's pull requests in one repository.

    `path` is the path of the flags file in the repository, `base` the branch to merge into (default: the default
    branch).
    """

    def __init__(self, repo: Repository, calls: Calls, *, path: str, now: datetime, base: str | None = None) -> None:
        self._repo, self._do, self._path, self._now = repo, calls, path, now
        self.base = base or repo.default_branch
        self._base_sha = self._head(self.base)
        if self._base_sha is None:
            message = f"{repo.full_name} has no branch {self.base!r} (is it empty?); name one with --base"
            raise GitHubProblem(message)
        text = self._text_at(self._base_sha)
        if text is None:
            raise GitHubProblem(f"{path} is not on branch {self.base!r} of {repo.full_name}; name it with --flags")
        self.text: str = text
        """Text of the flags file on the base branch; decisions and edits start from it."""

    def sync(self, proposal: Proposal, examples: Mapping[str, Failure], *, source: str = "live") -> PullRequestResult:
        """Open, update or close the pull request of the proposal's flag, so that it matches the proposal.

        `examples` has one failure for each reason code, `source` is where the answers came from. Raises GitHubProblem.
        """
        # Reading an attribute of PyGithub may send a request, so the whole method runs inside a call.
        return self._do(f"propose {proposal.flag}", lambda: self._sync(proposal, examples, source))

    def _sync(self, proposal: Proposal, examples: Mapping[str, Failure], source: str) -> PullRequestResult:
        branch = branch_of(proposal.flag)
        pull = next(iter(self._pulls("open", branch)), None)
        if not proposal.changes:
            return self._settle(proposal, pull)
        head = self._head(branch)
        if head is not None and not self._is_own(head, proposal.flag):
            text = f"another author committed to {branch}: not touched until it is deleted"
            return PullRequestResult(proposal.flag, "left", text, pull.html_url if pull else "")
        if pull is None and (rest := self._rejected(proposal, branch)):
            return PullRequestResult(proposal.flag, "left", rest)
        pushed = self._push(proposal, branch, head)
        body = say.body(proposal, examples, source=source)
        return self._publish(proposal, pull, branch, body, pushed=pushed)

    # ------------------------------------------------------------------------------------------ the branch

    def _push(self, proposal: Proposal, branch: str, head: str | None) -> bool:
        """Set the branch to one commit on the base that holds the proposed flags file.

        Returns False if the branch holds this file already; then nothing is pushed.
        """
        from github import InputGitTreeElement

        text = say.changed(self.text, proposal, where=self._path)
        if head is not None and self._text_at(head) == text:
            return False
        repo, base = self._repo, str(self._base_sha)
        blob = InputGitTreeElement(self._path, "100644", "blob", content=text)
        parent = self._do("read the base commit", lambda: repo.get_git_commit(base))
        tree = self._do("write the change", lambda: repo.create_git_tree([blob], base_tree=parent.tree))
        message = say.commit_message(proposal, text)
        commit = self._do("write the commit", lambda: repo.create_git_commit(message, tree, [parent]))
        if head is None:
            self._do(f"create branch {branch}", lambda: repo.create_git_ref(f"refs/heads/{branch}", commit.sha))
        else:
            ref = self._do(f"read branch {branch}", lambda: repo.get_git_ref(f"heads/{branch}"))
            self._do(f"update branch {branch}", lambda: ref.edit(commit.sha, force=True))
        return True

    def _is_own(self, head: str, flag: str) -> bool:
        message = self._do("read the branch", lambda: self._repo.get_git_commit(head)).message
        return say.is_own_commit(message, self._text_at(head) or "", flag)

    def _head(self, branch: str) -> str | None:
        """SHA of the branch's newest commit; None if the branch does not exist."""
        return self._or_none(
            f"read branch {branch}", lambda: self._repo.get_git_ref(f"heads/{branch}").object.sha, {404, 409}
        )

    def _text_at(self, ref: str) -> str | None:
        found = self._or_none(f"read {self._path}", lambda: self._repo.get_contents(self._path, ref=ref), {404})
        if found is None or isinstance(found, list):
            return None
        try:
            return found.decoded_content.decode()
        except UnicodeDecodeError:
            raise GitHubProblem(f"{self._path} on GitHub is not UTF-8") from None

    def _or_none(self, doing: str, call: Callable[[], _T], absent: set[int]) -> _T | None:
        try:
            return self._do(doing, call)
        except GitHubProblem as problem:
            if problem.status in absent:
                return None
            raise

    # ------------------------------------------------------------------------------------ the pull request

    def _pulls(self, state: str, branch: str) -> list[PullRequest]:
        head = f"{self._repo.owner.login}:{branch}"
        found = self._do(
            "list pull requests", lambda: list(self._repo.get_pulls(state=state, head=head, base=self.base))
        )
        return [pull for pull in found if pull.head.ref == branch]

    def _publish(
        self, proposal: Proposal, pull: PullRequest | None, branch: str, body: str, *, pushed: bool
    ) -> PullRequestResult:
        title = say.title(proposal)
        action: Action = "updated" if pushed else "unchanged"
        if pull is None:
            opened, created = self._do.create(
                "open the pull request",
                lambda: self._repo.create_pull(self.base, branch, title=title, body=body),
                lambda: next(iter(self._pulls("open", branch)), None),
            )
            pull, action = opened, "opened" if created else "updated"
        if pull.title != title or _lines(pull.body) != _lines(body):
            kept = pull
            self._do("update the pull request", lambda: kept.edit(title=title, body=body))
            action = "updated"
        self._label(pull)
        return PullRequestResult(proposal.flag, action, proposal.verdict, pull.html_url)

    def _label(self, pull: PullRequest) -> None:
        """Add the label `kimiprobe` to the pull request.

        The request is repeated, because GitHub may not find a pull request right after its creation.
        """
        if any(label.name == say.LABEL for label in pull.labels):
            return
        url = f"{pull.issue_url}/labels"
        for wait in (*_LABEL_WAITS_S, None):
            try:
                # The documented form is an object; PyGithub's add_to_labels sends a bare list.
                self._do(
                    "label the pull request",
                    lambda: self._repo.requester.requestJsonAndCheck("POST", url, input={"labels": [say.LABEL]}),
                )
                return
            except GitHubProblem as problem:
                if wait is None or problem.status not in {404, 422}:
                    raise
                self._do.sleep(wait)

    def _rejected(self, proposal: Proposal, branch: str) -> str:
        """Reason why the proposal must wait; empty if it need not.

        It must wait if a human closed the same proposal unmerged in the last 14 days.
        """
        closed = [pull for pull in self._pulls("closed", branch) if pull.closed_at]
        if not closed:
            return ""
        newest = max(closed, key=lambda pull: pull.closed_at or datetime.min.replace(tzinfo=UTC))
        marker = say.marker_of(newest.body)
        if newest.merged_at or marker is None or marker.overtaken or newest.closed_at is None:
            return ""
        until = newest.closed_at + timedelta(days=say.REST_DAYS)
        if (marker.after > 0) != (proposal.after.share > 0) or self._now >= until:
            return ""
        return f"#{newest.number} asked the same and was closed unmerged; it comes back on {until:%Y-%m-%d} at the earliest"

    def _settle(self, proposal: Proposal, pull: PullRequest | None) -> PullRequestResult:
        """Close the open pull request of a flag that needs no change.

        Nothing is changed if there is no pull request or no evidence, or if another author committed to the branch.
        """
        if pull is None or proposal.kind == "no_evidence":
            return PullRequestResult(proposal.flag, "none", proposal.verdict, pull.html_url if pull else "")
        if not self._is_own(self._head(pull.head.ref) or pull.head.sha, proposal.flag):
            text = f"another author committed to {pull.head.ref}: not touched; {proposal.verdict}"
            return PullRequestResult(proposal.flag, "left", text, pull.html_url)
        text = say.overtaken(pull.body or "", proposal.verdict)
        self._do("close the pull request", lambda: pull.edit(body=text, state="closed"))
        return PullRequestResult(proposal.flag, "closed", proposal.verdict, pull.html_url)


def _lines(body: str | None) -> list[str]:
    """Lines of a pull request's body, for comparing bodies.

    Line ends and space around the body are dropped, because a web form may change them.
    """
    return (body or "").strip().splitlines()


def branch_of(flag: str) -> str:
    """Name of a flag's branch: `kimiprobe/flags/<flag>`. If the flag has dots, they become `_` and a hash is added."""
    return f"kimiprobe/flags/{safe_name(flag)}"
