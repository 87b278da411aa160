"""The whole cycle: probe, record, propose, merge and route, and back when the host breaks. No key, no network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import hub
import pytest

from pytest_kimiprobe.simulator import Persona, Scenario, Simulator
from routing import Router
from routing.flags.bucketing import inside

ROOT = Path(__file__).resolve().parents[3]
FLAG = "openrouter_kimi_tool_calling"
HOST, DIRECT = "openrouter/moonshotai/kimi-k2.6+wandb/fp8", "moonshot/kimi-k2.6"
BROKEN = Scenario(endpoints={"openrouter/*": Persona("bad_arguments")})
LUCKY = next(user for user in map(str, range(1000)) if inside(FLAG, user, 10))
OTHERS = next(user for user in map(str, range(1000)) if not inside(FLAG, user, 50))


@dataclass
class World:
    """A clone with a bare remote, simulated hosts, and a GitHub."""

    clone: Path
    simulator: Simulator
    repository: hub.Repository
    environment: Mapping[str, str]

    def kimiprobe(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command as the workflow does."""
        command = [str(Path(sys.executable).parent / "kimiprobe"), *arguments]
        run = subprocess.run(command, cwd=self.clone, env=self.environment, capture_output=True, text=True, check=False)
        assert run.returncode in codes, run.stdout + run.stderr
        return run.stdout

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", *arguments]
        return subprocess.run(command, cwd=cwd or self.clone, capture_output=True, text=True, check=True).stdout

    def a_day(self) -> None:
        """The commands of one daily workflow."""
        endpoints = (f"--endpoint={HOST}", f"--endpoint={DIRECT}")
        cases = "kimiprobe/core.yaml"
        self.kimiprobe("check", "--repeat=15", *endpoints, "-q", "-p", "no:cacheprovider", cases, codes=(0, 1))
        self.kimiprobe("record", "--branch", "main")
        self.kimiprobe("propose")
        self.kimiprobe("alert")

    def take_in(self) -> None:
        """Pull what was merged on GitHub."""
        (self.clone / "flags.yaml").write_text(self.repository.read("flags.yaml"), "utf-8")
        self.git("commit", "-qam", "Merge what was reviewed")
        self.git("push", "-q", "origin", "HEAD:main")

    def first(self, user: str) -> str | None:
        """The first endpoint of this user's route."""
        with Router.load(self.clone / "flags.yaml") as router:
            return router.route("hi", tools=[{"type": "function", "function": {"name": "f"}}], user=user).endpoint


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    flags = (ROOT / "flags.yaml").read_text("utf-8").replace("environment: production", "environment: test      ")
    bare, clone = tmp_path / "remote.git", tmp_path / "clone"
    with Simulator(Scenario()) as simulator, hub.started() as github:
        repository = github.repository({"flags.yaml": flags})
        environment = {**os.environ, **simulator.environment(), **repository.environment}
        made = World(clone, simulator, repository, environment)
        made.git("init", "-q", "--bare", "-b", "main", str(bare), cwd=tmp_path)
        made.git("clone", "-q", str(bare), str(clone), cwd=tmp_path)
        (clone / "flags.yaml").write_text(flags, "utf-8")
        made.git("checkout", "-q", "-b", "main")
        made.git("add", "flags.yaml")
        made.git("commit", "-qm", "Start")
        made.git("push", "-q", "origin", "main")
        yield made


@pytest.mark.long
@hub.needs_npm
def test_evidence_moves_the_flag_by_pull_request_and_the_flag_moves_the_route(world: World) -> None:
    """On when the host works, off when it breaks; nothing changes without a merge."""
    assert world.first(LUCKY) == DIRECT

    world.a_day()
    assert world.first(LUCKY) == DIRECT, "proposed is not merged"
    (pull,) = world.repository.pulls()
    assert FLAG in pull["title"]
    assert "60 of 60" in pull["body"]
    assert world.repository.issues() == []
    recorded = world.git("ls-tree", "-r", "--name-only", "origin/main")
    assert "results/latest.json" in recorded
    assert "results/runs/" in recorded

    world.repository.merge(pull["number"])
    world.take_in()
    assert world.first(LUCKY) == HOST
    assert world.first(OTHERS) == DIRECT, "10 % is not everybody"

    world.simulator.set_scenario(BROKEN)
    world.a_day()
    assert world.first(LUCKY) == DIRECT, "broken evidence is enough for the router, before any merge"
    (pull,) = world.repository.pulls()
    assert "off" in pull["title"].lower()
    (issue,) = world.repository.issues()
    assert "has STOPPED working. Falling back to direct API." in issue["title"] + issue["body"]

    world.repository.merge(pull["number"])
    world.take_in()
    with Router.load(world.clone / "flags.yaml") as router:
        assert not router.flags.enabled(FLAG, user=LUCKY)
