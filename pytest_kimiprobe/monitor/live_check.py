"""Live check: one cheap probe of each kind at real hosts, compared with the simulator's answer to the same request.

The requests are those of packaged cases, and a few wrong ones. The shapes of the answers are compared, never their
content (answer_shape.py). The simulator runs in this process with its scenario `healthy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

from routing.catalog import Catalog, Endpoint, Provider
from routing.catalog.model import ALL_CHOICES
from routing.errors import ConfigError, ExchangeError
from routing.exchange import Exchange, Target
from routing.transport import Transport
from routing.transport.event_loop import run
from routing.types import Mode
from routing.wire.error_bodies import fault

from ..cases import model as cases
from ..cases.plan import ProbePlan, cannot
from ..engine.dispatch import Dispatcher, ProbeJob, ProbeOutcome
from ..providers.account import whole_page
from ..providers.discovery import GATEWAY
from ..recording import recordings
from ..safe_text import one_line
from ..simulator import Simulator, load_scenario
from ..simulator.server.app import PREFIXES
from .answer_shape import Fact, Shape, differences, kind_of, shape_of

WRONG_KEY = "kimiprobe-wrong-key"
_SIMULATED_KEY = "simulated-key"
WRONG_MODEL = "kimiprobe/no-such-model"
TIMEOUT_S, PAGE_TIMEOUT_S, PATIENCE_S = 60.0, 20.0, 90.0
_REFUSED_KEY = frozenset({401, 403})
_SHARES = 4
"""One answer may cost at most the budget divided by this number plus that of the endpoints."""
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
    """One probe in the table of an endpoint. `file` is the file of its case; empty if model id or key are wrong."""

    endpoint: str
    kind: str
    file: str
    plan: ProbePlan


@dataclass(frozen=True, slots=True)
class Compared:
    """Shapes of one probe's answers at the host and at the simulator, and what differs: fact, host, simulator.

    `not_compared`: why the host's answer says nothing about its usual shape. Examples are 429, 5xx and a refused key.
    """

    endpoint: str
    kind: str
    host: Shape
    simulated: Shape
    not_compared: str = ""
    differences: Sequence[tuple[str, str, str]] = ()

    @property
    def reached(self) -> bool:
        """Whether the host answered at all."""
        return any(name == "HTTP status" for name, _ in self.host)


@dataclass(frozen=True, slots=True)
class LiveCheck:
    """Result of a live check, with the outcomes of the probes that may be recorded as cassettes."""

    rows: Sequence[Compared]
    outcomes: Sequence[ProbeOutcome[LiveProbe]]
    cost_usd: Decimal


def endpoints_of(catalog: Catalog, providers: Iterable[str]) -> list[Endpoint]:
    """One endpoint of each of these providers: of the default model, else the cheapest that is not retired.

    Providers that the simulator does not have are left out.
    """
    day = datetime.now(UTC).date()

    def order(each: Endpoint) -> tuple[bool, bool, bool, Decimal]:
        pinned, other = each.upstream is not None, each.model != catalog.default_model
        return each.retired_at(day), pinned, other, _price(catalog, each)

    served = {name: [each for each in catalog.endpoints.values() if each.provider == name] for name in providers}
    return [min(some, key=order) for name, some in served.items() if some and name in PREFIXES]


def check(catalog: Catalog, endpoints: Sequence[Endpoint], keys: Mapping[str, str], budget: Decimal) -> LiveCheck:
    """Send all probes to the endpoints and to the simulator, and compare the answers.

    The endpoints get at most `budget` USD in all. Probes that could exceed it are not sent, and none to a host that is
    not reached. Raises ConfigError for an endpoint of a provider that the simulator does not have.
    """
    for each in endpoints:
        if each.provider not in PREFIXES:
            raise ConfigError(f"the simulator has no provider {each.provider!r}", where=each.id)
    with Simulator(load_scenario("healthy")) as simulator:
        hosts = catalog.with_base_urls(simulator.environment())
        pages = [row for each in endpoints for row in _pages(catalog, hosts, each, keys[each.provider])]
        there = [each for each in endpoints if any(row.endpoint == each.id and row.reached for row in pages)]
        probes = [probe for each in there for probe in _probes(catalog, each, budget / (_SHARES + len(there)))]
        # Images first, while all of the budget is left: the upper bound of their cost is the highest.
        images, others = ([probe for probe in probes if ("image" in probe.kind) is first] for first in (True, False))
        sent, spent = _outcomes(catalog, images, keys, budget)
        more, spent_more = _outcomes(catalog, others, keys, budget - spent)
        outcomes = [*sent, *more]
        expected, _ = _outcomes(hosts, [*images, *others], dict.fromkeys(keys, _SIMULATED_KEY), Decimal("Infinity"))
        rows = [*pages, *(_compared(*pair) for pair in zip(outcomes, expected, strict=True))]
    return LiveCheck([_with_differences(row, rows) for row in rows], outcomes, spent + spent_more)


def recorded_facts(path: Path) -> dict[str, set[Fact]]:
    """The facts that recordings at `path` show, by provider. Raises RecordingError."""
    found: dict[str, set[Fact]] = {}
    for row in (row for file in recordings.files(path) for row in recordings.read(file)):
        if not row.problem:
            found.setdefault(row.provider, set()).update(shape_of(row.exchange(), {}))
    return found


def _price(catalog: Catalog, endpoint: Endpoint) -> Decimal:
    """USD per million tokens of an answer; an unknown price counts as the dearest."""
    day = datetime.now(UTC).date()
    return (endpoint.price_at(day) or catalog.dearest_at(day)).output


@cache
def _packaged() -> Mapping[str, tuple[str, cases.Case]]:
    """The packaged cases by name, each with the name of its file."""
    files = sorted(cases.FOLDER.glob("*.yaml"))
    return {case.name: (file.name, case) for file in files for case in cases.load(file)}


def _probes(catalog: Catalog, endpoint: Endpoint, share: Decimal) -> Iterator[LiveProbe]:
    """The probes of one endpoint. `max_tokens` is lowered so that no answer can cost more than `share` USD.

    Values of `tool_choice` that the catalogue excludes are sent too, to see whether the host still refuses them.
    """

    def probe(kind: str, name: str, at: Endpoint, mode: Mode = "plain") -> LiveProbe:
        file, case = _packaged()[name]
        most = int(share * 1_000_000 / _price(catalog, at))
        plan = ProbePlan(replace(case, max_tokens=min(case.max_tokens, most)), at, mode, 1)
        return LiveProbe(endpoint.id, kind, "" if kind in {"wrong model", "wrong key"} else file, plan)

    native = "tools" in endpoint.capabilities
    free = replace(endpoint, tool_choices=frozenset(ALL_CHOICES)) if native else endpoint
    for kind, name, mode in _KINDS:
        if not (native and kind == "prompt stream") and not cannot(_packaged()[name][1], free, mode):
            yield probe(kind, name, free, mode)
    pictures = catalog.endpoint(catalog.vision_endpoint)
    if pictures.provider == endpoint.provider and pictures != endpoint:
        yield probe(f"image, {pictures.family}", "picture-in-words", pictures)
    pinned = [each for each in catalog.of_model(endpoint.model) if each.id.startswith(f"{endpoint.id}+")]
    yield from (probe(f"+{each.upstream}", "weather", each) for each in pinned)
    wrong = replace(endpoint, id=f"{endpoint.id}~wrong", provider_model_id=WRONG_MODEL)
    yield probe("wrong model", "max-tokens-are-kept", wrong)
    yield probe("wrong key", "max-tokens-are-kept", endpoint)


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
    return Compared(asked.item.endpoint, asked.item.kind, _shape(asked), _shape(expected), why)


def _shape(outcome: ProbeOutcome[LiveProbe]) -> Shape:
    """The shape of a probe's answer, with the upstream if one was pinned, and with reasoning if it was switched off."""
    done, steps = outcome.exchange, outcome.captured.steps if outcome.captured else ()
    shape = shape_of(done, steps[-1].answer_headers if steps else {}) if done else {}
    if done is None or done.answer is None:
        return shape
    if outcome.item.plan.endpoint.upstream:
        shape["pinned upstream", one_line(done.answer.upstream or "none", 60)] = None
    if outcome.item.plan.case.thinking is False and done.answer.reasoning:
        shape["reasoning though off", "yes"] = None
    return shape


def _not_compared(host: Exchange, expected: Exchange | None) -> str:
    """Why the host's answer cannot be compared: no answer, an account, limit or server error, or cut; otherwise empty.

    A refused key is compared if the probe sends a wrong one, a server error if the probe expects to be refused. A cut
    answer is compared if the simulator's is cut too, because models think for different times.
    """
    cut = [bool(done and done.answer and done.answer.finish_reason == "length") for done in (host, expected)]
    if cut == [True, False]:
        return "length"
    status, own = host.status or 0, (expected.status if expected else None) or 0
    unusable = status in {0, 402, 429} or (status in _REFUSED_KEY and own not in _REFUSED_KEY)
    return host.error.reason if host.error and (unusable or (status >= 500 and own < 400)) else ""


def _with_differences(row: Compared, rows: Sequence[Compared]) -> Compared:
    """The row with its differences. Fields that other answers of its kind and endpoint have do not count."""
    if row.not_compared:
        return row
    kind = kind_of(row.host)
    alike = [each for each in rows if each.endpoint == row.endpoint and kind_of(each.host) == kind != "error"]
    hosts, simulated = ({fact for each in alike for fact in getattr(each, side)} for side in ("host", "simulated"))
    return replace(row, differences=differences(row.host, row.simulated, hosts, simulated))


def _pages(catalog: Catalog, hosts: Catalog, endpoint: Endpoint, key: str) -> Iterator[Compared]:
    """Compare the lists of models and upstreams, and the account; ends with a page that is not reached."""
    provider = catalog.provider_of(endpoint)
    name = endpoint.provider_model_id
    paths = {"models": f"/models/{name}" if provider.wire == "replicate" else "/models"}
    if GATEWAY in provider.quirks:
        paths["upstreams"] = f"/models/{name}/endpoints"
    if provider.account:
        paths["account"] = "/key" if provider.account == "openrouter" else "/users/me/balance"
    for kind, path in paths.items():
        host = run(_page(provider, path, key))
        expected = run(_page(hosts.provider_of(endpoint), path, _SIMULATED_KEY))
        host_shape, shape = (shape_of(page, {}, name if path == "/models" else "") for page in (host, expected))
        yield (row := Compared(endpoint.id, kind, host_shape, shape, _not_compared(host, expected)))
        if not row.reached:
            return


async def _page(provider: Provider, path: str, key: str) -> Exchange:
    """Request the page at `path` of a provider's API, with the key."""
    async with aclosing(Transport()) as transport:
        try:
            status, headers, body = await whole_page(transport, provider, key, path, timeout_s=PAGE_TIMEOUT_S)
        except ExchangeError as failure:
            return Exchange(path, {}, error=failure)
    error = fault(status, {}, headers) if status >= 300 else None
    return Exchange(path, {}, status, headers.get("content-type", ""), body, error=error)
