"""Costs of recorded exchanges: tokens times prices give the billed amount, and what genai-prices computes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast

import genai_prices
import pytest
from genai_prices.types import TieredPrices
from shared_data import needs_data, recorded

from routing.catalog import Endpoint, Price
from routing.types import Answer, Usage
from routing.wire import wire_named

PRICED_BY: dict[tuple[str, str], str | tuple[str, str, str]] = {
    ("moonshotai/kimi-k2.5-0127", "Chutes"): ("0.44", "0.22", "2.00"),
    ("moonshotai/kimi-k2.5-0127", "Inceptron"): ("0.44", "0.44", "2.20"),
    ("moonshotai/kimi-k2.5-0127", "ModelRun"): ("0.55", "0.55", "3.25"),
    ("anthropic/claude-4.5-haiku-20251001", "Amazon Bedrock"): "anthropic/claude-haiku-4-5",
    ("anthropic/claude-4.5-sonnet-20250929", "Amazon Bedrock"): "anthropic/claude-sonnet-4-5",
    ("anthropic/claude-4.6-sonnet-20260217", "Amazon Bedrock"): "anthropic/claude-sonnet-4-6",
    ("anthropic/claude-4.6-sonnet-20260217", "Anthropic"): "anthropic/claude-sonnet-4-6",
    ("anthropic/claude-4.6-sonnet-20260217", "Google"): "anthropic/claude-sonnet-4-6",
    ("google/gemini-3.1-flash-lite-preview-20260303", "Google AI Studio"): "google/gemini-3.1-flash-lite-preview",
    ("google/gemini-2.5-flash", "Google"): "google/gemini-2.5-flash",
    ("google/gemini-2.5-flash", "Google AI Studio"): "google/gemini-2.5-flash",
    ("z-ai/glm-5-turbo-20260315", "Z.AI"): "openrouter/z-ai/glm-5-turbo",
    ("z-ai/glm-5-turbo-20260315", "AtlasCloud"): "openrouter/z-ai/glm-5-turbo",
    ("x-ai/grok-4.1-fast", "xAI"): "x-ai/grok-4-1-fast-reasoning",
    ("x-ai/grok-4", "xAI"): "x-ai/grok-4",
    ("openai/gpt-5.4-nano-20260317", "OpenAI"): "openai/gpt-5.4-nano",
    ("openai/gpt-5-mini", "OpenAI"): "openai/gpt-5-mini",
    ("openai/gpt-5-mini-2025-08-07", "OpenAI"): "openai/gpt-5-mini",
    ("openai/o3", "OpenAI"): "openai/o3",
    ("openai/gpt-4o-mini", "OpenAI"): "openai/gpt-4o-mini",
    ("openai/gpt-4.1-mini", "OpenAI"): "openai/gpt-4.1-mini",
    ("openai/gpt-5.1-codex-mini", "OpenAI"): "openai/gpt-5.1-codex-mini",
}
"""(model, upstream) of an answer -> `provider/model` in genai-prices, whose list of that day is its price.

No list of that day is at hand for Kimi's three upstreams: theirs (USD per million tokens fresh, cached, answered) are
what the parts that each exchange itself reports come to, and every further exchange with them must agree.
"""

NO_COST = "the answer tells no cost"
OWN_KEY = "billed to the caller's own key at the upstream (BYOK), OpenRouter's own cost is 0"
MORE_THAN_TOKENS = "a search, a file or an advisor was billed beside the tokens"
LEFT_OUT = {
    "test_openrouter/test_openrouter_advisor_tool_stream#0": MORE_THAN_TOKENS,
    "test_openrouter/test_openrouter_file_annotation#0": MORE_THAN_TOKENS,
    "test_openrouter/test_openrouter_google_nested_schema#0": OWN_KEY,
    "test_openrouter/test_openrouter_google_nested_schema#1": OWN_KEY,
    "test_openrouter/test_openrouter_map_messages_reasoning#0": NO_COST,
    "test_openrouter/test_openrouter_preserve_reasoning_block#0": NO_COST,
    "test_openrouter/test_openrouter_preserve_reasoning_block#1": NO_COST,
    "test_openrouter/test_openrouter_usage#0": NO_COST,
    "test_openrouter/test_openrouter_web_search_annotations_stream#0": MORE_THAN_TOKENS,
    "test_openrouter/test_openrouter_web_search_tool_usage#0": MORE_THAN_TOKENS,
    "test_openrouter/test_openrouter_web_search_tool_usage_stream#0": MORE_THAN_TOKENS,
    "test_openrouter/test_openrouter_with_native_options#0": NO_COST,
    "test_openrouter/test_openrouter_with_reasoning#0": NO_COST,
}
"""Exchanges whose bill is not the cost of their tokens; the part for tokens is compared if it is reported."""
NO_LIST = {"test_openrouter/test_openrouter_web_search_annotations_stream#0"}
"""No price list has the upstream's price for this model (deepseek-chat at OpenAI)."""


def is_stream(row: dict[str, Any]) -> bool:
    return (row["response"]["content_type"] or "").startswith("text/event-stream")


def answered(provider: str | None = None) -> list[dict[str, Any]]:
    """Recorded chats with an answer, of one provider or of all but OpenRouter."""
    return [
        row
        for row in recorded()
        if (row["provider"] == provider if provider else row["provider"] != "openrouter")
        and row["url_path"].endswith(("/chat/completions", "/v1/messages"))
        and row["response"]["status"] == 200
    ]


def answer_of(row: dict[str, Any]) -> Answer:
    raw = row["response"]["body"].encode()
    wire = wire_named("anthropic" if row["url_path"].endswith("/v1/messages") else "openai")
    if not is_stream(row):
        return wire.parse(row["response"]["status"], {}, raw)
    stream = wire.stream()
    stream.feed(raw)
    return stream.finish()


def day_of(row: dict[str, Any]) -> datetime:
    """The time at which OpenRouter made the answer."""
    whole = row["response"]["body"]
    first = next(line for line in whole.splitlines() if '"created"' in line) if is_stream(row) else whole
    return datetime.fromtimestamp(json.loads(first.removeprefix("data: "))["created"], UTC)


def usage_told(row: dict[str, Any]) -> dict[str, Any]:
    """OpenRouter's usage, as it is in the body."""
    lines = row["response"]["body"].splitlines() if is_stream(row) else [row["response"]["body"]]
    events = [json.loads(line.removeprefix("data: ")) for line in lines if '"usage"' in line]
    found: dict[str, Any] = events[-1]["usage"]
    return found


def parts_told(told: dict[str, Any]) -> Decimal:
    """OpenRouter's figures for what prompt and answer cost at the upstream."""
    parts = told["cost_details"]
    return sum(
        (Decimal(str(parts[f"upstream_inference_{name}_cost"])) for name in ("prompt", "completions")), Decimal(0)
    )


def as_price(theirs: genai_prices.types.ModelPrice, prompt_tokens: int = 0) -> Price:
    """The genai-prices price for a prompt of that length as a `Price`. Cached tokens without a price cost as others."""

    def at(price: Any) -> Decimal | None:
        if not isinstance(price, TieredPrices):
            return cast("Decimal | None", price)
        return next((tier.price for tier in reversed(price.tiers) if prompt_tokens > tier.start), price.base)

    fresh, output, cached = at(theirs.input_mtok), at(theirs.output_mtok), at(theirs.cache_read_mtok)
    assert fresh is not None
    assert output is not None
    written = at(theirs.cache_write_mtok)
    return Price(date.min, fresh, fresh if cached is None else cached, output, "list", date.min, written)


def listed(where: str | tuple[str, str, str], day: datetime) -> Price:
    if not isinstance(where, str):
        fresh, cached, output = map(Decimal, where)
        return Price(date.min, fresh, cached, output, "list", date.min)
    provider, _, model = where.partition("/")
    told = genai_prices.calc_price(
        genai_prices.Usage(), model_ref=model, provider_id=provider, genai_request_timestamp=day
    )
    return as_price(told.model_price)


def derived(answer: Answer, price: Price) -> Decimal:
    """The cost that an exchange has if the provider reports none."""
    endpoint = Endpoint("openrouter/x", "openrouter", "x", None, "x", frozenset(), (price,))
    cost, origin = endpoint.cost_of(replace(answer, reported_cost_usd=None))
    assert origin == "catalog"
    assert cost is not None
    return cost


def cost_by_list(row: dict[str, Any]) -> Decimal:
    answer = answer_of(row)
    return derived(answer, listed(PRICED_BY[str(answer.model), str(answer.upstream)], day_of(row)))


@needs_data
@pytest.mark.parametrize(
    "row", [row for row in answered("openrouter") if row["id"] not in LEFT_OUT], ids=lambda row: row["id"]
)
def test_the_cost_of_tokens_is_what_openrouter_billed(row: dict[str, Any]) -> None:
    """The reported cost is hidden. Cached tokens and those written to a cache have their own prices."""
    billed = answer_of(row).reported_cost_usd
    assert billed is not None
    assert billed > 0
    assert abs(cost_by_list(row) - billed) < Decimal("1e-9")


@needs_data
def test_enough_was_compared() -> None:
    """All recorded answers of OpenRouter except the named ones, including six of Kimi and all with cached tokens."""
    compared = [row for row in answered("openrouter") if row["id"] not in LEFT_OUT]
    assert (len(compared), len(LEFT_OUT)) == (55, 13)
    answers = [answer_of(row) for row in compared]
    assert sum("kimi" in str(answer.model) for answer in answers) == 6
    assert sum(bool(answer.usage and answer.usage.cached_tokens) for answer in answers) >= 10
    assert sum(bool(answer.usage and answer.usage.cache_write_tokens) for answer in answers) >= 2


@needs_data
@pytest.mark.parametrize(
    "row", [row for row in answered("openrouter") if row["id"] in LEFT_OUT], ids=lambda row: row["id"]
)
def test_each_exclusion_has_the_listed_reason(row: dict[str, Any]) -> None:
    """The token part of the bill equals the cost of its tokens, if it is reported."""
    why, told = LEFT_OUT[row["id"]], usage_told(row)
    if why == NO_COST:
        assert "cost" not in told
        assert answer_of(row).reported_cost_usd is None
        return
    if why == OWN_KEY:
        assert (told["is_byok"], told["cost"]) == (True, 0)
    else:
        assert Decimal(str(told["cost"])) - parts_told(told) >= Decimal("0.002")
    if row["id"] not in NO_LIST:
        assert abs(cost_by_list(row) - parts_told(told)) < Decimal("1e-9")


@needs_data
def test_upstreams_of_one_model_on_one_day_cost_differently() -> None:
    """Therefore a price belongs to an endpoint, never to a model."""
    rows = [row for row in answered("openrouter") if "kimi-k2.5" in row["model"]]
    dearest: dict[str, Decimal] = {}
    for row in rows:
        told = usage_told(row)
        each = Decimal(str(told["cost_details"]["upstream_inference_completions_cost"])) / told["completion_tokens"]
        dearest[str(answer_of(row).upstream)] = round(each * 1_000_000, 6)
    assert dearest == {"Chutes": Decimal(2), "Inceptron": Decimal("2.2"), "ModelRun": Decimal("3.25")}
    assert len({day_of(row).date() for row in rows}) == 1


GENAI = {"huggingface": "groq"}
"""Recorded through Hugging Face, answered by Groq."""
UNKNOWN_TO_GENAI = {"groq/compound"}
FAILED = {
    "test_groq/test_tool_use_failed_error_streaming#0",
    "test_groq/test_tool_use_failed_error_streaming_with_text#0",
}
"""Streams that end in an error: they have no answer, and their cost is not reported."""


def genai_result(row: dict[str, Any]) -> tuple[genai_prices.types.PriceCalculation, Usage] | None:
    """The cost that genai-prices computes for a plain answer, and the tokens it reads; None for a model that it lacks."""
    body = json.loads(row["response"]["body"])
    provider = GENAI.get(row["provider"], row["provider"])
    flavor = {"api_flavor": "chat"} if provider == "openai" else {}
    try:
        told = genai_prices.extract_usage(body, provider_id=provider, **flavor)
        used = told.usage
        mine = Usage(
            prompt_tokens=int(used.input_tokens or 0),
            completion_tokens=int(used.output_tokens or 0),
            cached_tokens=int(used.cache_read_tokens or 0),
            cache_write_tokens=int(used.cache_write_tokens or 0),
        )
        return told.calc_price(), mine
    except LookupError:
        assert body["model"] in UNKNOWN_TO_GENAI
        return None


@needs_data
@pytest.mark.parametrize(
    "row", [row for row in answered() if not is_stream(row)], ids=lambda row: f"{row['provider']}-{row['id']}"
)
def test_genai_prices_reads_the_same_tokens_and_the_same_cost(row: dict[str, Any]) -> None:
    """Compared for every plain answer of other providers: fresh, cached, cache-written and completion tokens."""
    theirs = genai_result(row)
    if theirs is None:
        return
    told, used = theirs
    answer = answer_of(row)
    assert answer.usage is not None
    assert replace(answer.usage, reasoning_tokens=0) == used
    tokens = told.input_price + told.output_price  # web searches are billed beside them
    assert abs(derived(answer, as_price(told.model_price, used.prompt_tokens)) - tokens) < Decimal("1e-9")


@needs_data
def test_enough_was_compared_with_genai_prices() -> None:
    """Anthropic with cached and written tokens, Groq with Kimi, and OpenAI."""
    results = {row["id"]: found for row in answered() if not is_stream(row) and (found := genai_result(row))}
    providers = [told.provider.id for told, _ in results.values()]
    assert {name: providers.count(name) for name in set(providers)} == {"anthropic": 155, "groq": 40, "openai": 1}
    assert sum("kimi" in told.model.id for told, _ in results.values()) == 6
    assert sum(used.cached_tokens > 0 for _, used in results.values()) >= 5
    assert sum(used.cache_write_tokens > 0 for _, used in results.values()) >= 5


@needs_data
@pytest.mark.parametrize(
    "row", [row for row in answered() if is_stream(row) and row["id"] not in FAILED], ids=lambda row: row["id"]
)
def test_a_streamed_answer_costs_what_its_last_totals_cost(row: dict[str, Any]) -> None:
    """genai-prices reads no streams, so it gets the last totals of one, field by field."""
    totals: dict[str, Any] = {}
    for line in row["response"]["body"].splitlines():
        event = json.loads(line[6:]) if line.startswith("data: {") else {}
        for told in (event.get("message", {}).get("usage"), event.get("usage"), event.get("x_groq", {}).get("usage")):
            totals |= {name: value for name, value in (told or {}).items() if value is not None}
    answer = answer_of(row)
    assert answer.usage is not None
    if row["provider"] == "anthropic":
        cached, written = (totals.get(f"cache_{name}_input_tokens", 0) for name in ("read", "creation"))
        sums = (totals["input_tokens"] + cached + written, totals["output_tokens"], cached, written)
    else:
        cached = (totals.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        sums = (totals["prompt_tokens"], totals["completion_tokens"], cached, 0)
    used = answer.usage
    assert (used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.cache_write_tokens) == sums
    told = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=sums[0], output_tokens=sums[1], cache_read_tokens=sums[2], cache_write_tokens=sums[3]
        ),
        model_ref=str(answer.model),
        provider_id=GENAI.get(row["provider"], row["provider"]),
    )
    assert abs(derived(answer, as_price(told.model_price)) - told.total_price) < Decimal("1e-9")
