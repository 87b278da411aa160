"""One pull request for each flag, against a stateful GitHub on loopback: opened, updated, closed, or left to humans."""

import difflib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import hub
import pytest
from building import BAD_WEEK, CATALOG, FLAG, GOOD_WEEK, GROQ, KIMI, NOW, counts, evidence, flags_text, row
from hub import BOT, Hub, Repository

from pytest_kimiprobe.monitor.decide import decide
from pytest_kimiprobe.monitor.github import proposal_text
from pytest_kimiprobe.monitor.github.api import Calls, GitHubProblem, repository
from pytest_kimiprobe.monitor.github.pull_request import PullRequestResult, PullRequests, branch_of
from pytest_kimiprobe.results.run_file import Failure
from routing.errors import KeyMissing
from routing.evidence.model import Evidence
from routing.flags.model import Flags

pytestmark = hub.needs_npm

GOOD = evidence(row(week=GOOD_WEEK, reasons={"wrong_tool": 3}))
BETTER = evidence(row(week=counts(240, 1), run="78-1"), run="78-1")
BROKEN = evidence(row(status="broken", week=BAD_WEEK))
BETWEEN = evidence(row(status="degraded", week=counts(190, 20)))
BRANCH = f"kimiprobe/flags/{FLAG}"
PATH = "config/flags.yaml"
EXAMPLE = Failure(KIMI, "weather", "wrong_tool", "@octocat fixes #1 <img src=x> ``` ![x](https://evil.example)")


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with hub.started() as running:
        yield running


@pytest.fixture
def repo(server: Hub) -> Repository:
    return server.repository({PATH: flags_text(), "README.md": "hello"})


class Naps(list[float]):
    """Records the requested waits instead of sleeping."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def sync(
    repo: Repository,
    found: Evidence,
    *,
    after: timedelta = timedelta(),
    naps: Naps | None = None,
    base: str | None = None,
) -> dict[str, PullRequestResult]:
    """Run what `kimiprobe propose` does, `after` a time."""
    calls = Calls(sleep=naps if naps is not None else Naps())
    remote = repository(repo.name, repo.environment, calls, backoff_s=0)
    pulls = PullRequests(remote, calls, path=PATH, now=datetime.now(UTC) + after, base=base)
    proposals = decide(Flags.loads(pulls.text.encode()), found, CATALOG, NOW)
    return {p.flag: pulls.sync(p, {"wrong_tool": EXAMPLE}) for p in proposals}


def turned_on(repo: Repository) -> None:
    """The repository after a merge: the flag is on for half of the users."""
    repo.commit(PATH, flags_text(enabled="true", percent=50))


# ---------------------------------------------------------------- opened


def test_a_flag_that_may_go_on_gets_a_pull_request(repo: Repository) -> None:
    """Branch, title, body and label are set; the base is not changed."""
    outcome = sync(repo, GOOD)[FLAG]
    (pull,) = repo.pulls()
    assert (outcome.action, outcome.url) == ("opened", pull["html_url"])
    assert pull["title"] == f"Turn on {FLAG} for 10 % of users"
    assert (pull["head"]["ref"], pull["base"]["ref"]) == (BRANCH, "main")
    assert [label["name"] for label in pull["labels"]] == ["kimiprobe"]
    assert repo.read(PATH) == flags_text()


def test_it_changes_only_that_flags_lines_and_the_serial(repo: Repository) -> None:
    """Comments, other flags and other files are kept; the serial rises."""
    sync(repo, GOOD)
    text = repo.read(PATH, BRANCH)
    lines = difflib.unified_diff(flags_text().splitlines(), text.splitlines(), n=0)
    diff = [line for line in lines if re.match(r"[+-][^+-]", line)]
    assert diff[:6] == [
        "-serial: 41",
        "+serial: 42",
        "-    enabled: false",
        "-    percent: 0",
        "+    enabled: true",
        "+    percent: 10",
    ]
    assert [line.split(":")[0] for line in diff[6:]] == ["+    reason", "+    since", "+    evidence"]
    flags = Flags.loads(text.encode())
    flag = flags.flag(FLAG)
    assert (flags.serial, flag.enabled, flag.percent) == (42, True, 10)
    assert flag.evidence is not None
    assert (flag.evidence.result, flag.evidence.judged, flag.evidence.passed) == ("77-1", 210, 207)
    assert flags.flag("groq_kimi_tool_calling") == Flags.loads(flags_text().encode()).flag("groq_kimi_tool_calling")
    assert repo.read("README.md", BRANCH) == "hello"


def test_merged_it_is_what_the_router_reads(repo: Repository) -> None:
    """The merged file turns the flag on, and the next run proposes nothing."""
    sync(repo, GOOD)
    repo.merge(repo.pulls()[0]["number"])
    assert Flags.loads(repo.read(PATH).encode()).flag(FLAG).percent == 10
    assert sync(repo, GOOD)[FLAG].action == "none"
    assert repo.pulls() == []


def test_a_flag_that_stopped_working_is_turned_off(repo: Repository) -> None:
    """The branch of an earlier, merged pull request is used again."""
    sync(repo, GOOD)
    repo.merge(repo.pulls()[0]["number"])
    assert sync(repo, BROKEN)[FLAG].action == "opened"
    (pull,) = repo.pulls()
    assert pull["title"] == f"Turn off {FLAG}"
    repo.merge(pull["number"])
    assert Flags.loads(repo.read(PATH).encode()).flag(FLAG).enabled is False


def test_two_flags_are_two_pull_requests(repo: Repository) -> None:
    """Each is merged or closed alone; after one is merged, the other is rebuilt on it."""
    both = evidence(row(week=GOOD_WEEK), row(GROQ, week=GOOD_WEEK))
    sync(repo, both)
    first, second = repo.pulls()
    assert {first["head"]["ref"], second["head"]["ref"]} == {BRANCH, branch_of("groq_kimi_tool_calling")}
    repo.merge(first["number"])
    assert sync(repo, both)["groq_kimi_tool_calling"].action == "updated"
    repo.merge(second["number"])
    flags = Flags.loads(repo.read(PATH).encode())
    assert (flags.serial, [flag.percent for flag in flags.flags.values()]) == (43, [10, 10])


def test_nothing_to_ask_opens_nothing(repo: Repository, server: Hub) -> None:
    """If flag and evidence agree, GitHub is only read."""
    assert {outcome.action for outcome in sync(repo, BETWEEN).values()} == {"none"}
    assert [request for request in server.requests if not request.startswith("GET ")] == []


def test_another_default_branch_is_found(server: Hub) -> None:
    """A renamed default branch needs no setting; --base names another one."""
    repo = server.repository({PATH: flags_text()}, branch="trunk")
    assert sync(repo, GOOD)[FLAG].action == "opened"
    assert repo.pulls()[0]["base"]["ref"] == "trunk"
    with pytest.raises(GitHubProblem, match=r"no branch 'main' \(is it empty\?\); name one with --base"):
        sync(repo, GOOD, base="main")


# ---------------------------------------------------------------- updated


def test_a_second_run_on_the_same_evidence_changes_nothing(repo: Repository, server: Hub) -> None:
    """No push, no edit, and no second pull request."""
    sync(repo, GOOD)
    head = repo.head(BRANCH)
    server.forget()
    assert sync(repo, GOOD, after=timedelta(hours=3))[FLAG].action == "unchanged"
    assert repo.head(BRANCH) == head
    assert [request for request in server.requests if not request.startswith("GET ")] == []


def test_new_evidence_updates_it_in_place(repo: Repository) -> None:
    """Same number, new body, and the branch is one commit on the base."""
    sync(repo, GOOD)
    (first,) = repo.pulls()
    assert sync(repo, BETTER)[FLAG].action == "updated"
    (second,) = repo.pulls()
    assert second["number"] == first["number"]
    assert "240 of 241" in second["body"]
    assert "passed 240 of 241" in repo.read(PATH, BRANCH)
    assert len(repo.commits(BRANCH)) == len(repo.commits("main")) + 1


def test_a_base_that_moved_is_built_on(repo: Repository) -> None:
    """A human's change of flags.yaml is kept in the rebuilt branch."""
    sync(repo, GOOD)
    repo.commit(PATH, flags_text().replace("serial: 41", "serial: 50").replace("ci-bot", "ci-robot"))
    assert sync(repo, GOOD)[FLAG].action == "updated"
    text = repo.read(PATH, BRANCH)
    assert "ci-robot" in text
    assert "serial: 51" in text


def test_an_edited_body_is_set_right_again(repo: Repository) -> None:
    """The bot owns the body; humans comment."""
    sync(repo, GOOD)
    repo.human("PATCH", "pulls/1", {"title": "something else"})
    assert sync(repo, GOOD)[FLAG].action == "updated"
    assert repo.pulls()[0]["title"] == f"Turn on {FLAG} for 10 % of users"


# ---------------------------------------------------------------- left to humans


def test_closed_unmerged_is_a_no_for_fourteen_days(repo: Repository) -> None:
    """The same proposal is not opened for 14 days, and then once more."""
    sync(repo, GOOD)
    repo.close(1)
    outcome = sync(repo, BETTER, after=timedelta(days=13))[FLAG]
    assert outcome.action == "left"
    assert "#1 asked the same and was closed unmerged" in outcome.told
    assert repo.pulls() == []
    assert sync(repo, BETTER, after=timedelta(days=15))[FLAG].action == "opened"


def test_a_no_to_turning_off_is_no_answer_to_turning_on(repo: Repository) -> None:
    """A proposal in the other direction is opened without waiting."""
    turned_on(repo)
    sync(repo, BROKEN)
    repo.close(1)
    assert sync(repo, BROKEN)[FLAG].action == "left"
    repo.commit(PATH, flags_text())
    assert sync(repo, GOOD)[FLAG].action == "opened"


def test_a_branch_with_a_commit_of_another_author_is_left_alone(repo: Repository) -> None:
    """A branch with a human's commit is neither updated nor closed, even if only the file was amended."""
    sync(repo, GOOD)
    repo.commit(PATH, repo.read(PATH, BRANCH).replace("percent: 10", "percent: 5"), branch=BRANCH)
    head = repo.head(BRANCH)
    assert sync(repo, BETTER)[FLAG].action == "left"
    assert sync(repo, BETWEEN)[FLAG].action == "left"
    assert repo.head(BRANCH) == head
    assert repo.pulls()[0]["state"] == "open"


def test_a_humans_branch_of_that_name_is_not_taken(repo: Repository) -> None:
    """The bot does not overwrite a branch that it did not make."""
    repo.human("POST", "git/refs", {"ref": f"refs/heads/{BRANCH}", "sha": repo.head("main")})
    outcome = sync(repo, GOOD)[FLAG]
    assert (outcome.action, repo.pulls()) == ("left", [])
    assert f"another author committed to {BRANCH}" in outcome.told


# ---------------------------------------------------------------- overtaken


def test_facts_that_changed_close_it_with_a_sentence(repo: Repository) -> None:
    """A proposal that the evidence no longer supports needs no decision."""
    sync(repo, GOOD)
    assert sync(repo, BETWEEN)[FLAG].action == "closed"
    (pull,) = repo.pulls("closed")
    assert "**Closed by kimiprobe:** the facts have changed." in pull["body"]
    assert "190 of 210" in pull["body"]
    assert pull["merged_at"] is None


def test_what_the_bot_closed_is_no_rejection(repo: Repository) -> None:
    """If the evidence changes back, the proposal is opened without waiting."""
    sync(repo, GOOD)
    sync(repo, BETWEEN)
    assert sync(repo, GOOD)[FLAG].action == "opened"


def test_missing_evidence_closes_nothing(repo: Repository) -> None:
    """Without data, an open pull request stays open."""
    sync(repo, GOOD)
    assert sync(repo, evidence())[FLAG].action == "none"
    assert len(repo.pulls()) == 1


def test_a_pin_closes_it(repo: Repository) -> None:
    """A human has taken over the flag."""
    sync(repo, GOOD)
    repo.commit(PATH, flags_text(pin='"off"'))
    assert sync(repo, GOOD)[FLAG].action == "closed"


# ---------------------------------------------------------------- faults


def test_already_exists_is_found_and_updated(repo: Repository, server: Hub) -> None:
    """GitHub's list does not show the pull request yet, but 422 says that it exists."""
    sync(repo, GOOD)
    server.faults.append(hub.Fault("GET", re.compile(r"/pulls$"), 200, []))
    assert sync(repo, BETTER)[FLAG].action == "updated"
    (pull,) = repo.pulls()
    assert "240 of 241" in pull["body"]


def test_a_failed_creation_is_not_repeated(repo: Repository, server: Hub) -> None:
    """PyGithub would send the POST again; here the next run opens it."""
    server.fail("POST", r"/pulls$", 502, "Bad gateway")
    with pytest.raises(GitHubProblem, match="open the pull request: HTTP 502: Bad gateway; nothing is lost"):
        sync(repo, GOOD)
    assert [request for request in server.requests if re.match(r"POST .*/pulls$", request)] == [
        f"POST /repos/{repo.name}/pulls"
    ]
    assert sync(repo, GOOD)[FLAG].action == "opened"


def test_a_creation_whose_answer_was_lost_is_found(repo: Repository, server: Hub) -> None:
    """The connection broke after GitHub had opened it: one pull request, labelled, no error."""
    server.fail("POST", r"/pulls$", after=True)
    assert sync(repo, GOOD)[FLAG].action == "opened"
    (pull,) = repo.pulls()
    assert [label["name"] for label in pull["labels"]] == ["kimiprobe"]


def test_wherever_it_is_cut_short_the_next_run_ends_the_same(repo: Repository, server: Hub) -> None:
    """Interrupted before any request, the next run ends with one pull request, one commit, one label."""
    sync(server.repository({PATH: flags_text()}), GOOD)
    total = len(server.requests)
    assert total > 10
    for request in range(2, total + 1):
        fresh = server.repository({PATH: flags_text()})
        server.cut_at = request
        with pytest.raises(GitHubProblem, match="GitHub was not reached"):
            sync(fresh, GOOD)
        server.forget()
        sync(fresh, GOOD)
        (pull,) = fresh.pulls()
        assert [label["name"] for label in pull["labels"]] == ["kimiprobe"]
        assert proposal_text.marker_of(pull["body"])
        assert len(fresh.commits(BRANCH)) == len(fresh.commits("main")) + 1
        assert "percent: 10" in fresh.read(PATH, BRANCH)


def test_a_label_that_comes_too_early_is_tried_again(repo: Repository, server: Hub) -> None:
    """GitHub may not find a new pull request yet; the label is sent as an object."""
    server.fail("POST", r"/labels$", 422, "Could not resolve to a node with the global id of 'PR_x'", times=2)
    naps = Naps()
    assert sync(repo, GOOD, naps=naps)[FLAG].action == "opened"
    assert naps == [1.0, 2.0]
    assert [label["name"] for label in repo.pulls()[0]["labels"]] == ["kimiprobe"]


def test_a_secondary_limit_is_waited_for_twice_and_no_longer(repo: Repository, server: Hub) -> None:
    """Two waits as long as GitHub asks for, then a clear error."""
    limit = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    server.fail("POST", r"/pulls$", 403, limit, headers={"Retry-After": "7"}, times=2)
    naps = Naps()
    assert sync(repo, GOOD, naps=naps)[FLAG].action == "opened"
    assert naps == [7.0, 7.0]
    server.fail("PATCH", r"/pulls/1$", 403, limit, times=9)
    naps = Naps()
    with pytest.raises(GitHubProblem, match="rate limit asks to wait 60 s; run again after that"):
        sync(repo, BETTER, naps=naps)
    assert naps == [60.0, 60.0]


@pytest.mark.parametrize(
    "headers",
    [{"Retry-After": "86400"}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4102444800"}],
)
def test_an_hour_is_not_slept(repo: Repository, server: Hub, headers: dict[str, str]) -> None:
    """A primary limit or a long Retry-After ends the run immediately."""
    server.fail("GET", r"/git/ref/", 403, "API rate limit exceeded for installation.", headers=headers, times=9)
    naps = Naps()
    with pytest.raises(GitHubProblem, match=r"asks to wait \d{5,} s"):
        sync(repo, GOOD, naps=naps)
    assert naps == []


def test_reads_are_repeated_and_writes_are_not(repo: Repository, server: Hub) -> None:
    """GET is repeated after two 502 answers; a write ends the run."""
    server.fail("GET", r"/contents/", 502, "Bad gateway", times=2)
    assert sync(repo, GOOD)[FLAG].action == "opened"
    server.forget()
    server.fail("PATCH", r"/git/refs/", 502, "Bad gateway")
    with pytest.raises(GitHubProblem, match="HTTP 502"):
        sync(repo, BETTER)
    assert sum(request.startswith("PATCH") for request in server.requests) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "message", "advice"),
    [
        (
            "POST",
            r"/pulls$",
            403,
            "GitHub Actions is not permitted to create or approve pull requests.",
            'switch on "Allow GitHub Actions to create and approve pull requests" under Settings, Actions, General',
        ),
        ("POST", r"/git/trees$", 403, "Resource not accessible by integration", "the job needs `contents: write`"),
        ("GET", r"/contents/", 401, "Bad credentials", "GITHUB_TOKEN has expired or was revoked"),
        ("GET", r"^/repos/octo/[^/]+$", 404, "Not Found", "it does not exist, or the token may not see it"),
    ],
)
def test_refusals_say_what_to_do(
    repo: Repository, server: Hub, method: str, path: str, status: int, message: str, advice: str
) -> None:
    """One sentence: the action, GitHub's message, and the setting to change; never the token."""
    server.fail(method, path, status, f"{message} {BOT}", times=9)
    with pytest.raises(GitHubProblem) as caught:
        sync(repo, GOOD)
    assert advice in str(caught.value)
    assert message in str(caught.value)
    assert BOT not in str(caught.value)
    assert caught.value.__context__ is None


def test_without_a_flags_file_it_says_so(server: Hub) -> None:
    """The error names branch and path."""
    repo = server.repository({"README.md": "x"})
    with pytest.raises(GitHubProblem, match=r"config/flags\.yaml is not on branch 'main' of octo/"):
        sync(repo, GOOD)


@pytest.mark.parametrize(
    ("environment", "name", "told"),
    [
        ({"GITHUB_API_URL": "http://api.example.com"}, "o/r", "https is needed"),
        ({"GITHUB_API_URL": "https://user:pass@api.example.com"}, "o/r", "https is needed"),
        ({}, "o/r/../../x", "is not a repository; expected owner/name"),
        ({}, "o", "is not a repository; expected owner/name"),
    ],
)
def test_the_token_goes_nowhere_else(environment: dict[str, str], name: str, told: str) -> None:
    """A wrong API URL or repository name is refused before anything is sent."""
    with pytest.raises(GitHubProblem, match=told):
        repository(name, {"GITHUB_TOKEN": BOT, **environment}, Calls())


def test_without_a_token_the_variable_is_named() -> None:
    """`KeyMissing` names GITHUB_TOKEN."""
    with pytest.raises(KeyMissing, match="GITHUB_TOKEN: not set"):
        repository("o/r", {}, Calls())


def test_without_pygithub_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base install does not include it."""
    monkeypatch.setitem(__import__("sys").modules, "github", None)
    with pytest.raises(GitHubProblem, match=r"pip install pygithub \(the extra `github`"):
        repository("o/r", {"GITHUB_TOKEN": BOT}, Calls())


# ---------------------------------------------------------------- the text


def the_body(found: Evidence = GOOD, **flag: Any) -> str:
    (proposal, *_) = decide(Flags.loads(flags_text(**flag).encode()), found, CATALOG, NOW)
    return proposal_text.body(proposal, {"wrong_tool": EXAMPLE})


def test_the_body_starts_with_what_the_next_run_needs() -> None:
    """The hidden first line names flag, step and evidence."""
    first = the_body().splitlines()[0]
    assert re.fullmatch(rf"<!-- kimiprobe:flag={FLAG} from=0 to=10 evidence=[0-9a-f]{{64}} v=1 -->", first)
    marker = proposal_text.marker_of(first)
    assert marker is not None
    assert (marker.flag, marker.before, marker.after, marker.overtaken) == (FLAG, 0, 10, False)


def test_the_body_tells_in_its_first_lines_what_to_decide() -> None:
    """Measurement, number of calls, effects of merging and closing, and undo come first; the rest is folded."""
    text = the_body()
    top = text.partition("<details>")[0]
    assert f"**`{FLAG}`: off → on for 10 % of users**" in top
    assert f"`{KIMI}` passed 207 of 210 judged calls in the last 7 days (98.5 %)." in top
    assert "the true share lies between 95.9 and 99.5 % (95 % interval)" in top
    assert "**Merge** and 10 % of users are served there" in top
    assert "**Close** and nothing changes" in top
    assert f"kimiprobe flags disable {FLAG}" in top
    assert len(text.splitlines()) <= 60
    assert len(text) < 10_000


def test_the_body_of_turning_off_says_where_requests_go() -> None:
    """It also shows how to undo it, to the former percent."""
    text = the_body(BROKEN, enabled="true", percent=50)
    assert f"**`{FLAG}`: on for 50 % of users → off**" in text
    assert "**Merge** and no user is served there any more" in text
    assert f"kimiprobe flags enable {FLAG} --percent 50" in text


def test_what_the_model_said_stays_inside_a_fence() -> None:
    """The example is marked as untrusted text, in a fence longer than its backticks."""
    lines = the_body().splitlines()
    (place,) = (number for number, line in enumerate(lines) if "@octocat" in line)
    assert (lines[place - 1], lines[place + 1]) == ("````text", "````")
    assert sum("@octocat" in line for line in lines) == 1


def test_rescued_answers_count_in_the_interval_where_the_flag_accepts_them() -> None:
    """The interval covers the share that was decided on."""
    rescued = row(status="needs_rescue", newest=counts(0, rescued=60), week=counts(0, rescued=60))
    text = the_body(evidence(rescued), accept_rescued="true")
    assert "passed 60 of 60 judged calls" in text
    assert "the true share lies between 94.0 and 100.0 %" in text


def test_an_evidence_without_calls_has_no_interval() -> None:
    """An endpoint that is down is shown as down."""
    down = row(status="down", newest=counts(errors=30), week=counts(errors=30))
    text = the_body(evidence(down, row("moonshot/kimi-k2.6")), enabled="true", percent=10)
    assert "is down: none of 30 probes was answered." in text
    assert "interval" not in text


@pytest.mark.parametrize("name", ["a..b", "a.lock", "x" * 100, "a.b", "a-b", "a_b"])
def test_branches_have_names_that_git_takes(name: str) -> None:
    """Dots that git refuses are replaced, and two flags never share a branch."""
    branch = branch_of(name)
    assert re.fullmatch(r"kimiprobe/flags/[A-Za-z0-9_-]+", branch)
    assert len({branch_of(other) for other in ("a.b", "a-b", "a_b")}) == 3


def test_bodies_of_humans_have_no_marker() -> None:
    """A body that a human wrote is not taken for a proposal."""
    assert proposal_text.marker_of(None) is None
    assert proposal_text.marker_of("Please merge") is None
    assert proposal_text.marker_of("x\n" + the_body()) is None


def test_the_body_names_its_evidence() -> None:
    """The hash lets a reader check what was decided on."""
    (proposal, *_) = decide(Flags.loads(flags_text().encode()), GOOD, CATALOG, NOW)
    assert the_body().count(proposal.evidence) == 2
