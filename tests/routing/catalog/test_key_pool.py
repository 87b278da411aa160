"""Several keys of one provider: which is used, what hands over to the next, and when a refused one is tried again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from asking import FIRST, TOOL, Clock, routed
from faulty_server import FaultyServer, Line, chat, head

from routing import AllAttemptsFailed, KeyMissing, Router, catalog
from routing.catalog.key_pool import LIMITED_S, MAX_S, REFUSALS, REFUSED_S, KeyPool
from routing.errors import error_type
from routing.redaction import ApiKey, environment_secrets, redact

ONE, TWO, THREE = (f"sk-{name}-0123456789abcdef" for name in ("first", "second", "third"))
VARIABLE = "MOONSHOT_API_KEY"
PROVIDER = catalog.load(environment={}).providers["moonshot"]


@dataclass
class Host:
    """A host that answers by key: with a status, or 200 for a key that has none."""

    statuses: dict[str, int]
    headers: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    def __call__(self, line: Line) -> None:
        while request := line.request():
            key = request.headers["authorization"].removeprefix("Bearer ")
            self.asked.append(key)
            status = self.statuses.get(key, 200)
            body: Any = chat() if status == 200 else {"error": {"message": "no", "code": status}}
            raw = json.dumps(body).encode()
            line.send(head(status, *(self.headers if status != 200 else ()), length=len(raw)), raw)


@pytest.fixture
def host() -> Host:
    return Host({})


@pytest.fixture
def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Host) -> Iterator[Router]:
    with FaultyServer(host) as server, routed(tmp_path, monkeypatch, server.url) as loaded:
        monkeypatch.setenv(VARIABLE, f"{ONE},{TWO}")
        yield loaded


@pytest.mark.parametrize("status", [401, 402, 403, 429])
def test_a_refused_key_hands_over_to_the_next(router: Router, host: Host, status: int) -> None:
    """In the same request; the next request begins with the key that works."""
    host.statuses[ONE] = status
    reply = router.complete("Hi", tools=[TOOL])
    assert (reply.text, reply.endpoint, host.asked) == ("hello", FIRST, [ONE, TWO])
    assert [(attempt.status, attempt.outcome) for attempt in reply.attempts] == [(status, "failed"), (200, "ok")]
    assert reply.attempts[0].detail.startswith("key 1 of 2")
    router.complete("Hi", tools=[TOOL])
    assert host.asked == [ONE, TWO, TWO]


def test_a_pause_that_one_key_must_make_does_not_park_the_endpoint(router: Router, host: Host) -> None:
    """Other keys may go on."""
    host.statuses[ONE], host.headers = 429, ("Retry-After: 600",)
    router.complete("Hi", tools=[TOOL])
    assert router.status().parked == ()


def test_when_every_key_is_refused_the_error_lists_each(router: Router, host: Host) -> None:
    """And the endpoint is parked if its host asked for a pause; the keys are not shown."""
    host.statuses |= {ONE: 401, TWO: 429}
    host.headers = ("Retry-After: 600",)
    with pytest.raises(AllAttemptsFailed) as caught:
        router.complete("Hi", tools=[TOOL], timeout=5)
    assert [attempt.status for attempt in caught.value.attempts] == [401, 429]
    assert [parked.endpoint for parked in router.status().parked] == [FIRST]
    assert not {ONE, TWO} & set(str(caught.value).split())


def test_another_failure_does_not_hand_over(router: Router, host: Host) -> None:
    """A host that is down refuses all keys alike."""
    host.statuses |= {ONE: 500}
    with pytest.raises(AllAttemptsFailed):
        router.complete("Hi", tools=[TOOL], timeout=5)
    assert set(host.asked) == {ONE}


def test_one_key_is_asked_as_before(router: Router, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its refusal is not remembered: the next request may find it topped up."""
    monkeypatch.setenv(VARIABLE, ONE)
    host.statuses[ONE] = 402
    for _ in range(2):
        with pytest.raises(AllAttemptsFailed) as caught:
            router.complete("Hi", tools=[TOOL])
        assert "key 1" not in caught.value.attempts[0].detail
    assert host.asked == [ONE, ONE]


def test_keys_change_without_a_restart(router: Router, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read at each request."""
    host.statuses |= {ONE: 401, TWO: 401}
    with pytest.raises(AllAttemptsFailed):
        router.complete("Hi", tools=[TOOL])
    monkeypatch.setenv(VARIABLE, THREE)
    assert router.complete("Hi", tools=[TOOL]).text == "hello"
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(AllAttemptsFailed, match="no_key"):
        router.complete("Hi", tools=[TOOL])


@pytest.mark.parametrize("reason", sorted(REFUSALS))
def test_a_refused_key_is_tried_again_after_a_while(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the pause that the host asked for, an hour at most, or a default."""
    monkeypatch.setenv(VARIABLE, f"{ONE},{TWO}")
    for retry_after, pause in ((None, LIMITED_S if reason == "rate_limited" else REFUSED_S), (7.0, 7.0), (1e9, MAX_S)):
        clock = Clock()
        pool = KeyPool(clock)
        pool.settle(ONE, error_type(reason)(reason, retry_after_s=retry_after))
        assert pool.of(PROVIDER) == (TWO,)
        clock.now += pause - 0.1
        assert pool.of(PROVIDER) == (TWO,)
        clock.now += 0.2
        assert pool.of(PROVIDER) == (ONE, TWO)


def test_an_answer_ends_the_time_of_a_refused_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """If all keys are refused, the one whose time ends first is tried, and may work again."""
    monkeypatch.setenv(VARIABLE, f"{ONE},{TWO}")
    pool = KeyPool(Clock())
    for key, seconds in ((ONE, 50.0), (TWO, 20.0)):
        pool.settle(key, error_type("rate_limited")("rate_limited", retry_after_s=seconds))
    assert pool.of(PROVIDER) == (TWO,)
    pool.settle(ONE, None)
    assert pool.of(PROVIDER) == (ONE,)


@pytest.mark.parametrize(
    ("environment", "keys"),
    [
        ({VARIABLE: f"{ONE},{TWO}"}, (ONE, TWO)),
        ({VARIABLE: f" {ONE} ,\n{TWO},"}, (ONE, TWO)),
        ({VARIABLE: f"{ONE},{ONE}"}, (ONE,)),
        ({VARIABLE: ONE, f"{VARIABLE}_2": TWO, f"{VARIABLE}_3": THREE}, (ONE, TWO, THREE)),
        ({VARIABLE: ONE, f"{VARIABLE}_3": THREE}, (ONE,)),
        ({VARIABLE: f"your-key-here,{TWO}"}, (TWO,)),
        ({VARIABLE: "", f"{VARIABLE}_2": TWO}, (TWO,)),
    ],
)
def test_keys_are_separated_by_commas_or_numbered(environment: dict[str, str], keys: tuple[str, ...]) -> None:
    """Both ways are common."""
    assert PROVIDER.keys(environment) == keys
    assert PROVIDER.key(environment) == keys[0]


@pytest.mark.parametrize("environment", [{VARIABLE: f"{ONE}, {TWO}"}, {VARIABLE: ONE, f"{VARIABLE}_2": TWO}])
def test_each_of_several_keys_is_redacted(environment: dict[str, str]) -> None:
    """From texts and from answers."""
    plain = {name: value.replace("sk-", "") for name, value in environment.items()}
    for key in (ONE, TWO):
        assert redact(f"a {key[3:]} b", plain) == "a [redacted] b"
        assert environment_secrets(environment).text(key) == "[redacted]"


PLACEHOLDERS = [
    "your-key-here",
    "your_api_key",
    "YOUR_API_KEY",
    "changeme",
    "change-me",
    "CHANGE_ME",
    "sk-...",
    "sk-xxxx",
    "sk-XXXXXXXXXXXX",
    "<your-key>",
    "<key>",
    "${MOONSHOT_API_KEY}",
    "$KEY",
    "{{key}}",
    "sk-your-key-here",
    "sk-or-v1-your-key-here",
    "gsk_your_key",
    "todo",
    "none",
    "null",
    "sk-",
    "sk-key",
    "my-api-key",
    "insert-key-here",
    "enter_your_key_here",
    "replace_me",
    "***",
    "sk-****",
    "…",
    "sk-…",
    "placeholder",
    "put-your-key-here",
    "yourkey",
    "password",
    "api_key",
    "token",
]
REAL = [
    "sk-simulated-key",
    "simulated-openrouter-key",
    "gsk_simulated",
    "of-no-use",
    "sk-test-key-never-sent",
    "dummy",
    "EMPTY",
    "test",
    "local",
    "sk-or-v1-0123456789abcdef",
    "sk-x",
    "abc123",
    "bench-key-of-no-account",
    "sk-proj-aXXXb",
    "sk-yourselfX1",
]


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_a_placeholder_is_a_missing_key(value: str) -> None:
    """It is not sent; the message says what it is and where to get a key, and does not show it."""
    with pytest.raises(KeyMissing, match=r"MOONSHOT_API_KEY: holds a placeholder, not a key; get a key .* at https"):
        PROVIDER.key({VARIABLE: value})


@pytest.mark.parametrize("value", REAL)
def test_a_key_of_a_test_or_of_a_local_server_is_no_placeholder(value: str) -> None:
    """Such servers accept any key."""
    assert PROVIDER.key({VARIABLE: value}) == value


def test_a_placeholder_is_not_sent(router: Router, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt says which variable to set."""
    monkeypatch.setenv(VARIABLE, "your-key-here")
    with pytest.raises(AllAttemptsFailed, match="MOONSHOT_API_KEY: holds a placeholder"):
        router.complete("Hi", tools=[TOOL])
    assert host.asked == []


def test_a_key_hides_itself() -> None:
    """Its repr, which tracebacks with local variables show, holds nothing of it; it is a str all the same."""
    key = PROVIDER.key({VARIABLE: ONE})
    assert isinstance(key, ApiKey)
    assert (f"{key}", f"{key!r}", repr([key])) == (ONE, "[redacted]", "[[redacted]]")
