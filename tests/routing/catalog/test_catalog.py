"""The catalogue: checked data, dated prices, keys that are sent only to their provider."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from routing import catalog
from routing.errors import CatalogError, KeyMissing
from routing.types import Usage

PACKAGED = (Path(catalog.__file__).parent / "catalog.yaml").read_text("utf-8")
TODAY = date(2026, 11, 23)


def written(tmp_path: Path, old: str, new: str) -> Path:
    assert old in PACKAGED
    path = tmp_path / "catalog.yaml"
    path.write_text(PACKAGED.replace(old, new, 1), "utf-8")
    return path


def test_every_model_has_endpoints_and_one_of_them_as_reference() -> None:
    """The reference of a model serves the same model, so a fallback to it never changes the model."""
    found = catalog.load(environment={})
    for model in found.models.values():
        assert found.endpoint(model.reference).model == model.name


def test_an_endpoint_id_says_provider_model_and_upstream() -> None:
    """`+` separates the upstream tag, which may hold a slash."""
    found = catalog.load(environment={}).endpoint("openrouter/moonshotai/kimi-k2.6+novita/fp8")
    assert (found.provider, found.provider_model_id, found.upstream) == (
        "openrouter",
        "moonshotai/kimi-k2.6",
        "novita/fp8",
    )


def test_the_price_is_the_newest_that_holds_on_the_day() -> None:
    """Prices change: OpenRouter's list price of K2.6 changed twice in a month."""
    found = catalog.load(environment={}).endpoint("openrouter/moonshotai/kimi-k2.6")
    prices = [found.price_at(day) for day in (date(2026, 1, 1), date(2026, 10, 18), date(2026, 10, 19), TODAY)]
    assert [price and price.input for price in prices] == [None, Decimal("0.68"), Decimal("0.65"), Decimal("0.95")]


def test_cached_tokens_cost_their_own_price() -> None:
    """Moonshot K2.6: 0.95 fresh, 0.16 cached, 4.00 out."""
    price = catalog.load(environment={}).endpoint("moonshot/kimi-k2.6").price_at(TODAY)
    assert price is not None
    assert price.cost(Usage(1_000_000, 100_000, cached_tokens=400_000)) == Decimal("1.034")


def test_an_unknown_price_counts_as_the_dearest() -> None:
    """An unknown price never counts as zero."""
    dearest = catalog.load(environment={}).dearest_at(TODAY)
    assert (dearest.input, dearest.output) == (Decimal("3.00"), Decimal("15.00"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("wire: openai", "wire: smoke", r"catalog\.yaml:\d+:\d+: providers\.openrouter\.wire"),
        ('input: "0.60"', "input: 0.60", r"catalog\.yaml:\d+:\d+: endpoints\.0\.prices\.0\.input"),
        ("  openrouter:\n    title", "  openroute:\n    title", "no provider 'openrouter'"),
        ("    model: kimi-k2.6\n", "    model: kimi-k9\n", "no model 'kimi-k9'"),
        ("default_model: kimi-k2.6", "default_model: kimi-k9", "default_model 'kimi-k9'"),
        ("reference: moonshot/kimi-k3}", "reference: moonshot/kimi-9}", r"models\.kimi-k3\.reference"),
        ("id: moonshot/kimi-k3\n", "id: moonshot/kimi-k2.6\n", "twice"),
        ("base_url: https://api.groq.com", "base_url: http://api.groq.com", "https is needed"),
        ("base_url: https://api.groq.com", "base_url: https://groq.example", "may go to api.groq.com"),
        ("version: 1", "version: 2", "version"),
    ],
)
def test_a_wrong_catalogue_names_file_and_field(tmp_path: Path, old: str, new: str, words: str) -> None:
    """The error has line and column if a value is wrong."""
    with pytest.raises(CatalogError, match=words):
        catalog.load(written(tmp_path, old, new), environment={})


def test_a_missing_catalogue_is_named(tmp_path: Path) -> None:
    """A missing file is a CatalogError that names it, not a traceback."""
    with pytest.raises(CatalogError, match=r"nowhere\.yaml: no such file"):
        catalog.load(tmp_path / "nowhere.yaml", environment={})


class TestBaseUrls:
    @staticmethod
    def load(url: str) -> catalog.Catalog:
        return catalog.load(environment={"KIMIPROBE_BASE_URL_OPENROUTER": url})

    def test_a_provider_may_be_pointed_at_this_machine(self) -> None:
        """`local` runs and the simulator use this."""
        found = self.load("http://127.0.0.1:8/openrouter/api/v1/")
        assert found.providers["openrouter"].base_url == "http://127.0.0.1:8/openrouter/api/v1"
        assert found.providers["openrouter"].local
        assert not found.providers["moonshot"].local

    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example/v1",
            "http://openrouter.ai/api/v1",
            "https://openrouter.ai.evil.example/v1",
            "https://user:pass@openrouter.ai/v1",
            "ftp://127.0.0.1/x",
            "https://127.0.0.1.evil.example/",
        ],
    )
    def test_a_key_goes_only_to_its_providers_hosts(self, url: str) -> None:
        """A base URL override cannot send a key to another host or in clear text."""
        with pytest.raises(CatalogError, match="KIMIPROBE_BASE_URL_OPENROUTER"):
            self.load(url)


class TestKeys:
    PROVIDER = catalog.load(environment={}).providers["openrouter"]

    def test_a_missing_key_names_the_variable_and_where_to_get_one(self) -> None:
        """The next step is in the message."""
        with pytest.raises(KeyMissing, match=r"OPENROUTER_API_KEY: not set.*openrouter\.ai/settings/keys"):
            self.PROVIDER.key({})

    @pytest.mark.parametrize("value", ["sk-secret\nx", "'sk-secret'", "sk secret", "sk-sécret", "sk-secret\x00"])
    def test_what_cannot_be_a_key_is_refused_without_showing_it(self, value: str) -> None:
        """HTTP libraries print such a value in their error."""
        with pytest.raises(KeyMissing) as caught:
            self.PROVIDER.key({"OPENROUTER_API_KEY": value})
        assert "secret" not in str(caught.value)

    def test_space_around_a_key_is_ignored(self) -> None:
        """Copied keys often end in a newline."""
        assert self.PROVIDER.key({"OPENROUTER_API_KEY": " sk-x\n"}) == "sk-x"


class TestUnmet:
    """One rule says what an endpoint cannot do; the route, the wires and the probes ask it."""

    @pytest.mark.parametrize("model", ["kimi-k2-thinking", "kimi-k2.7-code", "kimi-k3", "kimi-k3.1-pro"])
    def test_no_endpoint_of_a_model_that_always_thinks_can_stop_thinking(self, model: str) -> None:
        """OpenRouter takes `effort: none` for it, and the model thinks all the same."""
        off = catalog.Requirements(thinking=False)
        for endpoint in catalog.load(environment={}).of_model(model):
            assert endpoint.unmet(off) == "cannot stop thinking"

    def test_an_endpoint_whose_thinking_can_be_switched_off_meets_it(self) -> None:
        endpoint = catalog.load(environment={}).endpoint("openrouter/moonshotai/kimi-k2.6")
        assert endpoint.unmet(catalog.Requirements(thinking=False)) == ""

    def test_everything_that_is_missing_is_named(self) -> None:
        endpoint = catalog.load(environment={}).endpoint("moonshot/kimi-k2.7-code")
        needs = catalog.Requirements(tools="native", vision=True, tool_choice="required", stream=True)
        assert endpoint.unmet(needs) == "takes no images and does not accept tool_choice required"
