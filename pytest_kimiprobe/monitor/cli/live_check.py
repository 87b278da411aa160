"""Command `kimiprobe live-check`: compares real hosts with the simulator, and prints how their answers differ."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import click

from routing import catalog as catalogs
from routing.catalog import Catalog, Endpoint

from ...cases.plan import UnknownEndpoint, select
from ...providers.account import keys_of
from ...recording.recorder import Recorder
from ...tables import Column, folded, rendered
from .. import live_check as checks
from ..answer_shape import Fact, value_of
from . import Wrong
from .shared import json_option, show, tell_problems

MOST_USD = 0.05
_PROBES = (Column("probe"), Column("host", shorten="end"), Column("simulator", shorten="end"), Column("differs", True))
_FACTS = (
    Column("probes"),
    Column("what differs", shorten="middle"),
    Column("host", shorten="end"),
    Column("simulator", shorten="end"),
    Column("recorded"),
)
_SHOWN = 40
_SHORT = ("HTTP status", "finish reason", "read as")


@click.command("live-check")
@click.option("--endpoint", "globs", multiple=True, help="Only endpoints that match this glob (repeatable).")
@click.option("--budget", type=click.FloatRange(0, MOST_USD), default=MOST_USD, show_default=True, help="USD at most.")
@click.option("--record", type=click.Path(path_type=Path), help="Keep the exchanges in this folder, as cassettes.")
@click.option("--against", type=click.Path(path_type=Path), help="Recordings to compare with too: a folder or file.")
@json_option
@click.pass_context
def live_check(
    context: click.Context,
    *,
    globs: tuple[str, ...],
    budget: float,
    record: Path | None,
    against: Path | None,
    as_json: bool,
) -> None:
    """Compare real hosts with the simulator, for at most $0.05.

    Sends one probe of each kind to one endpoint of each provider whose key is set. Exit codes: 0 nothing differs,
    1 something differs, 2 not everything could be compared.
    """
    catalog = catalogs.load()
    keys, missing = keys_of(catalog, os.environ)
    problems = [why for name, why in missing.items() if os.environ.get(catalog.providers[name].key_env, "").strip()]
    tell_problems(problems)
    try:
        asked = select(catalog, catalog.default_model, globs, datetime.now(UTC).date()) if globs else []
    except UnknownEndpoint as problem:
        raise Wrong(str(problem)) from None
    endpoints = asked or checks.endpoints_of(catalog, keys)
    without = {catalog.provider_of(each).key_env for each in endpoints if each.provider not in keys}
    if without or not endpoints:
        names = sorted(without) or [provider.key_env for provider in catalog.providers.values() if provider.key_env]
        raise Wrong("\n".join(("no key is set; set at least one of", *folded("", ", ".join(names), 2))))
    recorder = _recorder(record, local=any(catalog.provider_of(each).local for each in endpoints)) if record else None
    recorded = checks.recorded_facts(against) if against else {}
    line = f"asking {', '.join(sorted({each.provider for each in endpoints}))}; this may take minutes"
    click.echo("\n".join(folded("", line, 0)), err=True)
    done = checks.check(catalog, endpoints, keys, Decimal(str(budget)))
    lines = [line for each in endpoints for line in _report(catalog, each, done, recorded)]
    lines.append(f"cost ${done.cost_usd:.4f} of at most ${budget:g}")
    lines += _kept(recorder, catalog, done) if recorder else ()
    rows = [asdict(row) | {"host": list(row.host), "simulated": list(row.simulated)} for row in done.rows]
    show(lines, {"cost_usd": str(done.cost_usd), "probes": rows}, as_json=as_json)
    incomplete = bool(problems) or any(row.not_compared for row in done.rows)
    context.exit(1 if any(row.differences for row in done.rows) else 2 if incomplete else 0)


def _recorder(folder: Path, *, local: bool) -> Recorder:
    public = catalogs.load(environment={catalogs.VARIABLE: os.environ.get(catalogs.VARIABLE, "")})
    return Recorder(folder, public, (uuid.uuid4().hex[:12], 1, "local" if local else "live"))


def _kept(recorder: Recorder, catalog: Catalog, done: checks.LiveCheck) -> list[str]:
    """Write the cassettes of the requests that are those of packaged cases; returns notes for the report."""
    for outcome in done.outcomes:
        if outcome.item.file:
            plan = outcome.item.plan
            probe = f"kimiprobe/{outcome.item.file}::{plan.name}"
            recorder.keep(probe, plan, outcome, catalog.provider_of(plan.endpoint))
    written = recorder.write({}, os.environ)
    return [f"{written.count} cassettes are in {recorder.folder}", *written.notes]


def _report(
    catalog: Catalog, endpoint: Endpoint, done: checks.LiveCheck, recorded: Mapping[str, set[Fact]]
) -> Iterator[str]:
    """The lines about one endpoint: its probes, then what differs."""
    rows = [row for row in done.rows if row.endpoint == endpoint.id]
    yield f"{endpoint.id} at {urlsplit(catalog.provider_of(endpoint).base_url).hostname}"
    yield from rendered(_PROBES, [_row(row) for row in rows])
    if facts := list(_facts(rows, recorded.get(endpoint.provider))):
        yield from ("", *rendered(_FACTS, facts[:_SHOWN]))
    if len(facts) > _SHOWN:
        yield f"and {len(facts) - _SHOWN} more; --json has all"
    if missing := [f"{row.kind} ({row.not_compared})" for row in rows if row.not_compared]:
        yield from folded("not compared: ", ", ".join(missing), 14)
    yield ""


def _row(row: checks.Compared) -> list[str]:
    shown = ([value_of(shape, name) for name in _SHORT] for shape in (row.host, row.simulated))
    host, simulated = (" ".join(value for value in values if value != "-") for values in shown)
    simulated = "same" if host == simulated else simulated
    return [row.kind, host or row.not_compared, simulated, str(len(row.differences) or ".")]


def _facts(rows: Iterable[checks.Compared], recorded: set[Fact] | None) -> Iterator[list[str]]:
    """Each difference once, with the probes that show it, and whether a recording has the host's form."""
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        for difference in row.differences:
            kinds.setdefault(difference, []).append(row.kind)
    for (name, host, simulated), probes in kinds.items():
        known = recorded is not None and {(name, value) for value in host.split(" or ")} <= recorded
        seen = "" if recorded is None or host == "-" else "seen" if known else "new"
        more = f" +{len(probes) - 1}" if len(probes) > 1 else ""
        yield [f"{probes[0]}{more}", name, host, simulated, seen]
