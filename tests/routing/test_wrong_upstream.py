"""An answer of another upstream than the pinned one is delivered with a note, and says nothing about the endpoint."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import get_args

import pytest
from asking import CATALOG, KEY, Asker
from faulty_server import FaultyServer, Line, chat, head, reply
from openrouter.components.byokproviderslug import BYOKProviderSlug
from openrouter.components.providername import ProviderName

from pytest_kimiprobe.judging.judge import judge_any
from routing import AllAttemptsFailed, Router
from routing.catalog.model import Endpoint

HOST = "openrouter/moonshotai/kimi-k2.6+novita/fp8"
UNPINNED = "openrouter/moonshotai/kimi-k2.6"
NAMES = get_args(get_args(ProviderName)[0])
SLUGS = get_args(get_args(BYOKProviderSlug)[0])
NO_UPSTREAM = {"Stealth", "FakeProvider", "Crucible"}
FLAGS = f"""\
version: 1
serial: 1
environment: test
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
flags:
  pinned:
    description: d
    owner: o
    controls: ["{HOST}"]
    enabled: true
    percent: 100
...
"""


def pinned(tag: str) -> Endpoint:
    return Endpoint(f"openrouter/m+{tag}", "openrouter", "m", tag, "m")


@pytest.fixture
def asker() -> Asker:
    return Asker()


class TestNamesOfUpstreams:
    @pytest.mark.parametrize("name", [name for name in NAMES if name not in NO_UPSTREAM])
    def test_a_gateways_name_fits_its_own_tag_and_few_others(self, name: str) -> None:
        """All names of OpenRouter's SDK, against all tags of it, with and without a variant."""
        fitting = {slug for slug in SLUGS if pinned(slug).is_served_by(name)}
        assert fitting
        assert {slug for slug in SLUGS if pinned(f"{slug.partition('/')[0]}/fp8").is_served_by(name)} == fitting
        assert len({slug.partition("-")[0].partition("/")[0] for slug in fitting}) == 1

    @pytest.mark.parametrize("slug", SLUGS)
    def test_a_tag_fits_a_name(self, slug: str) -> None:
        """No upstream of OpenRouter is always wrong."""
        assert any(pinned(slug).is_served_by(name) for name in NAMES)

    @pytest.mark.parametrize("endpoint", [one for one in CATALOG.endpoints.values() if one.upstream], ids=str)
    def test_the_upstreams_of_the_catalogue_are_told_apart(self, endpoint: Endpoint) -> None:
        """Each fits one name of OpenRouter's SDK."""
        assert len([name for name in NAMES if endpoint.is_served_by(name)]) == 1

    def test_without_a_pin_every_upstream_is_right(self) -> None:
        """OpenRouter chooses it."""
        assert CATALOG.endpoint(UNPINNED).is_served_by("Anything")


@pytest.mark.parametrize(
    ("endpoint", "upstream", "wrong"),
    [
        (HOST, "Other", True),
        (HOST, "Moonshot AI", True),
        (HOST, "Novita", False),
        (HOST, "NovitaAI", False),
        (HOST, None, False),
        (UNPINNED, "Other", False),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_of_another_upstream_has_a_note_and_no_verdict_on_the_endpoint(
    asker: Asker, endpoint: str, upstream: str | None, *, wrong: bool, stream: bool
) -> None:
    """Its error class is `selection`, which neither moves a flag nor counts as a missing answer."""
    body = chat() if upstream is None else chat(provider=upstream)
    with FaultyServer(reply(body)) as server:
        done = asker.ask(server.url, endpoint=endpoint, stream=stream)
    asker.close()
    assert done.answer is not None
    assert done.answer.text == "hello"
    assert ("wrong_upstream" in done.answer.notes) == wrong
    found = judge_any(done, ())
    if wrong:
        assert (found.verdict, found.reason, found.error_class) == ("error", "wrong_upstream", "selection")
        assert found.detail == f"answered by {upstream}"
    else:
        assert (found.verdict, found.reason) == ("pass", "ok")


def test_the_caller_gets_the_answer_and_the_circuit_breaker_does_not_count_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six answers of another upstream do not make up for five failures of the pinned one."""
    numbers = count()

    def speak(line: Line) -> None:
        while line.request():
            right = next(numbers) < 6
            raw = json.dumps(chat(provider="Other") if right else {"error": {"message": "x"}}).encode()
            line.send(head(200 if right else 500, length=len(raw)), raw)

    (tmp_path / "flags.yaml").write_text(FLAGS, "utf-8")
    with FaultyServer(speak) as server:
        monkeypatch.setenv("KIMIPROBE_BASE_URL_OPENROUTER", server.url)
        monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
        with Router.load(tmp_path / "flags.yaml") as router:
            for _ in range(6):
                got = router.complete("hi", endpoints=[HOST])
                assert (got.text, got.upstream, "wrong_upstream" in got.notes) == ("hello", "Other", True)
            for _ in range(5):
                with pytest.raises(AllAttemptsFailed):
                    router.complete("hi", endpoints=[HOST])
            assert [parked.endpoint for parked in router.status().parked] == [HOST]
