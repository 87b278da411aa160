"""Cost of an attempt: the host's figure, else an estimate that is marked as one; and what is left of a budget."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from routing import catalog
from routing.budgets.per_request import RequestBudget
from routing.errors import ExchangeError, ProviderFailure, RequestRejected
from routing.exchange import Exchange
from routing.tokens import DEFAULT_COMPLETION, estimated, prompt_bound, prompt_tokens_of
from routing.types import Answer, Attempt, ChatRequest, CostOrigin, RawToolCall, Reply, Usage

CATALOG = catalog.load(environment={})
DIRECT = CATALOG.endpoint("moonshot/kimi-k2.6")
PRICE = DIRECT.prices[-1]
UNPRICED = CATALOG.endpoint("replicate/moonshotai/kimi-k2.5")
REQUEST = ChatRequest([{"role": "user", "content": "x" * 400}])
PROMPT = prompt_tokens_of(REQUEST.messages, ())
SAID = Answer(text="y" * 41)


def cut(reason: str = "stream_cut", **more: Any) -> ExchangeError:
    return ProviderFailure(reason, **more)


def done(cost: str | None, origin: CostOrigin = "reported", tokens: Usage | None = None) -> Exchange:
    return Exchange(
        DIRECT.id, {}, cost_usd=None if cost is None else Decimal(cost), cost_origin=origin, estimate=tokens
    )


ESTIMATES: list[tuple[str, Answer | None, ExchangeError | None, Usage]] = [
    ("an answer without usage", SAID, None, Usage(PROMPT, 11)),
    ("an answer of an unpriced endpoint", replace(SAID, usage=Usage(7, 3, 2)), None, Usage(7, 3, 2)),
    (
        "calls and reasoning",
        Answer(reasoning="abcd", tool_calls=(RawToolCall("a", "f", "{}"),)),
        None,
        Usage(PROMPT, 2),
    ),
    ("a stream that was cut", SAID, cut(), Usage(PROMPT, 11)),
    ("a stream that had told its prompt", replace(SAID, usage=Usage(90, 1, 50)), cut(), Usage(90, 11, 50)),
    ("an answer whose host counted nothing", replace(SAID, usage=Usage(0, 0)), None, Usage(PROMPT, 11)),
    ("a stream of which nothing came", Answer(), cut("timeout"), Usage(PROMPT, 0)),
    ("an answer that never came", None, cut("timeout"), Usage(PROMPT, DEFAULT_COMPLETION)),
    ("a body that is none", None, cut("malformed_body"), Usage(PROMPT, DEFAULT_COMPLETION)),
    ("a host in trouble", None, cut("server_error", status=500), Usage(PROMPT, 0)),
    ("a host that is full", None, cut("rate_limited", status=429), Usage(0, 0)),
    ("a refusal", None, RequestRejected("bad_request", status=400), Usage(0, 0)),
    ("a refused call of its model", None, cut(status=400, failed_generation="z" * 8), Usage(PROMPT, 2)),
]


@pytest.mark.parametrize(("came", "error", "tokens"), [row[1:] for row in ESTIMATES], ids=[row[0] for row in ESTIMATES])
def test_tokens_are_estimated_by_what_was_sent_and_came(
    came: Answer | None, error: ExchangeError | None, tokens: Usage
) -> None:
    """Four characters are one token; only a refused request counts as no tokens."""
    assert estimated(REQUEST, came, error) == tokens


def test_each_picture_of_a_message_is_bounded() -> None:
    """An image URL of a few bytes may mean thousands of tokens."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    one, three = (prompt_bound([{"role": "user", "content": [picture] * count}]) for count in (1, 3))
    assert three - one >= 2 * 6000


def test_an_answer_that_never_came_is_no_longer_than_it_may_be() -> None:
    """`max_tokens` bounds the estimate."""
    assert estimated(replace(REQUEST, max_tokens=50), None, cut("timeout")) == Usage(PROMPT, 50)


def test_every_picture_counts_and_none_by_its_base64() -> None:
    """A bound that is too low breaks a budget; one that counts base64 as text refuses every image."""

    def bound(*urls: str) -> int:
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        return prompt_bound([{"role": "user", "content": [{"type": "text", "text": "look"}, *parts]}])

    assert bound("https://example.org/a.png") == bound("data:image/png;base64," + "A" * 100_000)
    assert bound(*["https://example.org/a.png"] * 10) - bound("https://example.org/a.png") == 9 * 6000


@pytest.mark.parametrize("origin", ["reported", "catalog"])
def test_what_is_known_is_taken_as_it_is(origin: CostOrigin) -> None:
    """A known cost is used unchanged, even if it is zero because nothing reached the host."""
    for cost in ("0.5", "0"):
        assert RequestBudget(CATALOG, None).settled(done(cost, origin), DIRECT, REQUEST) == (Decimal(cost), origin)


def test_an_unreported_cost_is_an_estimate_and_marked_as_one() -> None:
    """An unknown cost is estimated at the endpoint's price, else at the dearest price: never as zero."""
    tokens, spending = Usage(1000, 100), RequestBudget(CATALOG, None)
    assert spending.settled(done(None, "unknown", tokens), DIRECT, REQUEST) == (PRICE.cost(tokens), "estimated")
    dearest = CATALOG.dearest_at(PRICE.checked).cost(tokens)
    cost, origin = spending.settled(done(None, "unknown", tokens), UNPRICED, REQUEST)
    assert (origin, cost >= dearest > PRICE.cost(tokens)) == ("estimated", True)


def test_a_budget_takes_the_most_that_it_may_have_been() -> None:
    """The budget subtracts the upper bound, because an estimate may be too low."""
    request = replace(REQUEST, max_tokens=1000)

    def left_after(cost: str | None) -> int:
        spending = RequestBudget(CATALOG, Decimal("0.008"))
        spending.settled(done(cost, "unknown" if cost is None else "reported", Usage(1, 1)), DIRECT, request)
        affordable = spending.affordable(DIRECT, request)
        return affordable.max_tokens or 0 if affordable else 0

    assert left_after("0") == 1000
    assert 0 < left_after(None) < 1000


@pytest.mark.parametrize(
    ("origins", "estimate"), [(("reported", "catalog"), False), (("estimated", "reported"), True), ((), False)]
)
def test_a_reply_says_whether_its_cost_is_exact(origins: tuple[CostOrigin, ...], estimate: bool) -> None:
    """One estimated attempt makes the sum an estimate."""
    attempts = tuple(Attempt("e", "ok", "ok", None, "", 1.0, Decimal(1), origin) for origin in origins)
    assert Reply("", (), "e", False, Decimal(2), attempts).cost_estimated is estimate
