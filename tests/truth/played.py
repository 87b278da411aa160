"""A run in this process: the simulator's own answers, production's exchange and the judge, without a socket.

What a persona with rates does with a request is drawn by the very functions that the server draws with. What it then
answers depends on the request and on the plain persona that was drawn alone, but for the ids and the time in it. So the
server's application writes each such answer once, and wire, checks and judge read it once. test_truth_over_http.py
holds this against whole runs over HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pytest_kimiprobe.cases.model import FOLDER, Case, in_suite, load
from pytest_kimiprobe.cases.plan import ProbePlan, cannot, expand
from pytest_kimiprobe.judging.judge import judge
from pytest_kimiprobe.pytest_items.verdict_store import facts_of, result_of
from pytest_kimiprobe.simulator import Persona, Scenario
from pytest_kimiprobe.simulator.behaviour.draws import Draws, plain_persona, plain_persona_name, uniforms
from pytest_kimiprobe.simulator.http_types import Request
from pytest_kimiprobe.simulator.server.app import PREFIXES, App
from pytest_kimiprobe.verdicts import ProbeResult
from routing import catalog
from routing.exchange import Target, exchange
from routing.transport import HttpRequest, HttpResponse, Transport

BEHAVIOURS = ("healthy", "no_call", "leaks_k2", "bad_arguments", "down")
"""What a persona with rates does, one of these a request."""
CATALOG = catalog.load(
    environment={
        f"KIMIPROBE_BASE_URL_{name.upper().replace('-', '_')}": f"http://127.0.0.1:1{path}"
        for name, path in PREFIXES.items()
    }
)
PATIENT_S = 60.0


class InProcess(Transport):
    """The simulator's application where a socket would be."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__()
        self.app = App(Draws(scenario))

    @asynccontextmanager
    async def send(self, request: HttpRequest, **_: Any) -> AsyncIterator[HttpResponse]:
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = urlsplit(request.url).path
        response = await self.app.handle(Request(request.method, path, headers, request.content))

        async def whole() -> AsyncIterator[bytes]:
            yield response.body

        yield HttpResponse(response.status, response.headers, response.chunks or whole())


def answered(transport: InProcess, plan: ProbePlan) -> ProbeResult:
    """One probe: sent, answered, judged, kept."""
    target = Target(plan.endpoint, CATALOG.provider_of(plan.endpoint), "any-key")
    done = asyncio.run(exchange(transport, target, plan.request, timeout_s=PATIENT_S))
    return result_of(plan.name, done, judge(plan.case, done), facts_of(plan, plan.mode), environment={})


@dataclass(slots=True)
class Asked:
    """One request of a run, and what each behaviour comes to once it was met.

    The simulator draws by `place`, its own name for the endpoint, and by `content`.
    """

    plan: ProbePlan
    place: str = ""
    content: str = ""
    results: dict[str, ProbeResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.result("healthy")

    def result(self, name: str) -> ProbeResult:
        """The verdict where a plain persona answers."""
        if name not in self.results:
            persona = Persona(first_token_ms=0, tokens_per_s=1_000_000)
            transport = InProcess(Scenario(default=plain_persona(persona, self.plan.endpoint.id, name)))
            self.results[name] = answered(transport, self.plan)
            ((self.place, self.content),) = transport.app.draws.seen
        return self.results[name]

    def drawn(self, persona: Persona, seed: int, repeats: int) -> Iterator[ProbeResult]:
        """The verdicts on so many repeats."""
        for count in range(repeats):
            yield self.result(plain_persona_name(persona, uniforms(seed, self.place, self.content, count)))


def packaged(suite: str) -> Sequence[Case]:
    """The packaged cases of a suite."""
    return [case for file in sorted(FOLDER.glob("*.yaml")) for case in load(file) if in_suite(case, suite)]


def requests(cases: Sequence[Case], endpoint: str) -> list[Asked]:
    """Each case, plain and streamed, as far as the endpoint can be asked."""
    plans = [plan for case in cases for plan in expand(case, [CATALOG.endpoints[endpoint]], 1)]
    return [Asked(plan) for plan in plans if not cannot(plan.case, plan.endpoint, plan.mode)]
