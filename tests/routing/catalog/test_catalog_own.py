"""Custom catalogues: an OpenAI-compatible endpoint, a region, a replaced row, all without code."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pytest_kimiprobe.simulator import Simulator, load_scenario
from routing import catalog
from routing.errors import CatalogError
from routing.exchange import Exchange, Target, exchange
from routing.transport import Transport
from routing.types import ChatRequest
from routing.wire import openai_answer as openai

TODAY = date(2026, 11, 23)
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather for a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class TestLaidOver:
    """A file that extends the packaged catalogue: a custom endpoint needs no code."""

    OWN = """\
version: 1
extends: packaged
providers:
  lab:
    title: Our own vLLM
    wire: openai
    base_url: https://llm.example.org/v1
    key_env: LAB_API_KEY
    reasoning_field: reasoning_content
    quirks: [no_parallel_tool_calls, no_stream_options]
  desk:
    title: The machine under the desk
    wire: openai
    base_url: http://10.0.0.7:8000/v1
endpoints:
  - {id: lab/kimi, model: kimi-k2.6, thinking: chat_template}
  - {id: desk/kimi, model: kimi-k2.6, capabilities: ["tools:emulated"]}
...
"""

    @staticmethod
    def load(tmp_path: Path, text: str) -> catalog.Catalog:
        path = tmp_path / "own.yaml"
        path.write_text(text, "utf-8")
        return catalog.load(environment={"KIMIPROBE_CATALOG": str(path)})

    def test_its_rows_are_added(self, tmp_path: Path) -> None:
        """All packaged rows stay; the key is sent only to the host of the base URL."""
        found, packaged = self.load(tmp_path, self.OWN), catalog.load(environment={})
        assert found.endpoints.keys() - packaged.endpoints.keys() == {"lab/kimi", "desk/kimi"}
        assert found.providers["lab"].hosts == {"llm.example.org"}
        assert found.providers["lab"].key({"LAB_API_KEY": "sk-lab"}) == "sk-lab"

    def test_an_endpoint_of_ones_own_is_asked_as_its_row_says(self, tmp_path: Path) -> None:
        """Quirks and thinking are applied, and reasoning is sent in the field that the row names."""
        found = self.load(tmp_path, self.OWN)
        endpoint = found.endpoint("lab/kimi")
        messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning": "hm"}]
        request = ChatRequest(messages, parallel_tool_calls=True, stream=True, reasoning_effort="none")
        built = openai.build(request, endpoint, found.provider_of(endpoint))
        assert built.body == {
            "model": "kimi",
            "messages": [messages[0], {"role": "assistant", "content": "b", "reasoning_content": "hm"}],
            "chat_template_kwargs": {"thinking": False},
            "stream": True,
        }

    def test_a_provider_without_key_needs_none(self, tmp_path: Path) -> None:
        """It may use plain http, and no header carries a key."""
        found = self.load(tmp_path, self.OWN)
        assert found.providers["desk"].key({}) == ""
        assert openai.authorization("") == {}

    def test_a_keyed_provider_over_http_is_refused(self, tmp_path: Path) -> None:
        """A key would travel in clear text."""
        with pytest.raises(CatalogError, match="https is needed"):
            self.load(tmp_path, self.OWN.replace("https://llm", "http://llm"))

    def test_a_row_of_the_same_id_replaces_the_packaged_one(self, tmp_path: Path) -> None:
        """The whole row is replaced, without merging fields."""
        text = "version: 1\nextends: packaged\nendpoints:\n  - {id: groq/moonshotai/kimi-k2-instruct, model: kimi-k2, retired_on: 2026-01-01}\n...\n"
        found = self.load(tmp_path, text).endpoint("groq/moonshotai/kimi-k2-instruct")
        assert (found.prices, found.retired_at(TODAY)) == ((), True)

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("wire: openai", "wire: smoke", r"own\.yaml:\d+:\d+: providers\.lab\.wire"),
            ("id: desk/kimi", "id: lab/kimi", "twice"),
            ("id: lab/kimi", "id: nobody/kimi", "no provider 'nobody'"),
            ("extends: packaged\n", "", "default_model"),
            ("no_stream_options", "no_manners", "quirks"),
        ],
    )
    def test_a_wrong_one_names_file_and_field(self, tmp_path: Path, old: str, new: str, words: str) -> None:
        """The errors are those of the packaged catalogue's checks."""
        with pytest.raises(CatalogError, match=words):
            self.load(tmp_path, self.OWN.replace(old, new, 1))


@pytest.mark.parametrize("stream", [False, True])
def test_an_endpoint_of_ones_own_answers_without_code(tmp_path: Path, stream: bool) -> None:
    """Two regions of a custom endpoint, each with its own base URL and key, are rows of YAML; both answer over HTTP."""
    with Simulator(load_scenario("healthy")) as simulator:
        base = f"{simulator.url}/together/v1"
        rows = "".join(
            f"  {name}:\n    title: Lab\n    wire: openai\n    base_url: {base}\n    key_env: {key}\n"
            f"    reasoning_field: reasoning_content\n    quirks: [no_parallel_tool_calls]\n"
            for name, key in (("lab-eu", "LAB_EU_KEY"), ("lab-us", "LAB_US_KEY"))
        )
        ids = ("lab-eu/moonshotai/Kimi-K3", "lab-us/moonshotai/Kimi-K3")
        listed = "".join(f"  - {{id: {name}, model: kimi-k3, thinking: always}}\n" for name in ids)
        path = tmp_path / "own.yaml"
        path.write_text(f"version: 1\nextends: packaged\nproviders:\n{rows}endpoints:\n{listed}...\n", "utf-8")
        found = catalog.load(path, environment={})
        keys = {"LAB_EU_KEY": "sk-eu", "LAB_US_KEY": "sk-us"}

        async def ask() -> list[Exchange]:
            transport = Transport()
            try:
                request = ChatRequest([{"role": "user", "content": "What is the weather in Paris?"}], [WEATHER])
                targets = [
                    Target(one, found.provider_of(one), found.provider_of(one).key(keys))
                    for one in map(found.endpoint, ids)
                ]
                return [
                    await exchange(transport, target, replace(request, stream=stream), timeout_s=10.0)
                    for target in targets
                ]
            finally:
                await transport.aclose()

        answers = [done.answer for done in asyncio.run(ask())]
    calls = [call for answer in answers if answer for call in answer.tool_calls]
    assert [(call.name, call.arguments) for call in calls] == [("get_weather", '{"city": "Paris"}')] * 2


def test_regions_of_a_provider_are_endpoints_of_their_own() -> None:
    """Regions have their own base URL and key. The model is the same, so they can be compared."""
    found = catalog.load(environment={})
    here, there = found.endpoint("moonshot/kimi-k2.6"), found.endpoint("moonshot-cn/kimi-k2.6")
    assert here.model == there.model
    assert found.provider_of(there).base_url == "https://api.moonshot.cn/v1"
    assert found.provider_of(there).key_env != found.provider_of(here).key_env
    assert there.price_at(TODAY) is None
