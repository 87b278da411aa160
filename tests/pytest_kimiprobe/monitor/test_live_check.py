"""`kimiprobe live-check`, with simulated and faulty hosts in place of the real ones."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from dead_host import DEAD
from faulty_server import USAGE, FaultyServer, chat, delta, event, reply
from hypothesis import given
from hypothesis import strategies as st
from simulated import playing

from pytest_kimiprobe.cases.model import FOLDER, load
from pytest_kimiprobe.monitor import live_check
from pytest_kimiprobe.monitor.answer_shape import Shape, differences, shape_of
from pytest_kimiprobe.monitor.cli import main
from pytest_kimiprobe.monitor.live_check import WRONG_KEY
from pytest_kimiprobe.recording import replays
from pytest_kimiprobe.recording.samples import request_fingerprint
from pytest_kimiprobe.simulator import Simulator
from routing.exchange import Exchange

KEY = "sk-live-check-0123456789"
VARIABLES = {"moonshot": "MOONSHOT_API_KEY", "groq": "GROQ_API_KEY", "openrouter": "OPENROUTER_API_KEY"}


@pytest.fixture(scope="module")
def hosts() -> Iterator[Simulator]:
    with Simulator(playing()) as running:
        yield running


def run(*arguments: str) -> Result:
    """Run the command; whatever happens, its report fits into 80 columns, and no key is shown."""
    result = CliRunner().invoke(main, ["live-check", *arguments], prog_name="kimiprobe")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert KEY not in result.output
    assert arguments[-1:] == ("--json",) or all(
        len(line) <= 80 or line.startswith("10 cassettes") for line in result.stdout.splitlines()
    )
    return result


def at(monkeypatch: pytest.MonkeyPatch, provider: str, url: str, key: str = KEY) -> None:
    """Give one provider a base URL and a key."""
    monkeypatch.setenv(f"KIMIPROBE_BASE_URL_{provider.upper()}", url)
    monkeypatch.setenv(VARIABLES[provider], key)


def facts(result: Result) -> dict[tuple[str, str], tuple[str, str]]:
    """The differences of a `--json` document: probe and fact → value at the host and at the simulator."""
    rows = json.loads(result.stdout)["probes"]
    return {(row["kind"], name): (host, own) for row in rows for name, host, own in row["differences"]}


def test_hosts_that_answer_as_the_simulator_does_differ_in_nothing(
    hosts: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every provider is asked each kind of probe that its endpoint can serve."""
    for name, value in hosts.environment().items():
        if "MOONSHOT_CN" not in name:
            monkeypatch.setenv(name, value)
    result = run()
    assert (result.exit_code, "what differs" in result.output) == (0, False), result.output
    for kind in (
        "text stream",
        "call stream",
        "tool result",
        "image",
        "prompt stream",
        "required",
        "wrong key",
        "models",
    ):
        assert f"\n{kind} " in result.output
    assert result.output.count(" at 127.0.0.1\n") == 6


@pytest.mark.parametrize(
    ("persona", "more", "probe", "fact", "host"),
    [
        ("leaks_k2", {}, "call", "tool_calls read", "-"),
        ("wrong_finish", {}, "call", "finish reason", "stop"),
        ("html", {}, "text", "read as", "malformed_body (provider)"),
        ("error_in_200", {}, "text", "read as", "server_error (provider)"),
        ("cut", {}, "text stream", "read as", "stream_cut (provider)"),
        ("odd_calls", {"how": "prefixed_name"}, "call", "call id", "functions...."),
    ],
)
def test_what_a_broken_host_does_is_named(
    monkeypatch: pytest.MonkeyPatch, persona: str, more: dict[str, Any], probe: str, fact: str, host: str
) -> None:
    """By the probe that shows it, and by the fact that differs."""
    with Simulator(playing(persona, **more)) as broken:
        at(monkeypatch, "moonshot", broken.environment()["KIMIPROBE_BASE_URL_MOONSHOT"])
        result = run("--json")
    assert result.exit_code == 1
    assert facts(result)[probe, fact][0] == host


def test_make_runs_the_command_with_further_arguments() -> None:
    """In the environment that the Makefile creates."""
    root = Path(__file__).resolve().parents[3]
    command = ["make", "--dry-run", "--no-print-directory", "live-check", "ARGS=--record tapes"]
    shown = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == ".venv/bin/kimiprobe live-check --record tapes"


def test_without_a_key_the_variables_are_named() -> None:
    """Nothing is sent; the exit code says that the check did not run."""
    result = run()
    assert result.exit_code == 2
    assert "no key is set" in result.output
    assert all(name in result.output for name in VARIABLES.values())


def test_a_refused_key_is_no_difference_in_shape(hosts: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probes are listed as not compared, and the exit code is 2."""
    at(monkeypatch, "moonshot", hosts.environment()["KIMIPROBE_BASE_URL_MOONSHOT"], WRONG_KEY)
    result = run()
    assert result.exit_code == 2
    assert "text (unauthorized)" in result.output
    assert "what differs" not in result.output


@pytest.mark.parametrize(
    ("status", "compared"), [(403, {"wrong key"}), (500, {"wrong choice", "wrong model", "wrong key"}), (429, set())]
)
def test_only_an_error_where_one_is_expected_is_compared(
    monkeypatch: pytest.MonkeyPatch, status: int, compared: set[str]
) -> None:
    """Limits, server errors and a refused key say nothing about the answers of other days."""
    monkeypatch.setattr(live_check, "PATIENCE_S", 0.0)
    with FaultyServer(reply({"error": {"message": "no"}}, status=status)) as server:
        at(monkeypatch, "groq", server.url)
        rows = json.loads(run("--json").stdout)["probes"]
    assert {row["kind"] for row in rows if not row["not_compared"]} == compared
    assert all(row["differences"] for row in rows if row["kind"] in compared)


def test_an_answer_that_the_low_limit_cut_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model may think longer than the budget allows; only the probe of `max_tokens` expects that."""
    with FaultyServer(reply(chat("hel", finish_reason="length"))) as server:
        at(monkeypatch, "groq", server.url)
        rows = {row["kind"]: row for row in json.loads(run("--json").stdout)["probes"]}
    assert (rows["text"]["not_compared"], rows["max_tokens"]["not_compared"]) == ("length", "")


def test_what_the_budget_cannot_cover_is_not_sent(hosts: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run costs more than its budget, and no budget may exceed five cents."""
    at(monkeypatch, "moonshot", hosts.environment()["KIMIPROBE_BASE_URL_MOONSHOT"])
    result = run("--budget", "0.002", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 2
    assert 0 < float(document["cost_usd"]) <= 0.002
    assert {row["not_compared"] for row in document["probes"]} == {"", "budget"}
    assert "0<=x<=0.05" in run("--budget", "0.06").output


def test_a_provider_that_is_down_does_not_stop_the_others(hosts: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets no probe, each of which could wait for a minute; the check does not exit with 0."""
    at(monkeypatch, "moonshot", hosts.environment()["KIMIPROBE_BASE_URL_MOONSHOT"])
    at(monkeypatch, "groq", DEAD)
    rows = json.loads((result := run("--json")).stdout)["probes"]
    assert result.exit_code == 2
    assert {row["not_compared"] for row in rows if row["endpoint"].startswith("moonshot")} == {""}
    groq = [(row["kind"], row["not_compared"]) for row in rows if row["endpoint"].startswith("groq")]
    assert groq == [("models", "connect_refused")]


def test_hostile_names_and_texts_cannot_reach_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host chooses names and values of its fields, and may echo the key."""
    evil = {f"\x1b[31m::error::{KEY}": {"type": f"\u202e{KEY}\n::stop"}, "deep": [[[{"code": "x" * 5000}]]]}
    with FaultyServer(reply(chat(f"\x1b]0;{KEY}\x07", model=KEY) | evil)) as server:
        at(monkeypatch, "moonshot", server.url)
        result = run()
    assert result.exit_code == 1
    assert "deep[][][].code" in result.output
    assert not {"\x1b", "\x07", "\u202e"} & set(result.output)
    assert not any(line.lstrip().startswith("::") for line in result.output.splitlines())


def test_a_pinned_upstream_and_a_thinking_switch_that_have_no_effect_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's table of names says which upstream a tag means."""
    answer = chat("hello", provider="Elsewhere")
    answer["choices"][0]["message"]["reasoning"] = "Let me think."
    with FaultyServer(reply(answer)) as server:
        at(monkeypatch, "openrouter", server.url)
        found = facts(run("--json"))
    assert found["+novita/fp8", "pinned upstream"] == ("Elsewhere", "NovitaAI")
    assert found["thinking off", "reasoning though off"] == ("yes", "-")
    assert not {("text", "pinned upstream"), ("text", "reasoning though off")} & found.keys()


def test_exchanges_are_kept_as_recordings_that_the_next_check_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The recorded probes have the ids of packaged cases, so that a replay judges them."""
    with Simulator(playing("wrong_finish")) as broken:
        at(monkeypatch, "moonshot", broken.environment()["KIMIPROBE_BASE_URL_MOONSHOT"])
        assert run("--record", str(tmp_path / "tapes")).exit_code == 1
        result = run("--against", str(tmp_path / "tapes"))
    samples = replays.read(tmp_path / "tapes").samples
    weather = next(case for case in load(FOLDER / "core.yaml") if case.name == "weather")
    sample = samples["kimiprobe/core.yaml::weather[moonshot/kimi-k2.6-plain-1]"]
    assert sample.asked == request_fingerprint(weather.request("plain"))
    assert {sample.source for sample in samples.values()} == {"local"}
    (line,) = [line for line in result.output.splitlines() if " finish reason " in line]
    assert line.endswith("seen")


def test_an_endpoint_without_a_key_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of another provider does not help."""
    at(monkeypatch, "moonshot", DEAD)
    result = run("--endpoint", "groq/*instruct")
    assert (result.exit_code, "GROQ_API_KEY" in result.output, "MOONSHOT" in result.output) == (2, True, False)
    assert "no endpoint matches" in run("--endpoint", "nowhere/*").output


def test_a_value_that_cannot_be_a_key_is_reported_without_showing_it(
    hosts: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other providers are compared, and the exit code says that one is missing."""
    monkeypatch.setenv("GROQ_API_KEY", f'"{KEY}"')
    at(monkeypatch, "moonshot", hosts.environment()["KIMIPROBE_BASE_URL_MOONSHOT"])
    result = run()
    assert (result.exit_code, "moonshot/kimi-k2.6 at" in result.stdout) == (2, True)
    assert "warning: GROQ_API_KEY: holds a quote" in result.stderr


def test_a_provider_that_the_simulator_lacks_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By default it is left out."""
    provider = {"title": "Own", "wire": "openai", "base_url": DEAD, "hosts": ["127.0.0.1"], "key_env": "OWN_API_KEY"}
    rows = [{"id": "own/m", "model": "kimi-k2.6"}]
    file = tmp_path / "catalog.yaml"
    file.write_text(
        yaml.safe_dump({"version": 1, "extends": "packaged", "providers": {"own": provider}, "endpoints": rows})
    )
    monkeypatch.setenv("KIMIPROBE_CATALOG", str(file))
    monkeypatch.setenv("OWN_API_KEY", KEY)
    assert "the simulator has no provider 'own'" in run("--endpoint", "own/m").output
    assert run().exit_code == 2


def shape(body: bytes, kind: str = "application/json", status: int = 200) -> Shape:
    return shape_of(Exchange("x", {}, status, kind, body), {})


@given(st.binary(max_size=300), st.sampled_from(["application/json", "text/event-stream", "text/html", ""]))
def test_every_body_has_a_shape(body: bytes, kind: str) -> None:
    """It is printable, whatever the bytes are."""
    assert all(text.isprintable() for fact in shape(body, kind) for text in fact)


@given(st.text(min_size=1), st.text(min_size=1), st.integers(1), st.integers(1))
def test_content_is_no_part_of_a_shape(one: str, two: str, first: int, second: int) -> None:
    """Answers that differ only in text and numbers have one shape; another type of a field is a difference."""
    rows = ((one, first), (two, second), (one, str(first)))
    shapes = [shape(json.dumps(chat(text, n=count)).encode()) for text, count in rows]
    assert shapes[0] == shapes[1]
    assert differences(shapes[2], shapes[0]) == [("n", "text", "number")]


def test_a_field_that_other_answers_have_is_no_difference() -> None:
    """Whether one answer has a thought or a text beside its call is content; the finish reason is not."""
    called, spoken = (shape(json.dumps(chat(text, finish_reason="stop")).encode()) for text in (None, "hello"))
    assert differences(called, spoken) == [("choices[].message.content", "-", "text")]
    assert differences(called, spoken, spoken) == []


CHUNKS = (delta(content="x"), delta("stop"), {"choices": [], "usage": USAGE})


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"".join(map(event, CHUNKS[:2])) + event(b"[DONE]"), "delta, finish, [DONE]"),
        (b"".join(map(event, CHUNKS)), "delta, finish, usage"),
        (event(CHUNKS[0]) + event({"error": {"code": 502}}), "delta, error"),
        (b"event: ping\ndata: {}\n\n" + event(CHUNKS[1]), "finish"),
        (event(CHUNKS[1])[:-1], ""),
    ],
    ids=["no usage", "no end mark", "error", "ping", "cut"],
)
def test_the_order_of_stream_events_is_part_of_the_shape(body: bytes, events: str) -> None:
    """Clients rely on the usage chunk, on `[DONE]` and on errors that end a stream."""
    whole = shape(b"".join(map(event, CHUNKS)) + event(b"[DONE]"), "text/event-stream")
    found = ("stream events", events or "-", "delta, finish, usage, [DONE]")
    assert found in [
        (name, host or "-", own) for name, host, own in differences(shape(body, "text/event-stream"), whole)
    ]
