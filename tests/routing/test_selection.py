"""Selection of endpoints by flags, evidence, prices and request: the documented order, with a reason for each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from routing import catalog
from routing.catalog import Price
from routing.errors import CatalogError
from routing.evidence.model import Counts, EndpointEvidence, Evidence
from routing.flags.model import Flags
from routing.selection import Route, RouteRequest, RoutingState, choose
from routing.tokens import has_image, prompt_tokens_of
from routing.types import Parked, Status

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CATALOG = catalog.load(environment={})
PLAIN = "openrouter/moonshotai/kimi-k2.6"
NOVITA, DEEPINFRA = f"{PLAIN}+novita/fp8", f"{PLAIN}+deepinfra/fp4"
DIRECT = "moonshot/kimi-k2.6"


DOCUMENT = """version: 1
serial: 1
environment: {environment}
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
flags:
  tools:
    description: d
    owner: o
    controls: ["openrouter/moonshotai/kimi-*"]
    enabled: {on}
    percent: {percent}
{extra}
...
"""


def flags(*, on: bool = True, percent: int = 100, extra: str = "", environment: str = "production") -> Flags:
    text = DOCUMENT.format(environment=environment, on=str(on).lower(), percent=percent, extra=extra)
    return Flags.loads(text.encode(), "flags.yaml")


def evidence(days: float = 0.5, source: str = "live", **statuses: Status) -> Evidence:
    names = {"novita": NOVITA, "deepinfra": DEEPINFRA, "direct": DIRECT, "plain": PLAIN}
    rows = {
        names[name]: EndpointEvidence(names[name], status, NOW - timedelta(days=days), Counts(60, 60))
        for name, status in statuses.items()
    }
    return Evidence(NOW, "run", source, rows)


def route(known: Evidence, chosen: Flags | None = None, **needs: Any) -> Route:
    asked: dict[str, Any] = {"model": "kimi-k2.6", "tools": True, "user": "123", "prompt_tokens": 1000, **needs}
    parked = asked.pop("parked", {})
    return choose(RouteRequest(**asked), RoutingState(CATALOG, chosen or flags(), known, NOW, parked))


def replicate_too() -> Flags:
    """Flags that are on for Replicate too."""
    return Flags.loads(
        DOCUMENT.format(environment="production", on="true", percent=100, extra="")
        .replace('"openrouter/moonshotai/kimi-*"', '"openrouter/moonshotai/kimi-*", "replicate/*"')
        .encode(),
        "flags.yaml",
    )


def free(price: Price) -> Price:
    """The same price with input and output at zero."""
    return replace(price, input=Decimal(0), output=Decimal(0))


def order(found: Route) -> list[str]:
    return [candidate.endpoint for candidate in found.candidates]


def why_not(found: Route, endpoint: str) -> str:
    return next(left.why for left in found.left_out if left.endpoint == endpoint)


def test_the_cheapest_trusted_endpoint_comes_first_then_the_next_then_direct() -> None:
    """For 1,000 tokens in and out: Novita $0.00420, DeepInfra $0.00425, Moonshot direct $0.00495."""
    found = route(evidence(novita="works", deepinfra="works", direct="works"))
    assert order(found)[:3] == [NOVITA, DEEPINFRA, DIRECT]
    assert found.endpoint == NOVITA


def test_a_flag_that_is_off_leaves_only_the_reference() -> None:
    """Turning a flag off is the kill switch."""
    found = route(evidence(novita="works"), flags(on=False))
    assert order(found) == [DIRECT]
    assert "flag tools" in why_not(found, NOVITA)


def test_evidence_older_than_seven_days_is_not_trusted() -> None:
    """Then the reference goes first, followed by the endpoints whose flags are on, by price."""
    found = route(evidence(days=7.1, novita="works", deepinfra="works"))
    assert order(found)[0] == DIRECT
    assert DEEPINFRA in order(found)
    assert "too long to be trusted" in str(found)


def test_without_any_evidence_the_reference_goes_first_then_flagged_ones_by_price() -> None:
    """No endpoint is trusted on the first day."""
    found = order(route(Evidence()))
    assert found[:3] == [DIRECT, f"{PLAIN}+wandb/fp8", NOVITA]


@pytest.mark.parametrize("status", ["broken", "down", "retired", "unsupported"])
def test_what_does_not_work_is_left_out_but_the_reference_stays_last_resort(status: Status) -> None:
    """A broken endpoint is left out at any price."""
    found = route(evidence(novita=status, direct=status))
    assert NOVITA not in order(found)
    assert DIRECT in order(found)
    assert status in why_not(found, NOVITA)


def test_degraded_endpoints_are_still_trusted_since_the_router_verifies_each_answer() -> None:
    """Selection does not override a flag that stays on through a bad day."""
    assert route(evidence(novita="degraded", direct="works")).endpoint == NOVITA


def test_needs_rescue_is_trusted_only_where_the_flag_accepts_it() -> None:
    """Otherwise the endpoint comes after the reference."""
    known = evidence(novita="needs_rescue", direct="works")
    assert route(known).endpoint == DIRECT
    assert route(known, flags(extra="    accept_rescued: true")).endpoint == NOVITA


def test_at_the_same_price_the_flagged_endpoint_goes_before_the_reference() -> None:
    """Unpinned OpenRouter and Moonshot both cost 0.95 / 4.00; a person turned that flag on for a reason."""
    assert route(evidence(plain="works", direct="works")).endpoint == PLAIN


def test_deny_beats_allow_and_percent() -> None:
    """A user named on both lists is out."""
    known = evidence(novita="works")
    assert route(known, flags(extra="    users: {deny: ['123']}")).endpoint == DIRECT
    assert route(known, flags(percent=0, extra="    users: {allow: ['123']}")).endpoint == NOVITA


def test_percent_without_a_user_is_off_unless_100() -> None:
    """Without a user there is no position for the percentage."""
    known = evidence(novita="works")
    assert route(known, flags(percent=99), user=None).endpoint == DIRECT
    assert route(known, flags(percent=100), user=None).endpoint == NOVITA


@pytest.mark.parametrize("source", ["simulator", "replay", "local"])
def test_evidence_that_no_host_gave_is_not_trusted_in_production(source: str) -> None:
    """A simulated host is always healthy."""
    assert route(evidence(source=source, novita="works")).endpoint == DIRECT


def test_local_evidence_counts_where_the_flags_say_test() -> None:
    """The tutorial shows the whole cycle without keys this way."""
    assert route(evidence(source="local", novita="works"), flags(environment="test")).endpoint == NOVITA


def test_a_tool_choice_that_an_endpoint_refuses_leaves_it_out() -> None:
    """Moonshot answers `required` with HTTP 400 while thinking is on."""
    found = route(evidence(novita="works", direct="works"), tool_choice="required")
    assert order(found)[0] == NOVITA
    assert "tool_choice required" in why_not(found, DIRECT)
    named = route(evidence(direct="works"), tool_choice={"type": "function", "function": {"name": "f"}})
    assert "tool_choice named" in why_not(named, DIRECT)


def parked(**seconds: float) -> dict[str, Parked]:
    names = {"novita": NOVITA, "deepinfra": DEEPINFRA, "direct": DIRECT}
    return {names[name]: Parked(names[name], "it asked for a pause", left) for name, left in seconds.items()}


def test_a_parked_endpoint_is_left_out_with_the_reason() -> None:
    """The next endpoint in the order comes first."""
    found = route(evidence(novita="works", deepinfra="works", direct="works"), parked=parked(novita=40.4))
    assert order(found)[:2] == [DEEPINFRA, DIRECT]
    assert why_not(found, NOVITA) == "parked for 40 s more: it asked for a pause"
    assert [left.endpoint for left in found.left_out if left.parked] == [NOVITA]


def test_if_all_are_parked_the_one_whose_parking_ends_first_stays() -> None:
    """One attempt is better than none; the candidate is not trusted."""
    found = route(evidence(direct="works"), flags(on=False), parked=parked(direct=40.0, novita=1.0))
    assert order(found) == [DIRECT]
    assert not found.candidates[0].trusted
    assert found.candidates[0].why.endswith("parked for 40 s more: it asked for a pause, but nothing else is left")
    everything = {endpoint.id: Parked(endpoint.id, "x", 90.0) for endpoint in CATALOG.of_model("kimi-k2.6")}
    found = route(evidence(novita="works", direct="works"), parked=everything | parked(deepinfra=5.0))
    assert order(found) == [DEEPINFRA]
    assert {left.endpoint for left in found.left_out if left.parked} >= {NOVITA, DIRECT}


def test_a_model_whose_endpoints_are_all_parked_gives_way_to_its_fallback() -> None:
    """This needs a fallback model in flags.yaml."""
    found = route(Evidence(), flags(on=False), fallback_models=("kimi-k3",), parked=parked(direct=9.0))
    assert order(found) == ["moonshot/kimi-k3"]


def test_a_parked_vision_endpoint_is_asked_all_the_same() -> None:
    """No other endpoint may serve images."""
    vision = "openrouter/anthropic/claude-sonnet-5.5"
    found = route(Evidence(), vision=True, parked={vision: Parked(vision, "x", 9.0)})
    assert order(found) == [vision]
    assert "parked for 9 s more" in str(found)


def test_retired_endpoints_are_left_out_by_the_catalogue() -> None:
    """Together retired K2.6 in August."""
    assert why_not(route(Evidence()), "together/moonshotai/Kimi-K2.6") == "retired on 2026-08-19"


EMULATED = "replicate/moonshotai/kimi-k2.5"


def test_emulated_tools_come_after_native_ones_in_the_same_group() -> None:
    """Replicate has no native tools: if its flag is on, tools are described in the prompt, and the route notes it."""
    assert why_not(route(Evidence(), model="kimi-k2.5"), EMULATED) == "no flag controls it"
    chosen = replicate_too()
    found = route(Evidence(), chosen, model="kimi-k2.5")
    assert order(found)[-1] == EMULATED
    assert len(found.candidates) > 1
    assert found.candidates[-1].why.endswith("tools described in the prompt")
    trusted = Evidence(NOW, "r", "live", {EMULATED: EndpointEvidence(EMULATED, "works", NOW, Counts(60, 60))})
    assert order(route(trusted, chosen, model="kimi-k2.5"))[0] == EMULATED


def test_emulated_tools_come_last_even_at_the_lowest_price() -> None:
    """Its price is set to the lowest of all."""
    native = f"openrouter/{EMULATED.partition('/')[2]}"
    cheap = replace(CATALOG.endpoint(EMULATED), prices=(free(CATALOG.endpoint(native).prices[-1]),))
    catalogue = replace(CATALOG, endpoints={**CATALOG.endpoints, EMULATED: cheap})
    facts = RoutingState(catalogue, replicate_too(), Evidence(), NOW)
    assert choose(RouteRequest("kimi-k2.5", user="123"), facts).candidates[0].endpoint == EMULATED
    assert choose(RouteRequest("kimi-k2.5", user="123", tools=True), facts).candidates[-1].endpoint == EMULATED


def test_an_endpoint_without_any_tools_serves_no_tool_request() -> None:
    """It has neither native nor emulated tools."""
    bare = replace(CATALOG.endpoint(EMULATED), capabilities=frozenset({"stream"}))
    catalogue = replace(CATALOG, endpoints={**CATALOG.endpoints, EMULATED: bare})
    found = choose(RouteRequest("kimi-k2.5", tools=True), RoutingState(catalogue, replicate_too(), Evidence(), NOW))
    assert why_not(found, EMULATED) == "has no tools"


def test_fallback_models_come_after_every_endpoint_of_the_model() -> None:
    """Only flags.yaml can name them: a lower price alone never changes the model."""
    found = order(route(Evidence(), flags(on=False), fallback_models=("kimi-k3",)))
    assert found == [DIRECT, "moonshot/kimi-k3"]


def test_an_unknown_model_is_an_error_that_lists_the_known_ones() -> None:
    """The result is not an empty route."""
    with pytest.raises(CatalogError, match=r"unknown model 'kimi-k9'.*kimi-k2\.6"):
        route(Evidence(), model="kimi-k9")


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [{"type": "text", "text": "?"}, IMAGE]}],
        [{"role": "user", "content": [IMAGE]}, {"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}],
        [{"role": "tool", "tool_call_id": "a", "content": [IMAGE]}],
        [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x"}]}],
    ],
)
def test_an_image_anywhere_in_the_messages_is_seen(messages: list[dict[str, Any]]) -> None:
    """Older turns and tool results count too."""
    assert has_image(messages)


@pytest.mark.parametrize("content", ["data:image/png;base64,AAAA", None, [{"type": "text", "text": "image_url"}], [7]])
def test_a_data_url_in_a_text_is_not_an_image(content: Any) -> None:
    """A data URL in a text is text."""
    assert not has_image([{"role": "user", "content": content}])


def test_images_go_to_the_vision_endpoint_which_needs_no_flag() -> None:
    """This holds for any requested model and any flags."""
    found = route(Evidence(), flags(on=False), vision=True)
    assert order(found) == ["openrouter/anthropic/claude-sonnet-5.5"]
    assert "image" in found.candidates[0].why


def test_base64_does_not_count_as_prompt() -> None:
    """A photograph does not count as a million tokens."""
    big = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:" + "A" * 400_000}}]}]
    assert prompt_tokens_of(big, ()) < 2000


def test_a_route_explains_every_endpoint(snapshot: Any) -> None:
    """Candidates have place, status, price and reason; the others have the reason why not."""
    known = evidence(novita="works", deepinfra="broken", direct="works")
    assert str(route(known)) == snapshot
