"""Live check: one cheap probe of each kind at real endpoints, compared with the simulator's answer to the same request.

The requests are those of packaged cases, and a few wrong ones. The shapes of the answers are compared, never their
content (answer_shape.py). The simulator runs in this process with its scenario `healthy`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from itertools import islice
from pathlib import Path

from routing.catalog import Catalog, Endpoint, Provider
from routing.catalog.model import ALL_CHOICES
from routing.errors import ConfigError, ExchangeError, KeyMissing
from routing.exchange import Exchange, Target
from routing.transport import HttpRequest, Transport
from routing.transport.event_loop import run
from routing.types import Mode
from routing.wire import wire_named
from routing.wire.anthropic_request import VERSION
from routing.wire.error_bodies import fault

from ..cases import model as cases
from ..cases.plan import ProbePlan, cannot
from ..engine.dispatch import Dispatcher
from ..engine.types import ProbeJob, ProbeOutcome
from ..providers.discovery import GATEWAY
from ..recording import recordings
from ..simulator import Simulator, load_scenario
from .answer_shape import Shape, differences, shape_of

WRONG_KEY = "kimiprobe-wrong-key"
WRONG_MODEL = "kimiprobe/no-such-model"
TIMEOUT_S, PATIENCE_S = 60.0, 90.0
_KINDS: tuple[tuple[str, str, Mode], ...] = (
    ("image", "picture-in-words", "plain"),
    ("text", "no-call-when-none-is-needed", "plain"),
    ("text stream", "no-call-when-none-is-needed", "stream"),
    ("call", "weather", "plain"),
    ("call stream", "weather", "stream"),
    ("tool result", "answer-from-a-result", "plain"),
    ("prompt", "json-in-text", "plain"),
    ("prompt stream", "json-in-text", "stream"),
    ("required", "choice-required", "plain"),
    ("named", "choice-named", "plain"),
    ("wrong choice", "choice-of-no-tool", "plain"),
    ("thinking off", "thinking-off", "plain"),
    ("max_tokens", "max-tokens-are-kept", "plain"),
)
"""Kind of a probe, the packaged case whose request it sends, and the mode. `prompt`: tools described in the prompt."""


@dataclass(frozen=True, slots=True)
class LiveProbe:
    """One probe for an endpoint. `file` is the case's file. `changed`: model id or key are wrong on purpose."""

    endpoint: str
    kind: str
    file: str
    plan: ProbePlan
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """Shapes of one probe's answers at the host and at the simulator.

    `not_compared`: why the host's answer says nothing about its usual shape. Examples are 429, 5xx and a refused key.
    """

    kind: str
    endpoint: str
    host: Shape
    simulated: Shape
    not_compared: str = ""

    @property
    def differences(self) -> tuple[tuple[str, str, str], ...]:
        """Facts that differ: name, value at the host, value at the simulator."""
        return () if self.not_compared else differences(self.host, self.simulated)


@dataclass(slots=True)
class LiveCheck:
    """Result of the check, with the outcomes that a recorder may keep."""

    rows: list[Compared] = field(default_factory=list)
    cost_usd: Decimal = Decimal(0)
    outcomes: list[ProbeOutcome[LiveProbe]] = field(default_factory=list)


def keys_of(catalog: Catalog, environment: Mapping[str, str]) -> dict[str, str]:
    """The keys that are set, by provider."""
    found = {}
    for name, provider in catalog.providers.items():
        with suppress(KeyMissing):
            found[name] = provider.key(environment)
    return found


def endpoints_of(catalog: Catalog, provider: str) -> list[Endpoint]:
    """The catalogue's endpoint for images; and the provider's endpoint of the default model, else its cheapest."""
    day = datetime.now(UTC).date()
    served = [each for each in catalog.endpoints.values() if each.provider == provider and not each.retired_at(day)]
    found = sorted(
        (each for each in served if each.upstream is None),
        key=lambda each: (each.model != catalog.default_model, (each.price_at(day) or catalog.dearest_at(day)).output),
    )[:1]
    vision = catalog.endpoint(catalog.vision_endpoint)
    return [vision, *found] if vision in served and vision not in found else found


def check(catalog: Catalog, endpoints: Sequence[Endpoint], keys: Mapping[str, str], budget: Decimal) -> LiveCheck:
    """Send all probes to the endpoints and to the simulator, and compare the answers.

    The endpoints get at most `budget` USD in all. Probes that could exceed it are not sent.
    """
    done = LiveCheck()
    with Simulator(load_scenario("healthy")) as simulator:
        hosts = catalog.with_base_urls(simulator.environment())
        for each in endpoints:
            if not hosts.provider_of(each).base_url.startswith(simulator.url):
                raise ConfigError(f"the simulator has no provider {each.provider!r}", where=each.id)
        share = budget / (4 + len(endpoints))
        others = {each.provider for each in endpoints if each.id != catalog.vision_endpoint}
        image_only = (
            {catalog.vision_endpoint} if catalog.endpoint(catalog.vision_endpoint).provider in others else set()
        )
        probes = [
            probe for each in endpoints for probe in _probes(catalog, each, share, whole=each.id not in image_only)
        ]
        for images in (True, False):  # first, while all of the budget is left: an image has the highest bound
            batch = [probe for probe in probes if (probe.kind == "image") is images]
            sent, cost_usd = _outcomes(catalog, batch, keys, budget - done.cost_usd)
            done.outcomes, done.cost_usd = [*done.outcomes, *sent], done.cost_usd + cost_usd
        probes = [outcome.item for outcome in done.outcomes]
        expected, _ = _outcomes(hosts, probes, dict.fromkeys(keys, "simulated-key"), Decimal("Infinity"))
        for each in endpoints:
            pairs = zip(done.outcomes, expected, strict=True)
            done.rows += [_compared(*pair) for pair in pairs if pair[0].item.endpoint == each.id]
            done.rows += _pages(catalog, hosts, each, keys[each.provider])
    return done


def recorded_facts(path: Path) -> dict[str, set[tuple[str, str]]]:
    """The facts that recordings at `path` show, by provider. Raises RecordingError."""
    found: dict[str, set[tuple[str, str]]] = {}
    for row in (row for file in recordings.files(path) for row in recordings.read(file)):
        if not row.problem:
            found.setdefault(row.provider, set()).update(shape_of(row.exchange(), {}).items())
    return found


@cache
def _packaged() -> Mapping[str, tuple[str, cases.Case]]:
    """The packaged cases by name, each with the name of its file."""
    files = sorted(cases.FOLDER.glob("*.yaml"))
    return {case.name: (file.name, case) for file in files for case in cases.load(file)}


def _probes(catalog: Catalog, endpoint: Endpoint, share: Decimal, *, whole: bool) -> Iterator[LiveProbe]:
    """The probes of one endpoint; only its image if not `whole`. No answer may cost more than `share` USD.

    Values of `tool_choice` that the catalogue excludes are sent too, to see whether the host still refuses them.
    """
    day = datetime.now(UTC).date()
    most = int(share * 1_000_000 / (endpoint.price_at(day) or catalog.dearest_at(day)).output)

    def probe(kind: str, name: str, at: Endpoint, mode: Mode = "plain", *, changed: bool = False) -> LiveProbe:
        file, case = _packaged()[name]
        plan = ProbePlan(replace(case, max_tokens=min(case.max_tokens, most)), at, mode, 1)
        return LiveProbe(endpoint.id, kind, file, plan, changed)

    native = "tools" in endpoint.capabilities
    free = replace(endpoint, tool_choices=frozenset(ALL_CHOICES)) if native else endpoint
    for kind, name, mode in _KINDS:
        wanted = kind == "image" or (whole and not (native and kind == "prompt stream"))
        if wanted and not cannot(_packaged()[name][1], free, mode):
            yield probe(kind, name, free, mode)
    if whole:
        pinned = (each for each in catalog.of_model(endpoint.model) if each.id.startswith(f"{endpoint.id}+"))
        yield from (probe("one upstream", "weather", each) for each in islice(pinned, 1))
        wrong = replace(endpoint, id=f"{endpoint.id}~wrong", provider_model_id=WRONG_MODEL)
        yield probe("wrong model", "max-tokens-are-kept", wrong, changed=True)
        yield probe("wrong key", "max-tokens-are-kept", endpoint, changed=True)


def _outcomes(
    catalog: Catalog, probes: Sequence[LiveProbe], keys: Mapping[str, str], budget: Decimal
) -> tuple[list[ProbeOutcome[LiveProbe]], Decimal]:
    """Send the probes; returns their outcomes in the order of the probes, and the cost in USD."""
    jobs = []
    for probe in probes:
        provider = catalog.provider_of(probe.plan.endpoint)
        key = WRONG_KEY if probe.kind == "wrong key" else keys[provider.name]
        jobs.append(ProbeJob(probe, probe.plan, Target(probe.plan.endpoint, provider, key)))
    dispatcher = Dispatcher[LiveProbe](
        catalog, concurrency=1, timeout_s=TIMEOUT_S, budget=budget, patience_s=PATIENCE_S, record=True
    )
    found: dict[int, ProbeOutcome[LiveProbe]] = {}
    try:
        dispatcher.submit(jobs)
        while len(found) < len(jobs):
            if outcome := dispatcher.outcome():
                found[id(outcome.item)] = outcome
        return [found[id(probe)] for probe in probes], dispatcher.spent_usd[0]
    finally:
        dispatcher.close()


def _compared(asked: ProbeOutcome[LiveProbe], expected: ProbeOutcome[LiveProbe]) -> Compared:
    why = _not_compared(asked.exchange, expected.exchange) if asked.exchange else asked.not_run
    return Compared(asked.item.kind, asked.item.endpoint, _shape(asked), _shape(expected), why)


def _shape(outcome: ProbeOutcome[LiveProbe]) -> Shape:
    steps = outcome.captured.steps if outcome.captured else ()
    return shape_of(outcome.exchange, steps[-1].answer_headers if steps else {}) if outcome.exchange else {}


def _not_compared(host: Exchange, expected: Exchange | None) -> str:
    """Why the host's answer cannot be compared: no answer, or an account, limit or server error; otherwise empty."""
    status = host.status or 0
    if host.error is None or (status >= 400 and expected is not None and status == expected.status):
        return ""
    return host.error.reason if status in {0, 401, 402, 403, 429} or status >= 500 else ""


def _pages(catalog: Catalog, hosts: Catalog, endpoint: Endpoint, key: str) -> Iterator[Compared]:
    """Compare the lists of models and upstreams, and the account."""
    provider = catalog.provider_of(endpoint)
    name = endpoint.provider_model_id
    paths = {"models": f"/models/{name}" if provider.wire == "replicate" else "/models"}
    if GATEWAY in provider.quirks:
        paths["upstreams"] = f"/models/{name}/endpoints"
    if provider.account:
        paths["account"] = "/key" if provider.account == "openrouter" else "/users/me/balance"
    for kind, path in paths.items():
        host, expected = (run(_page(found.provider_of(endpoint), path, key)) for found in (catalog, hosts))
        host_shape, shape = (shape_of(page, {}, name if path == "/models" else "") for page in (host, expected))
        yield Compared(kind, endpoint.id, host_shape, shape, _not_compared(host, expected))


async def _page(provider: Provider, path: str, key: str) -> Exchange:
    """Read one page of a provider with the key."""
    transport = Transport()
    headers = {**wire_named(provider.wire).authorization(key), "anthropic-version": VERSION}
    try:
        request = HttpRequest("GET", provider.base_url + path, headers, b"", provider.hosts)
        async with transport.send(request, timeout_s=TIMEOUT_S) as answer:
            body = b"".join([chunk async for chunk in answer.chunks])
            error = fault(answer.status, {}, answer.headers) if answer.status >= 300 else None
            return Exchange(path, {}, answer.status, answer.headers.get("content-type", ""), body, error=error)
    except ExchangeError as error:
        return Exchange(path, {}, error=error)
    finally:
        await transport.aclose()
