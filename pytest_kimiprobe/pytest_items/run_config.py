"""Configuration of one invocation: which cases are sent to which endpoints, how often and under which load."""

from __future__ import annotations

import fnmatch
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from routing import catalog as catalogs
from routing.catalog import Catalog, Endpoint
from routing.errors import ConfigError, KeyMissing
from routing.exchange import Target

from ..cases import json_schemas as schema_cases
from ..cases.model import Case, in_suite
from ..cases.plan import Estimate, Load, Planned, ProbePlan, UnknownEndpoint, Unsent, cannot, estimate, expand, select
from ..config import options
from ..config.source import SourceChoice, no_keys
from ..results.last_run import PYTEST_VARIABLES
from ..verdicts import Source
from .items import PROBE_ID
from .run_paths import PACKAGED, RECORDED, SCHEMAS

if TYPE_CHECKING:
    from ..recording.recorder import Recorder
    from ..recording.replays import Replays

PATIENCE_S = 90.0
_BUDGET = Decimal("0.50")
"""Budget of a run in USD if `--kimiprobe-budget` is not given. Simulated runs have no default limit."""
_OF_ONE_RUN = frozenset({"endpoint", "repeat", "load", "json", "results", "record", "compare", "verbose"})
"""Options that a rerun of one probe leaves out: those that its id contains, and those that write files or print."""
_GOOD_PERSONAS = frozenset({"healthy", "slow"})


class Scope:
    """The options of a run, read once, with the catalogue, endpoints and recordings that they select.

    Raises UsageError if an option is wrong.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.choice = SourceChoice.read(options.value(config, "source"))
        self.environment: Mapping[str, str] = self.choice.environment()
        self.suite: str = options.value(config, "suite")
        self.repeats: int = options.value(config, "repeat")
        self.loads: tuple[Load, ...] = options.value(config, "load")
        self.budget: Decimal = options.value(config, "budget") or self._default_budget()
        self.concurrency: int = options.value(config, "concurrency")
        self.timeout_s: float = options.value(config, "timeout")
        self.compared: tuple[str, ...] = options.value(config, "compare")
        self.started_at = datetime.now(UTC)
        self.run_id = uuid.uuid4().hex[:12]
        self.discovered: Sequence[str] = ()
        self.included = 0
        self.left_out: list[str] = []
        """Cases that are not in the suite; `included` counts the others."""
        try:
            path = options.value(config, "catalog")
            self.catalog: Catalog = catalogs.load(Path(path) if path else None, environment=self.environment)
            self._add_endpoints()
            self.model: str = options.value(config, "model") or self.catalog.default_model
            self._discover(given=options.value(config, "discover"))
            self._replays = self._read_replays()
            self.endpoints: list[Endpoint] = self._replayed() or self._endpoints()
            self.schemas = self._schemas()
        except (ConfigError, UnknownEndpoint) as error:
            raise pytest.UsageError(str(error)) from None
        if self.choice.kind == "live" and not self.live_keys():
            raise pytest.UsageError(no_keys(self.catalog))
        if self.choice.kind == "simulator":
            self.scenario()

    @property
    def source(self) -> Source:
        """Where the answers of this run come from, as `source` of all its results says."""
        return self.choice.stamp(self.catalog, self.endpoints)

    def _default_budget(self) -> Decimal:
        return Decimal("Infinity") if self.choice.kind == "simulator" else _BUDGET

    @property
    def replays(self) -> Replays:
        """The recordings of a replay. Must not be read in other runs."""
        assert self._replays is not None  # noqa: S101 - asked for by replays only
        return self._replays

    @property
    def recordings(self) -> Sequence[Path]:
        """The files of a replay that kimiprobe did not write, or cannot read. Empty if this is not a replay.

        pytest collects each of them separately.
        """
        return self._replays.others if self._replays else ()

    @property
    def patience_s(self) -> float:
        """Longest time in seconds to wait and retry while a provider answers 429. Default of simulated runs: 0."""
        given: float | None = options.value(self.config, "patience")
        if given is not None:
            return given
        return 0.0 if self.choice.kind == "simulator" else PATIENCE_S

    @property
    def references(self) -> dict[str, str]:
        """Endpoint → the reference endpoint of its model."""
        return {endpoint.id: self.catalog.models[endpoint.model].reference for endpoint in self.endpoints}

    def rerun(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """Options and environment variables for pytest to run a probe of this run again, without the probe's id."""
        ours = options.given(self.config, leave_out=_OF_ONE_RUN)
        variables = {name: os.environ[name] for name in PYTEST_VARIABLES if name in os.environ}
        return (*options.of_pytest(self.config), *ours), variables

    def argument_of(self, probe: str) -> str:
        """The id of a probe as pytest accepts it in any working directory: paths of users' files are absolute."""
        file, separator, rest = probe.partition("::")
        ours = file in self.schemas or file.partition("/")[0] in {PACKAGED, RECORDED}
        path = self.config.rootpath / file
        return f"{path}{separator}{rest}" if path.is_file() and not ours else probe

    def hosts(self) -> str:
        """Words for the report's first line if the answers are, or were when recorded, simulated; otherwise empty."""
        if self.choice.kind == "simulator":
            scenario = self.scenario()
            personas = [scenario.persona_of(endpoint.id) or scenario.default for endpoint in self.endpoints]
            broken = any(persona.persona not in _GOOD_PERSONAS for persona in personas)
            return f"simulated hosts{', some of them broken on purpose' if broken else ''}"
        if self.choice.kind == "replay" and self.replays.simulated:
            return "recorded answers of simulated hosts, judged again"
        return ""

    def live_keys(self) -> list[str]:
        """Names of the providers whose key is set."""
        return [name for name in self.catalog.providers if not self._key_problem(name)]

    def plans(self, case: Case, *, packaged: bool = False) -> Iterator[Planned]:
        """The planned probes of a case: the recorded ones in a replay, otherwise all if the case is in the suite.

        A probe that will not be sent contains the reason.
        """
        if self.choice.kind == "replay":
            yield from self.replays.plans(case, {endpoint.id: endpoint for endpoint in self.endpoints})
        elif not in_suite(case, self.suite):
            self.left_out.append(case.name)
        else:
            self.included += 1
            for plan in expand(case, self.endpoints, self.repeats, self._loads(case, packaged=packaged)):
                yield Planned(plan, self._unsent(plan))

    def estimate(self, plans: Sequence[ProbePlan]) -> Estimate:
        """Estimated cost of these probes, before they are sent."""
        return estimate(plans, self.catalog, datetime.now(UTC).date())

    def target(self, endpoint: Endpoint) -> Target:
        """The destination of requests to an endpoint: endpoint, provider and key. Raises KeyMissing."""
        provider = self.catalog.provider_of(endpoint)
        return Target(endpoint, provider, "" if self.choice.kind == "replay" else provider.key(self.environment))

    def is_asked_for(self, endpoint: str) -> bool:
        """Whether `--kimiprobe-endpoint` selects the endpoint; True if the option is not set."""
        globs: list[str] = options.value(self.config, "endpoint")
        return not globs or any(fnmatch.fnmatchcase(endpoint, glob) for glob in globs)

    def recorder(self) -> Recorder | None:
        """A new recorder if `--kimiprobe-record` is set, otherwise None.

        Raises UsageError in a replay, or if the folder cannot be written to.
        """
        folder = options.value(self.config, "record")
        if not folder:
            return None
        if self.choice.kind == "replay":
            raise pytest.UsageError("--kimiprobe-record: a replay sends nothing that could be recorded")
        path, attempt = options.value(self.config, "catalog"), int(self.environment.get("GITHUB_RUN_ATTEMPT", "1") or 1)
        from ..recording.recorder import Recorder

        try:
            public = catalogs.load(Path(path) if path else None, environment={})
            return Recorder(Path(folder), public, (self.run_id, attempt, self.source))
        except ConfigError as error:
            raise pytest.UsageError(f"--kimiprobe-record: {error}") from None

    def scenario(self) -> Any:
        """The simulator's scenario. Raises UsageError if it cannot be read."""
        from ..simulator import ScenarioError, load_scenario

        try:
            return load_scenario(self.choice.detail)
        except ScenarioError as error:
            raise pytest.UsageError(str(error)) from None

    def meet(self, environment: Mapping[str, str]) -> None:
        """Use the keys and base URLs of a simulator that has started."""
        self.environment = environment
        self.catalog = self.catalog.with_base_urls(environment)

    def _add_endpoints(self) -> None:
        """Add the endpoints of plugins to the catalogue; they replace endpoints of the same id."""
        given = self.config.hook.pytest_kimiprobe_endpoints(config=self.config)
        added = {endpoint.id: endpoint for some in reversed(given) for endpoint in some or ()}
        for endpoint in added.values():
            if endpoint.provider not in self.catalog.providers:
                raise ConfigError(f"a plugin's endpoint {endpoint.id!r}: unknown provider {endpoint.provider!r}")
        if added:
            self.catalog = replace(self.catalog, endpoints={**self.catalog.endpoints, **added})

    def _discover(self, *, given: bool) -> None:
        """In a live run with `--kimiprobe-discover`, add the upstreams that gateways now list to the catalogue."""
        if given and self.choice.kind == "live":
            from ..providers.discovery import discover

            found = discover(self.catalog, self.model, self.environment, self.started_at.date())
            self.catalog, self.discovered = found.catalog, found.notes

    def _endpoints(self) -> list[Endpoint]:
        globs: list[str] = options.value(self.config, "endpoint") or [escape(name) for name in self.compared]
        named = [match for argument in self.config.args if (match := PROBE_ID.search(argument))]
        if named and not globs and len(named) == len(self.config.args):
            # An id names its endpoint, repeat and load, so the defaults do not apply to it.
            self.repeats = max(self.repeats, *(int(match["repeat"]) for match in named))
            self.loads = self.loads or (("alone", "crowd") if any(match["crowd"] for match in named) else ())
            globs = [match["endpoint"] for match in named]
        chosen = select(self.catalog, self.model, globs, self.started_at.date())
        left_out = set(self.compared) - {endpoint.id for endpoint in chosen}
        if left_out and self.choice.kind != "replay":
            raise UnknownEndpoint(f"--kimiprobe-compare: not among the endpoints of this run: {', '.join(left_out)}")
        return chosen

    def _read_replays(self) -> Replays | None:
        if self.choice.kind != "replay":
            return None
        from ..recording import replays

        return replays.read(self.choice.path)

    def _replayed(self) -> list[Endpoint]:
        """Endpoints of recorded probes: those that `--kimiprobe-endpoint` selects and that the catalogue has."""
        if self._replays is None:
            return []
        from ..recording.replays import endpoint_of

        found: dict[str, Endpoint | None] = {}
        for sample in self._replays.samples.values():
            if self.is_asked_for(sample.endpoint):
                found[sample.endpoint] = endpoint_of(self.catalog, sample)
        return [endpoint for _, endpoint in sorted(found.items()) if endpoint is not None]

    def _schemas(self) -> dict[str, Path]:
        """The files below the folder `--kimiprobe-schemas`: name in ids → path."""
        folder = options.value(self.config, "schemas")
        if not folder:
            return {}
        root = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links, and pytest does not
        return {f"{SCHEMAS}/{file.relative_to(root).as_posix()}": file for file in schema_cases.files(root)}

    def _loads(self, case: Case, *, packaged: bool) -> Sequence[Load]:
        """The loads under which a case is sent: those of the option, by default `mixed`.

        Outside suite `smoke`, the default for packaged core cases of a live run is `alone` and `crowd`.
        """
        if self.loads:
            return self.loads
        thorough = packaged and self.suite != "smoke" and in_suite(case, "core") and self.source == "live"
        return ("alone", "crowd") if thorough else ("mixed",)

    def _unsent(self, plan: ProbePlan) -> Unsent | None:
        if lacking := cannot(plan.case, plan.endpoint, plan.mode):
            return Unsent("no_capability", lacking)
        missing = self._key_problem(plan.endpoint.provider) if self.choice.kind == "live" else ""
        return Unsent("no_key", missing) if missing else None

    def _key_problem(self, provider: str) -> str:
        try:
            self.catalog.providers[provider].key(self.environment)
        except KeyMissing as error:
            return str(error)
        return ""
