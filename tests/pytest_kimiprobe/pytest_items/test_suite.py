"""The packaged suite against the simulator: healthy endpoints pass all of it, each broken persona fails what it should."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, chat, reply

from routing import catalog as catalogs


def probed(folder: Path, source: str, *arguments: str) -> list[dict[str, Any]]:
    """The probes of one run, pairs included."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--kimiprobe"]
    command += [f"--kimiprobe-source=simulator:{source}", "--kimiprobe-budget=99", "--kimiprobe-json=out.json"]
    run = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode in {0, 1}, run.stdout[-3000:] + run.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads((folder / "out.json").read_text("utf-8"))["probes"]
    return found


SEEING = ("picture-in-words", "picture-and-tool")


def wrong(probes: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["id"], one["reason"], one["detail"]) for one in probes if one["verdict"] in {"fail", "error"}]


@pytest.mark.parametrize(
    ("endpoint", "unsupported"),
    [
        ("moonshot/kimi-k2.6", {"choice-required", "choice-named", "choice-of-no-tool", "dynamic-tool"}),
        ("openrouter/moonshotai/kimi-k2.6", {"native-ids", "dynamic-tool"}),
        ("moonshot/kimi-k3", {"choice-named", "choice-of-no-tool", "thinking-off", "native-ids"}),
        pytest.param(
            "moonshot/kimi-k2.7-code",
            {"choice-required", "choice-named", "choice-of-no-tool", "thinking-off", "dynamic-tool", *SEEING},
            marks=pytest.mark.long,
        ),
        pytest.param(
            "together/moonshotai/Kimi-K3", {"thinking-off", "native-ids", "dynamic-tool"}, marks=pytest.mark.long
        ),
        pytest.param(
            "groq/moonshotai/kimi-k2-instruct",
            {"thinking-on", "thinking-over-two-rounds", "thinking-off", "native-ids", "dynamic-tool", *SEEING},
            marks=pytest.mark.long,
        ),
    ],
)
def test_healthy_endpoints_pass_every_case_that_they_support(
    tmp_path: Path, endpoint: str, unsupported: set[str]
) -> None:
    """Plain and streamed, and both alike; what an endpoint cannot do is `unsupported`, never broken."""
    probes = probed(tmp_path, "healthy", "--kimiprobe-suite=full", f"--kimiprobe-endpoint={endpoint}")
    assert wrong(probes) == []
    assert {one["case"] for one in probes if one["verdict"] == "unsupported"} == unsupported
    assert {one["reason"] for one in probes if one["verdict"] == "unsupported"} <= {"no_capability"}
    assert {one["case"] for one in probes if one["verdict"] == "rescued"} == {"json-in-text"}
    assert {one["mode"] for one in probes if one["verdict"] == "pass"} == {"plain", "stream", "parity"}


MODELS = sorted(catalogs.load(environment={}).models)


@pytest.mark.parametrize(
    "model", [pytest.param(one, marks=() if one == "kimi-k2.5" else pytest.mark.long) for one in MODELS]
)
def test_no_model_fails_in_the_healthy_world(tmp_path: Path, model: str) -> None:
    """Every endpoint of every model of the catalogue, with all cases: nothing is failed, and nothing is an error."""
    assert wrong(probed(tmp_path, "healthy", "--kimiprobe-suite=full", f"--kimiprobe-model={model}")) == []


CALLS = ("several-tools", "several-calls-of-one-tool", "tool-without-parameters", "call-after-a-result")
WORDS = ("no-call-when-none-is-needed", "answer-from-a-result")
PERSONAS: dict[str, dict[str, tuple[str, str]]] = {
    "leaks_k2": dict.fromkeys(CALLS, ("rescued", "rescued_text")) | dict.fromkeys(WORDS, ("pass", "ok")),
    "leaks_k3": dict.fromkeys(CALLS, ("rescued", "rescued_text")) | dict.fromkeys(WORDS, ("pass", "ok")),
    "leaks_in_reasoning": dict.fromkeys(CALLS, ("rescued", "rescued_reasoning")),
    "json_in_text": dict.fromkeys(CALLS, ("rescued", "rescued_text")),
    "wrong_finish": dict.fromkeys(CALLS, ("rescued", "finish_reason_mismatch")) | dict.fromkeys(WORDS, ("pass", "ok")),
    "empty": dict.fromkeys((*CALLS, *WORDS), ("fail", "empty_answer")),
    "unknown_tool": dict.fromkeys(CALLS, ("fail", "unknown_tool")) | dict.fromkeys(WORDS, ("pass", "ok")),
    "bad_arguments, how: json": dict.fromkeys(CALLS[:2], ("fail", "arguments_not_json")),
    "bad_arguments, how: schema": {
        "several-tools": ("fail", "arguments_break_schema"),
        "enum-argument": ("fail", "arguments_break_schema"),
        "defs-and-refs": ("fail", "arguments_break_schema"),
    },
    "wrong_arguments": {
        "weather": ("fail", "wrong_arguments"),
        "other-scripts": ("fail", "wrong_arguments"),
        "numbers-at-their-limits": ("fail", "wrong_arguments"),
        "enum-argument": ("fail", "wrong_arguments"),
    },
    "odd_calls, how: same_id": {
        "several-calls-of-one-tool": ("rescued", "rescued_structure"),
        "weather": ("pass", "ok"),
    },
    "odd_calls, how: no_arguments": {
        "tool-without-parameters": ("rescued", "rescued_structure"),
        "weather": ("pass", "ok"),
    },
    "odd_calls, how: prefixed_name": dict.fromkeys(CALLS, ("rescued", "rescued_structure")),
    "html": dict.fromkeys((*CALLS, *WORDS), ("error", "malformed_body")),
    "down": dict.fromkeys((*CALLS, *WORDS), ("error", "server_error")),
    "no_credit": dict.fromkeys(CALLS, ("error", "no_credit")),
    "retired": dict.fromkeys(CALLS, ("error", "model_retired")),
}


HOSTS = ("wandb/fp8", "deepinfra/fp4", "novita/fp8", "fireworks/fp8", "moonshotai/int4")
BATCHES = [list(PERSONAS)[start : start + len(HOSTS)] for start in range(0, len(PERSONAS), len(HOSTS))]


@pytest.mark.parametrize(
    "personas", [BATCHES[0], *(pytest.param(batch, marks=pytest.mark.long) for batch in BATCHES[1:])], ids=", ".join
)
def test_each_broken_persona_fails_the_cases_that_it_should(tmp_path: Path, personas: list[str]) -> None:
    """And no others: the verdict of each case, plain and streamed, is the one in the table; one host a persona."""
    hosts = dict(zip(personas, HOSTS, strict=False))
    rows = [f"  openrouter/moonshotai/kimi-k2.6+{host}: {{persona: {persona}}}" for persona, host in hosts.items()]
    (tmp_path / "some.yaml").write_text("\n".join(["seed: 1", "default: healthy", "endpoints:", *rows]), "utf-8")
    cases = " or ".join(dict.fromkeys(case for persona in personas for case in PERSONAS[persona]))
    probes = probed(tmp_path, "some.yaml", "--kimiprobe-endpoint=*kimi-k2.6+*", "-k", cases)
    found = {(one["endpoint"].partition("+")[2], one["case"], one["mode"]): one for one in probes}
    for persona, host in hosts.items():
        expected = {(case, mode): word for case, word in PERSONAS[persona].items() for mode in ("plain", "stream")}
        told = {key: found[host, *key] for key in expected}
        assert {key: (one["verdict"], one["reason"]) for key, one in told.items()} == expected, persona


def test_a_cut_stream_is_seen_and_the_plain_answer_is_not_blamed(tmp_path: Path) -> None:
    """There is nothing to judge, so no pair either."""
    (tmp_path / "one.yaml").write_text("seed: 1\ndefault: {persona: cut, at: 0.5}\n", "utf-8")
    probes = probed(tmp_path, "one.yaml", "--kimiprobe-endpoint=*wandb*", "-k", "plain-and-stream-alike")
    found = {one["mode"]: (one["verdict"], one["reason"]) for one in probes}
    assert found["stream"] == ("error", "stream_cut")
    assert found["parity"] == ("not_run", "no_pair")


def test_against_a_dead_port_there_are_no_quality_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every probe of the full suite is an error or unsupported, no endpoint has a status, and the exit code is 3."""
    monkeypatch.setenv("MOONSHOT_API_KEY", "sk-test-key-never-sent")
    monkeypatch.setenv("KIMIPROBE_BASE_URL_MOONSHOT", "http://127.0.0.1:9")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--kimiprobe", "--kimiprobe-suite=full"]
    command += ["--kimiprobe-endpoint=moonshot/kimi-k2.6", "--kimiprobe-budget=99", "--kimiprobe-json=out.json"]
    done = subprocess.run([*command, "--kimiprobe-results=results"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 3
    assert not (tmp_path / "results").exists()
    assert b"NOT MEASURED: no endpoint could be reached" in done.stdout
    written = json.loads((tmp_path / "out.json").read_text("utf-8"))
    probes = written["probes"]
    assert [one["status"] for one in written["endpoints"]] == ["unknown"]
    assert len(probes) > 120
    assert {one["verdict"] for one in probes} == {"error", "unsupported", "not_run"}
    assert {one["error_class"] for one in probes if one["verdict"] == "error"} == {"provider"}


def test_answers_of_another_upstream_are_no_evidence_about_the_pinned_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However right they are: none is judged, none counts as missing, and the endpoint has no status."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-test-key-of-no-account")
    pinned = "openrouter/moonshotai/kimi-k2.6+novita/fp8"
    with FaultyServer(reply(chat("Hello.", provider="Other"))) as server:
        monkeypatch.setenv("KIMIPROBE_BASE_URL_OPENROUTER", server.url)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--kimiprobe"]
        command += [f"--kimiprobe-endpoint={pinned}", "--kimiprobe-suite=smoke", "--kimiprobe-budget=99"]
        command += ["--kimiprobe-json=out.json"]
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    written = json.loads((tmp_path / "out.json").read_text("utf-8"))
    sent = [one for one in written["probes"] if one["verdict"] not in {"unsupported", "not_run"}]
    assert len(sent) >= 10
    assert {(one["verdict"], one["reason"], one["error_class"]) for one in sent} == {
        ("error", "wrong_upstream", "selection")
    }
    assert [(one["status"], one["judged"]) for one in written["endpoints"]] == [("unknown", 0)]
