"""True rates: what each request meets, as numbers."""

from __future__ import annotations

import statistics

import pytest

from pytest_kimiprobe.simulator import Persona
from pytest_kimiprobe.simulator.behaviour.draws import first_token_ms, persona_by_rates, plain_persona_name, uniforms

MANY = 20_000
RATED = Persona(availability=0.9, trigger_rate=0.8, leak_rate=0.25, schema_accuracy=0.7)
TOLD = {"down": 0.1, "no_call": 0.9 * 0.2, "leaks_k2": 0.9 * 0.8 * 0.25, "bad_arguments": 0.9 * 0.8 * 0.75 * 0.3}


def test_each_rate_applies_to_what_the_rates_before_left() -> None:
    """Shares are within four standard deviations of the product, over 20,000 requests."""
    met_ones = [plain_persona_name(RATED, uniforms(1, "a/b", "x", count)) for count in range(MANY)]
    for name, share in TOLD.items():
        spread = (share * (1 - share) / MANY) ** 0.5
        assert met_ones.count(name) / MANY == pytest.approx(share, abs=4 * spread)


def test_uniforms_are_between_0_and_1_and_belong_to_one_request() -> None:
    """Seed, endpoint, content and count each change all five numbers."""
    drawn = [
        uniforms(*key)
        for key in ((1, "a", "x", 0), (2, "a", "x", 0), (1, "b", "x", 0), (1, "a", "y", 0), (1, "a", "x", 1))
    ]
    assert all(0 <= lot < 1 for each in drawn for lot in each)
    assert len({lot for each in drawn for lot in each}) == 25
    assert uniforms(1, "a", "x", 0) == drawn[0]


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_certain_rates_are_certain(rate: float) -> None:
    """At 0 no request gets it, at 1 every request."""
    calls = {plain_persona_name(Persona(trigger_rate=rate), uniforms(1, "a", "x", count)) for count in range(500)}
    assert calls == {"healthy" if rate else "no_call"}


def test_first_tokens_are_log_normal_around_their_percentiles() -> None:
    """Half arrive before the median and 95 % before the 95th percentile; without one, all take equal time."""
    persona = Persona(first_token_ms=100, first_token_p95_ms=400)
    times = sorted(first_token_ms(persona, uniforms(1, "a", "x", count)) for count in range(MANY))
    assert statistics.median(times) == pytest.approx(100, rel=0.04)
    assert times[int(MANY * 0.95)] == pytest.approx(400, rel=0.06)
    assert first_token_ms(Persona(first_token_ms=7), uniforms(1, "a", "x", 1)) == 7
    assert first_token_ms(persona, (0.0, 0.0, 0.0, 0.0, 0.0)) > 0


def test_a_slow_persona_with_rates_stays_slow() -> None:
    """Rates change the answer, not its speed."""
    slow = Persona("slow", schema_accuracy=0.0, first_token_ms=900, tokens_per_s=50)
    assert persona_by_rates(slow, "a/b", uniforms(1, "a/b", "x", 0)) == Persona(
        "bad_arguments", first_token_ms=900, tokens_per_s=50
    )
