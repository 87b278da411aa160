"""`kimiprobe route`: where an assumed request would go, for the price that `check` and `cost` compare as well."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from building import KIMI, MOONSHOT, NOVITA, counts, evidence, flags_text, row
from click.testing import CliRunner

from pytest_kimiprobe.monitor.cli import main
from pytest_kimiprobe.reporting.summary import Spent, Summary
from pytest_kimiprobe.results.store import atomic_write, dumps
from pytest_kimiprobe.verdicts import ProbeResult, Run
from routing import Router, catalog
from routing.tokens import ASSUMED_REQUEST

NOW = datetime.now(UTC)
NAMES = (KIMI, NOVITA, MOONSHOT)


def a_folder(folder: Path) -> list[str]:
    """Flags that are on for everybody, and evidence that all work."""
    (folder / "flags.yaml").write_text(flags_text(enabled="true", percent=100), "utf-8")
    rows = [replace(row(name, newest=counts(60)), probed_at=NOW) for name in NAMES]
    atomic_write(folder / "latest.json", dumps(replace(evidence(*rows), generated_at=NOW)))
    return ["--flags", str(folder / "flags.yaml"), "--results", str(folder)]


def routed(folder: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["route", "--user", "123", *a_folder(folder), *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_candidate_is_explained_in_eighty_columns(tmp_path: Path) -> None:
    """And the request that the prices are for."""
    lines = routed(tmp_path).splitlines()
    assert lines[0] == "route for kimi-k2.6, prices for 5,000 input + 2,000 output tokens"
    assert max(map(len, lines)) <= 80
    assert [line.split()[1] for line in lines if line.startswith("  1.")] == [NOVITA]


def test_check_route_and_cost_name_the_same_winner_for_the_same_price(tmp_path: Path) -> None:
    """One assumed request; the suite's own cost, here the other way round, does not decide."""
    found = json.loads(routed(tmp_path, "--json"))
    order = [one["endpoint"] for one in found["candidates"] if one["endpoint"] in NAMES]
    probes = tuple(
        ProbeResult(f"{name}{n}", f"c{n}", name, "plain", 1, "pass", "ok", cost_usd=Decimal(dear))
        for name, dear in ((NOVITA, "0.9"), (KIMI, "0.5"), (MOONSHOT, "0.1"))
        for n in range(20)
    )
    run = Run("1", 1, "live", "core", NOW, NOW, True, probes, dict.fromkeys(NAMES, MOONSHOT))
    prices = {name: catalog.load(environment={}).endpoint(name).price_at(NOW.date()) for name in NAMES}
    usd = {name: price.cost(ASSUMED_REQUEST) for name, price in prices.items() if price}
    summary = replace(Summary.of(run, Spent(Decimal(1), Decimal(1), 1.0, 0.1)), prices=usd)
    assert summary.order == order
    costs = json.loads(CliRunner().invoke(main, ["cost", "--json"]).stdout)["endpoints"]
    shown = {one["endpoint"]: one["usd_per_request"] for one in costs}
    assert {one["endpoint"]: one["usd"] for one in found["candidates"]}[NOVITA] == shown[NOVITA] == str(usd[NOVITA])


def test_at_one_price_check_route_and_cost_name_the_reference_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name alone would put it first: the others have a flag that a reviewer turned on."""
    known = catalog.load(environment={})
    price = known.endpoint(KIMI).prices
    equal = {name: replace(known.endpoint(name), prices=price) for name in NAMES}
    monkeypatch.setattr(catalog, "load", lambda *_, **__: replace(known, endpoints={**known.endpoints, **equal}))
    found = json.loads(routed(tmp_path, "--json"))["candidates"]
    costs = json.loads(CliRunner().invoke(main, ["cost", "--json"]).stdout)["endpoints"]
    probes = [ProbeResult(f"{name}{n}", f"c{n}", name, "plain", 1, "pass", "ok") for name in NAMES for n in range(20)]
    run = Run("1", 1, "live", "core", NOW, NOW, True, tuple(probes), dict.fromkeys(NAMES, MOONSHOT))
    summary = replace(Summary.of(run, Spent(Decimal(1), Decimal(1), 1.0, 0.1)), prices=dict.fromkeys(NAMES, Decimal(1)))
    orders = [[one["endpoint"] for one in rows if one["endpoint"] in NAMES] for rows in (found, costs)]
    assert [*orders, summary.order] == [[KIMI, NOVITA, MOONSHOT]] * 3


def test_without_messages_the_router_compares_for_the_assumed_request(tmp_path: Path) -> None:
    """With messages for the real one."""
    a_folder(tmp_path)
    with Router.load(tmp_path / "flags.yaml", evidence=tmp_path / "latest.json") as router:
        assert router.route(user="123").priced_for == ASSUMED_REQUEST
        assert router.route("Hello", user="123").priced_for.prompt_tokens < 10
        assert router.route(user="123", max_tokens=50).priced_for.completion_tokens == 50
