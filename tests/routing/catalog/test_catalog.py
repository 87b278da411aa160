"""The catalogue: data that is checked, prices that are dated, keys that go nowhere else."""

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


def test_every_model_has_endpoints_and_a_reference_of_its_own() -> None:
    """A fallback never changes the model."""
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
    """OpenRouter's headline price of K2.6 moved twice in a month."""
    found = catalog.load(environment={}).endpoint("openrouter/moonshotai/kimi-k2.6")
    prices = [found.price_at(day) for day in (date(2026, 1, 1), date(2026, 10, 18), date(2026, 10, 19), TODAY)]
    assert [price and price.input for price in prices] == [None, Decimal("0.68"), Decimal("0.65"), Decimal("0.95")]


def test_cached_tokens_cost_their_own_price() -> None:
    """Moonshot K2.6: 0.95 fresh, 0.16 cached, 4.00 out."""
    price = catalog.load(environment={}).endpoint("moonshot/kimi-k2.6").price_at(TODAY)
    assert price is not None
    assert price.cost(Usage(1_000_000, 100_000, cached_tokens=400_000)) == Decimal("1.034")


def test_an_unknown_price_is_taken_for_the_dearest() -> None:
    """Never for zero."""
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
    """With line and column where a value is wrong."""
    with pytest.raises(CatalogError, match=words):
        catalog.load(written(tmp_path, old, new), environment={})


def test_a_missing_catalogue_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(CatalogError, match=r"nowhere\.yaml: No such file"):
        catalog.load(tmp_path / "nowhere.yaml", environment={})


class TestBaseUrls:
    @staticmethod
    def load(url: str) -> catalog.Catalog:
        return catalog.load(environment={"KIMIPROBE_BASE_URL_OPENROUTER": url})

    def test_a_provider_may_be_pointed_at_this_machine(self) -> None:
        """How `local` runs and the simulator work."""
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
        """An override cannot carry it elsewhere, nor in clear text."""
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

    def test_space_around_a_key_is_no_part_of_it(self) -> None:
        """Copied keys often end in a newline."""
        assert self.PROVIDER.key({"OPENROUTER_API_KEY": " sk-x\n"}) == "sk-x"
