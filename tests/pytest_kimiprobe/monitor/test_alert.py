"""Alerts on status changes: sent once, with fixed sentences, on every channel, and limited when a subject flaps."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import hub
import pytest
from building import CATALOG, GROQ, KIMI, MOONSHOT, NOVITA, NOW, evidence, row, stored, the_flags
from dead_host import DEAD
from hub import BOT, Hub, Repository

from pytest_kimiprobe.monitor import notify
from pytest_kimiprobe.monitor.alert import MOST_A_DAY, Alert, alerts, alerts_between, family_title, sentence
from pytest_kimiprobe.monitor.github.api import Calls, repository
from pytest_kimiprobe.monitor.notify import AlertDelivery, Issues, NotDelivered, Webhook, deliver
from routing.types import Status

SUBJECT = "openrouter/kimi-k2.6"
CHINA = "moonshot-cn/kimi-k2.6"
WORKING = "OpenRouter + Kimi K2 tool calling is now WORKING! Consider gradual rollout."
STOPPED = "OpenRouter + Kimi K2 tool calling has STOPPED working. Falling back to direct API."


def told(*days: dict[str, Status], source: str = "live") -> list[str]:
    """The alerts that the last of these runs causes; the runs are a day apart."""
    return [alert.text for alert in changed(*days, source=source)]


def changed(*days: dict[str, Status], source: str = "live", apart: timedelta = timedelta(days=1)) -> list[Alert]:
    last = len(days) - 1
    runs = [stored(number, NOW - apart * (last - number), day, source) for number, day in enumerate(days)]
    return alerts(runs, CATALOG, NOW)


def beside(status: Status, **more: Status) -> dict[str, Status]:
    """The endpoint in question together with others that work."""
    return {KIMI: status, MOONSHOT: "works", **more}


# ---------------------------------------------------------------- what is told


def test_the_exact_sentences() -> None:
    """The exact sentences for OpenRouter and Kimi K2.6."""
    assert sentence(SUBJECT, "working", CATALOG) == WORKING
    assert sentence(SUBJECT, "stopped", CATALOG) == STOPPED


def test_sentences_for_other_subjects() -> None:
    """The title comes from the catalogue; the sentence for a reference endpoint names no fallback."""
    assert sentence("groq/kimi-k2", "working", CATALOG).startswith("Groq + Kimi K2 tool calling is now WORKING!")
    assert sentence("moonshot/kimi-k2.6", "stopped", CATALOG) == (
        "Moonshot + Kimi K2 tool calling has STOPPED working. It is what the others fall back to."
    )
    assert family_title(CATALOG.models["kimi-k2-thinking"]) == "Kimi K2"
    assert family_title(CATALOG.models["kimi-k3.1-pro"]) == "Kimi K3"
    assert family_title(CATALOG.models["claude-sonnet-5.5"]) == "Claude Sonnet 5.5"


@pytest.mark.parametrize("broken", ["broken", "down", "retired"])
def test_a_change_in_either_direction_alerts(broken: Status) -> None:
    """Both a stop, of any kind, and a recovery cause an alert."""
    assert told(beside("works"), beside(broken)) == [STOPPED]
    assert told(beside(broken), beside("works")) == [WORKING]


def test_an_unchanged_state_does_not_alert() -> None:
    """An unchanged state, working or stopped, causes no alert."""
    assert told(beside("works"), beside("works")) == []
    assert told(beside("works"), beside("broken"), beside("broken")) == []


@pytest.mark.parametrize("between", ["degraded", "needs_rescue", "unknown", "unsupported"])
def test_an_intermediate_status_keeps_the_last_definite_state(between: Status) -> None:
    """A degraded day causes no alert, and neither does the recovery from it."""
    assert told(beside("works"), beside(between)) == []
    assert told(beside("works"), beside(between), beside("works")) == []
    assert told(beside("works"), beside(between), beside("broken")) == [STOPPED]


def test_a_first_alert_is_sent_only_for_working() -> None:
    """A new endpoint that works is reported; one that never worked has not stopped; references are not reported."""
    assert told(beside("works")) == [WORKING]
    assert told(beside("broken")) == []
    assert told({MOONSHOT: "works"}) == []


def test_a_subject_works_while_one_of_its_endpoints_does() -> None:
    """One broken upstream causes no alert; the last one does."""
    assert told(beside("works"), {KIMI: "works", NOVITA: "broken", MOONSHOT: "works"}) == []
    assert told({KIMI: "works", NOVITA: "works"}, {KIMI: "broken", NOVITA: "broken", MOONSHOT: "works"}) == [STOPPED]


def test_endpoints_that_the_newest_run_left_out_still_count() -> None:
    """A run of one endpoint does not change the others until their evidence is too old."""
    assert told({KIMI: "works", NOVITA: "works", MOONSHOT: "works"}, {NOVITA: "broken", MOONSHOT: "works"}) == []
    week = [{NOVITA: "broken", MOONSHOT: "works"} for _ in range(8)]
    assert told({KIMI: "works", NOVITA: "works"}, *week) == [STOPPED]  # type: ignore[arg-type]


def test_details_name_the_endpoints_and_their_counts() -> None:
    """Details hold numbers and fixed text only, and no model output."""
    (alert,) = changed(beside("works"), beside("broken"))
    assert alert.key == SUBJECT
    assert alert.details == (f"{KIMI}: broken, 5 of 20 right (25 %)",)
    assert (alert.run, alert.since) == ("1-1", NOW - timedelta(days=1))


def test_most_endpoints_down_is_one_alert_about_the_monitor() -> None:
    """One alert about the monitor replaces one for each endpoint, and another one follows when it is over."""
    fine: dict[str, Status] = {KIMI: "works", MOONSHOT: "works", GROQ: "works"}
    dead: dict[str, Status] = dict.fromkeys(fine, "down")
    (alert,) = changed(fine, dead)
    assert (alert.key, alert.state) == ("monitor", "stopped")
    assert "3 of 3 endpoints of the newest run were down: that is rather our network or key" in alert.text
    assert told(fine, dead, dead) == []
    assert told(fine, dead, fine) == ["kimiprobe reaches the endpoints again."]


def test_flapping_alerts_four_times_a_day_and_then_when_it_stops() -> None:
    """After four changes in a day, the last state is reported when changes stop."""
    days = [beside("works" if number % 2 else "broken") for number in range(20)]
    hour = timedelta(hours=1)
    heard = sum(bool(changed(*days[: number + 1], apart=hour)) for number in range(20))
    assert heard == MOST_A_DAY
    quiet = [*days, *(beside("works") for _ in range(26))]
    later = [bool(changed(*quiet[: number + 1], apart=hour)) for number in range(20, 46)]
    assert sum(later) == 1


def test_endpoints_that_get_no_requests_do_not_alert() -> None:
    """With flags, only endpoints that a flag controls, references and the vision endpoint cause alerts."""
    runs = [
        stored(1, NOW - timedelta(days=1), {KIMI: "works", MOONSHOT: "works", CHINA: "works"}),
        stored(2, NOW, {KIMI: "works", MOONSHOT: "broken", CHINA: "broken"}),
    ]
    assert [alert.key for alert in alerts(runs[:1], CATALOG, NOW, flags=the_flags())] == [SUBJECT]
    assert [alert.key for alert in alerts(runs, CATALOG, NOW, flags=the_flags())] == ["moonshot/kimi-k2.6"]
    assert {alert.key for alert in alerts(runs, CATALOG, NOW)} == {"moonshot/kimi-k2.6", CHINA}


def test_two_files_can_be_compared() -> None:
    """`--before FILE` needs no earlier runs."""
    before, after = evidence(row(status="works"), row(MOONSHOT)), evidence(row(status="broken"), row(MOONSHOT))
    assert [alert.text for alert in alerts_between(before, after, CATALOG, NOW)] == [STOPPED]
    assert alerts_between(after, after, CATALOG, NOW) == []


# ---------------------------------------------------------------- the webhook


class Receiver(ThreadingHTTPServer):
    """A webhook that accepts messages, refuses them, or does not answer."""

    daemon_threads = False  # `server_close` waits for them: what they do ends with the test
    status = 200
    silent = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiving)
        self.messages: list[Any] = []
        self.quiet = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/T0/B0/secret-part"


class _Receiving(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.silent:
            self.server.quiet.wait(5)
            return
        if self.server.status == 200:
            self.server.messages.append(json.loads(body))
        self.send_response(self.server.status)
        self.send_header("Location", self.server.url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the overridden method
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.quiet.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_gets_one_text(receiver: Receiver) -> None:
    """`{"text": ...}`, the format of Slack and similar services."""
    (alert,) = changed(beside("works"), beside("broken"))
    delivery = deliver(alert, None, Webhook(receiver.url), run_url="https://github.com/o/r/actions/runs/1")
    assert (delivery.webhook, delivery.problems) == ("sent", ())
    assert receiver.messages == [
        {"text": f"{STOPPED}\n- {KIMI}: broken, 5 of 20 right (25 %)\nhttps://github.com/o/r/actions/runs/1"}
    ]


@pytest.mark.parametrize("text", ["<!channel> & <https://evil|click>", "<@U123> a<b>c", "&lt;!here&gt; @channel"])
def test_a_webhook_text_has_no_markup_or_mention(receiver: Receiver, text: str) -> None:
    """`&`, `<` and `>` are escaped, and `@` cannot mention anyone."""
    Webhook(receiver.url).send(text)
    sent = receiver.messages[0]["text"]
    assert not any(mark in sent for mark in ("<", ">", "@channel", "@U"))
    plain = sent.replace("\u200b", "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert plain == text


@pytest.mark.parametrize("status", [302, 400, 404, 500])
def test_a_refusal_is_a_problem_that_hides_the_url(receiver: Receiver, status: int) -> None:
    """No redirect is followed, and the URL is secret."""
    receiver.status = status
    with pytest.raises(NotDelivered, match=f"KIMIPROBE_WEBHOOK_URL: HTTP {status}") as caught:
        Webhook(receiver.url, sleep=lambda _: None).send("x")
    assert "secret-part" not in f"{caught.value} {Webhook(receiver.url)!r}"


@pytest.mark.parametrize(("status", "pauses"), [(429, 1), (503, 1), (404, 0)])
def test_a_webhook_that_is_busy_is_tried_again(receiver: Receiver, status: int, pauses: int) -> None:
    """After a pause; an answer that will stay the same is final."""
    receiver.status, waits = status, list[float]()

    def recovered(seconds: float) -> None:
        waits.append(seconds)
        receiver.status = 200

    delivery = deliver(changed(beside("works"), beside("broken"))[0], None, Webhook(receiver.url, sleep=recovered))
    assert (delivery.webhook, len(waits), len(receiver.messages)) == (("sent", "failed")[not pauses], pauses, pauses)


def test_a_silent_webhook_costs_its_deadline_and_no_more(receiver: Receiver) -> None:
    """One total timeout applies, not one for each packet."""
    receiver.silent = True
    with pytest.raises(NotDelivered, match=r"no answer within 0\.2 s"):
        Webhook(receiver.url, timeout_s=0.2).send("x")


def test_a_dead_webhook_is_a_problem() -> None:
    """A refused connection is reported after three tries."""
    waits: list[float] = []
    with pytest.raises(NotDelivered, match="connect"):
        Webhook(f"{DEAD}/x", sleep=waits.append).send("x")
    assert len(waits) == 2


@pytest.mark.parametrize("url", ["http://example.com/x", "ftp://example.com", "file:///etc/passwd", "secret"])
def test_a_webhook_is_https_or_this_machine(url: str) -> None:
    """Plain http would expose the secret path."""
    with pytest.raises(NotDelivered, match="KIMIPROBE_WEBHOOK_URL: must be an https URL") as caught:
        Webhook.of({"KIMIPROBE_WEBHOOK_URL": url})
    assert url not in str(caught.value)
    assert Webhook.of({"KIMIPROBE_WEBHOOK_URL": "https://hooks.example.com/x"})
    assert Webhook.of({}) is None


# ---------------------------------------------------------------- the issue


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with hub.started() as running:
        yield running


@pytest.fixture
def repo(server: Hub) -> Repository:
    return server.repository({"README.md": "x"})


def alert_of(state: str, run: str) -> Alert:
    days = [beside("works"), beside("broken")] if state == "stopped" else [beside("broken"), beside("works")]
    (alert,) = changed(*days)
    return replace(alert, run=run)


def tell(repo: Repository, alert: Alert, webhook: Webhook | None = None) -> AlertDelivery:
    calls = Calls(sleep=lambda _: None)
    issues = Issues(repository(repo.name, repo.environment, calls, backoff_s=0), calls)
    return deliver(alert, issues, webhook)


@hub.needs_npm
def test_stopped_opens_an_issue_and_working_closes_it(repo: Repository) -> None:
    """Each subject has one issue: opened, commented on, closed, and reopened the next time."""
    delivery = tell(repo, alert_of("stopped", "1-1"))
    (issue,) = repo.issues()
    assert (issue["title"], delivery.issue) == (STOPPED, issue["html_url"])
    assert [label["name"] for label in issue["labels"]] == ["kimiprobe-alert"]
    assert f"`{KIMI}: broken, 5 of 20 right (25 %)`" in issue["body"]
    tell(repo, alert_of("working", "2-1"))
    assert repo.issues() == []
    (closed,) = repo.issues("closed")
    assert (closed["number"], closed["title"]) == (issue["number"], WORKING)
    assert WORKING in repo.comments(issue["number"])[0]
    tell(repo, alert_of("stopped", "3-1"))
    (again,) = repo.issues()
    assert again["number"] == issue["number"]
    assert len(repo.comments(issue["number"])) == 2


@hub.needs_npm
def test_a_first_working_alert_is_a_closed_issue(repo: Repository) -> None:
    """Watchers of the repository are notified, and no issue stays open without a problem."""
    tell(repo, alert_of("working", "1-1"))
    assert repo.issues() == []
    assert [issue["title"] for issue in repo.issues("closed")] == [WORKING]


@hub.needs_npm
def test_a_repeated_alert_is_not_sent_again(repo: Repository, receiver: Receiver) -> None:
    """A second run finds its entry: no second comment, and no second message."""
    webhook = Webhook(receiver.url)
    for state, run in (("stopped", "1-1"), ("working", "2-1")):
        assert tell(repo, alert_of(state, run), webhook).repeated is False
        assert tell(repo, alert_of(state, run), webhook).repeated is True
    (issue,) = repo.issues("closed")
    assert len(repo.comments(issue["number"])) == 1
    assert len(receiver.messages) == 2


@hub.needs_npm
def test_a_message_that_failed_is_sent_by_the_re_run(repo: Repository, receiver: Receiver) -> None:
    """The issue records that the webhook failed; the second run sends the message once."""
    webhook = Webhook(receiver.url)
    receiver.status = 500
    delivery = tell(repo, alert_of("stopped", "1-1"), webhook)
    assert (delivery.webhook, delivery.problems) == ("failed", ("KIMIPROBE_WEBHOOK_URL: HTTP 500",))
    assert [issue["title"] for issue in repo.issues()] == [STOPPED]
    receiver.status = 200
    assert tell(repo, alert_of("stopped", "1-1"), webhook).webhook == "sent"
    assert tell(repo, alert_of("stopped", "1-1"), webhook).webhook == "sent"
    assert len(receiver.messages) == 1


@hub.needs_npm
def test_github_that_refuses_does_not_stop_the_webhook(repo: Repository, server: Hub, receiver: Receiver) -> None:
    """Every channel is tried, and the failure is reported."""
    server.fail("GET", r"/issues$", 403, f"Resource not accessible by integration {BOT}", times=9)
    delivery = tell(repo, alert_of("stopped", "1-1"), Webhook(receiver.url))
    assert len(receiver.messages) == 1
    assert "`issues: write`" in delivery.problems[0]
    assert BOT not in delivery.problems[0]


@hub.needs_npm
def test_wherever_it_is_cut_short_the_re_run_ends_the_same(server: Hub) -> None:
    """Interrupted before or after any request, a second run ends with one issue, one comment, closed."""
    repo = server.repository({"README.md": "x"})
    tell(repo, alert_of("stopped", "1-1"))
    first = len(server.requests)
    server.forget()
    tell(repo, alert_of("working", "2-1"))
    for cut in range(2, max(first, len(server.requests)) + 1):
        fresh = server.repository({"README.md": "x"})
        for state, run in (("stopped", "1-1"), ("working", "2-1")):
            server.forget()
            server.cut_at = cut
            tell(fresh, alert_of(state, run))
            server.forget()
            tell(fresh, alert_of(state, run))
        (issue,) = fresh.issues("closed")
        assert (fresh.issues(), issue["title"], len(fresh.comments(issue["number"]))) == ([], WORKING, 1)


@hub.needs_npm
def test_an_issue_whose_creation_went_unanswered_is_found(repo: Repository, server: Hub) -> None:
    """The connection broke after GitHub had opened it."""
    server.fail("POST", r"/issues$", after=True)
    assert tell(repo, alert_of("stopped", "1-1")).problems == ()
    assert len(repo.issues()) == 1


@hub.needs_npm
def test_a_strangers_hidden_line_silences_nothing(server: Hub, repo: Repository, receiver: Receiver) -> None:
    """Anyone can comment and copy the hidden line; only our entries count."""
    tell(repo, alert_of("stopped", "1-1"))
    (issue,) = repo.issues()
    mark = "<!-- kimiprobe:alert=openrouter/kimi-k2.6 state=working run=2-1 webhook=sent v=1 -->"
    repo.human("POST", f"issues/{issue['number']}/comments", {"body": mark})
    done = tell(repo, alert_of("working", "2-1"), Webhook(receiver.url))
    assert (done.repeated, done.webhook, done.problems) == (False, "sent", ())
    assert [row["state"] for row in repo.issues("all")] == ["closed"]


def test_hostile_run_ids_stay_inside_the_hidden_line() -> None:
    """A run id cannot close the comment."""
    hostile = replace(alert_of("stopped", "x"), run="1 --> @octocat <img src=x>")
    assert notify._entry_line(hostile, "none") == (
        f"<!-- kimiprobe:alert={SUBJECT} state=stopped run=1_--_octocat_img_src_x_ webhook=none v=1 -->"
    )
