"""Two corpora that were written without a look at the rules, and the recorded answers: what of them is delivered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import attack_corpus
import honest_corpus
import pytest
from asking import routed
from attack_corpus import Attack
from faulty_server import FaultyServer
from honest_corpus import Honest
from rescue_corpora import BY_WORDING, Answers, is_native, is_right, leaked_recordings, through_router, through_stream
from shared_data import DATA, needs_data

from routing import Reply

DIGESTS = dict(
    line.split() for line in (Path(__file__).parents[2] / "corpora" / "SHA256").read_text("utf-8").splitlines()
)
SOME = 25
"""`make test` asks about every 25th row, `make test-long` about all."""
EVERY = [SOME, pytest.param(1, marks=pytest.mark.long)]


@cache
def attacks() -> list[Attack]:
    return attack_corpus.compose()


@cache
def honest() -> list[Honest]:
    return honest_corpus.honest_rows()


Deliver = Callable[[Attack | Honest], Reply | None]


@pytest.fixture
def deliver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deliver]:
    """Sends the request of a row through a router, to a host that answers with its content."""
    answers = Answers()
    with FaultyServer(answers.behaviour()) as server, routed(tmp_path, monkeypatch, server.url) as router:
        yield lambda row: through_router(router, answers, row)


def test_the_corpora_are_frozen() -> None:
    """A rule cannot be made to fit by changing a row: the digest would change."""
    assert attack_corpus.digest(attacks()) == DIGESTS["attacks"]
    assert honest_corpus.digest(honest()) == DIGESTS["honest"]
    assert DIGESTS == {
        "attacks": "eaec7abc61538e5f1bd193b9cb4c063e543e31e9a97bd91ac18727a62f3b8883",
        "honest": "65e8490f4effbb1ce2d19013ba3ecf0b99c76e086a51c0d67c18f439dc277006",
    }


@pytest.mark.parametrize("every", EVERY)
def test_no_attack_is_executed_that_a_condition_covers(deliver: Deliver, every: int) -> None:
    """By the router and by a stream: only what the wording alone speaks against, and of that a known number."""
    executed: Counter[str] = Counter()
    for at, row in enumerate(attacks()[::every]):
        reply, (_, found) = deliver(row), through_stream(row, (1, 3, 7)[at % 3])
        called = bool(reply and reply.tool_calls)
        assert called == (bool(found.tool_calls) and not found.dropped), row.id
        executed[row.kind] += called
    assert [kind for kind in +executed if not kind.startswith("wording_") and kind not in BY_WORDING] == []
    assert every > 1 or sum(executed.values()) <= 612


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize(("native", "share"), [(True, 0.98), (False, 0.85)], ids=["native", "foreign"])
def test_honest_calls_are_delivered(deliver: Deliver, native: bool, share: float, every: int) -> None:
    """With their text, by the router and by a stream."""
    rows = [row for row in honest() if is_native(row) == native][:: min(every, 5)]
    assert share_delivered(deliver, rows) >= share


@needs_data
@pytest.mark.parametrize("every", EVERY)
def test_recorded_calls_are_delivered_behind_their_own_text(deliver: Deliver, every: int) -> None:
    """Every recorded answer with text and calls, the calls leaked: at least 99 % are delivered."""
    rows = list(leaked_recordings(DATA / "recorded.jsonl"))[:: min(every, 5)]
    assert len(rows) * min(every, 5) >= 190
    assert share_delivered(deliver, rows) >= 0.99


def share_delivered(deliver: Deliver, rows: Sequence[Honest]) -> float:
    right = 0
    for at, row in enumerate(rows):
        reply, (_, found) = deliver(row), through_stream(row, (1, 3, 7)[at % 3])
        by_router = reply is not None and is_right(row, reply.tool_calls, reply.text)
        assert by_router == is_right(row, found.tool_calls, found.text), row.id
        right += by_router
    return right / len(rows)
