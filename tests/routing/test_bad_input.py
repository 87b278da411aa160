"""Wrong input to every public entry point: one sentence that names what is wrong and what is needed, and no secret."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import FIRST, TOOL
from faulty_server import FaultyServer, chat, reply

from routing import ConfigError, Router, RoutingError
from routing.evidence.model import loads
from routing.flags.model import Flags

SECRET = "sk-" + "Secret9" * 5
KEY = "sk-0123456789abcdef-of-no-account"
PASSWORD = "hunter2-of-nobody"
URL = f"https://user:{PASSWORD}@example.org/v1"
FLAG = "openrouter_kimi_tool_calling"
FLAGS = """\
version: 1
serial: 7
environment: test
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
flags:
  openrouter_kimi_tool_calling:
    description: d
    owner: o
    controls: [openrouter/moonshotai/kimi-k2.6]
    enabled: true
    percent: 100
...
"""
CATALOG = """\
version: 1
extends: packaged
providers:
  lab:
    title: Lab
    wire: openai
    base_url: https://lab.example/v1
    key_env: LAB_API_KEY
endpoints:
  - id: lab/kimi
    model: kimi-k2.6
"""
HEAD: dict[str, Any] = {"version": 1, "generated_at": "2026-11-23T05:17:40Z", "source": "live"}
ROW: dict[str, Any] = {"status": "works", "probed_at": "2026-11-23T05:17:40Z", "judged": 1, "passed": 1}

INTERNAL = re.compile(
    r"object is not|NoneType|has no attribute|unhashable|subscriptable|Traceback|0x[0-9a-f]{6}|site-pack"
)
"""Words of Python's own errors, which say nothing to a caller."""
STEP = re.compile(
    r"needed|must|available|known are|did you mean|put |leave|one of|may go to|upgrade|is not|allowed|no such file"
    r"|set |get a key|holds|is a directory|cannot be written|begins with|unknown|are read|add up|(less|greater) than|not read|required|null byte|was expected|not JSON"
)
"""Words that say what is needed, or what is wrong with the value."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with good flags, and a host that must not be asked."""
    (tmp_path / "flags.yaml").write_text(FLAGS)
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    monkeypatch.chdir(tmp_path)
    with FaultyServer(reply(chat())) as server:
        monkeypatch.setenv("KIMIPROBE_BASE_URL_MOONSHOT", server.url)
        monkeypatch.setenv("MOONSHOT_API_KEY", KEY)
        yield tmp_path
        assert not server.requests


def told(call: Callable[[], Any]) -> str:
    """What the call says about its wrong input: the error's text, or that of the status."""
    try:
        result = call()
    except (ValueError, TypeError, ConfigError) as error:
        check_frames(error)
        return str(error)
    status = result.status()
    result.close()
    return f"{status.flags.error or ''}{status.evidence.error or ''}{status.evidence.warning or ''}"


def check_frames(error: BaseException) -> None:
    """No frame of the package has a key or password in its local variables: a traceback may be printed with them."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in shown.stack if "/routing/" in frame.filename and "/tests/" not in frame.filename]
    text = "".join(f"{frame.name} {frame.locals}\n" for frame in frames)
    assert not any(secret in text for secret in (SECRET, PASSWORD, KEY)), text


def check(text: str, field: str) -> None:
    """A short text that names the field and what is needed, without a secret."""
    assert re.search(field, text), text
    assert STEP.search(text), text
    assert not INTERNAL.search(text), text
    assert not any(secret in text for secret in (SECRET, PASSWORD)), text
    assert len(text) < 1200
    assert text.replace("\n", "").isprintable()


WRONG_PATHS: tuple[Any, ...] = (5, b"x", ["x"], {})
ARGUMENTS: list[tuple[str, Any, str]] = [
    *((name, value, name) for name in ("flags", "evidence", "catalog", "capture") for value in WRONG_PATHS),
    ("flags", "nowhere.yaml", "nowhere.yaml"),
    ("flags", "\0", "null byte|x00"),
    ("flags", ".", "directory"),
    ("catalog", "nowhere.yaml", "nowhere.yaml"),
    ("catalog", ".", "directory"),
    ("capture", "\0", "capture"),
    ("capture", "flags.yaml", "capture: cannot be written"),
    ("evidence", f"http://user:{PASSWORD}@example.org/x", "https URL"),
    ("evidence", f"ftp://example.org/x?sig={SECRET}", "https URL"),
    ("evidence", f"https://user:{PASSWORD}/x", "https URL"),
]


@pytest.mark.parametrize(("name", "value", "field"), ARGUMENTS)
def test_arguments_of_load(folder: Path, name: str, value: Any, field: str) -> None:
    """Paths and URLs."""
    if name == "evidence" and isinstance(value, str) and value.startswith("https"):
        field = "evidence|URL|port"
    check(told(lambda: Router.load(**{name: value})), field)


VARIABLES = [
    ("KIMIPROBE_FLAGS", "nowhere.yaml", "nowhere.yaml"),
    ("KIMIPROBE_CATALOG", "nowhere.yaml", "nowhere.yaml"),
    ("KIMIPROBE_EVIDENCE", f"ftp://user:{PASSWORD}@h/x", "https URL"),
    ("KIMIPROBE_BASE_URL_MOONSHOT", URL, "KIMIPROBE_BASE_URL_MOONSHOT: .* neither user, password"),
    ("KIMIPROBE_BASE_URL_MOONSHOT", f"https://example.org/v1?key={SECRET}", "KIMIPROBE_BASE_URL_MOONSHOT"),
    ("KIMIPROBE_BASE_URL_MOONSHOT", "api.moonshot.ai/v1", "KIMIPROBE_BASE_URL_MOONSHOT: .* begins with https://"),
    ("KIMIPROBE_BASE_URL_MOONSHOT", "https://evil.example/v1", "KIMIPROBE_BASE_URL_MOONSHOT: .* may go to"),
    ("KIMIPROBE_BASE_URL_MOONSHOT", "http://api.moonshot.ai/v1", "KIMIPROBE_BASE_URL_MOONSHOT: https is needed"),
    ("KIMIPROBE_PROXY", f"user:{PASSWORD}@host", "KIMIPROBE_PROXY: must be http://host:port"),
    ("KIMIPROBE_HTTP", "requests", "KIMIPROBE_HTTP: must be httpx2 or httpx, not 'requests'"),
    ("MOONSHOT_API_KEY", f"{SECRET} {SECRET}", "MOONSHOT_API_KEY: holds a quote, space"),
    ("MOONSHOT_API_KEY", "your-key-here", "MOONSHOT_API_KEY: holds a placeholder"),
    ("MOONSHOT_API_KEY", "", "MOONSHOT_API_KEY: not set"),
]


@pytest.mark.parametrize(("name", "value", "field"), VARIABLES)
def test_environment_variables(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str
) -> None:
    """Read when the router is loaded, or with the first request."""
    monkeypatch.setenv(name, value)

    def used() -> Router:
        with Router.load(None if name == "KIMIPROBE_FLAGS" else folder / "flags.yaml") as router:
            router.complete("Hi", tools=[TOOL], endpoints=[FIRST])
            return router

    with pytest.raises((RoutingError, ValueError)) as caught:
        used()
    check_frames(caught.value)
    check(str(caught.value), field)


REPLACED = [
    ("serial: 7", "serial: seven", r"flags\.yaml:2:\d+: serial"),
    ("serial: 7", "serial: -1", "serial"),
    ("serial: 7", "serial: 7.0", "serial: must be a whole number"),
    ("version: 1", "version: 2", "version 2 is newer"),
    ("environment: test", "environment: prod", "environment: .*production"),
    ("murmur3-cbor-v1", "md5", "bucketing"),
    ("default_model: kimi-k2.6", f"default_model: {SECRET}", "default_model"),
    ("default_model: kimi-k2.6", "default_model: kimi-k99", "default_model: .*kimi-k99.* not a model"),
    ("default_model: kimi-k2.6", "default_modle: kimi-k2.6", "default_model. is a required property"),
    ("percent: 100", "percent: 101", "percent"),
    ("percent: 100", "percent: all", "percent"),
    ("enabled: true", "enabled: yes", "enabled"),
    ("[openrouter/moonshotai/kimi-k2.6]", "openrouter/*", "controls"),
    ("[openrouter/moonshotai/kimi-k2.6]", "[]", "controls"),
    ("owner: o", "ownr: o", "ownr|owner"),
    ("percent: 100", "percent: 100\n    since: yesterday", "since"),
    ("percent: 100", "percent: 100\n    ladder: [50, 10]", "ladder: must rise"),
    ("percent: 100", "percent: 100\n    users: {allow: [1]}", "users.allow"),
    ("openrouter_kimi_tool_calling:", "Upper Case:", "flags.Upper Case"),
    ("...\n", "", "last line"),
    ("serial: 7", "\tserial: 7", "tab"),
    ("serial: 7", "serial: &a 7", "anchors"),
]


@pytest.mark.parametrize(("good", "bad", "field"), REPLACED)
def test_content_of_flags(folder: Path, good: str, bad: str, field: str) -> None:
    """The status names file, line, column and key; routing goes on."""
    text = FLAGS.replace(good, bad, 1)
    assert text != FLAGS
    (folder / "flags.yaml").write_text(text)
    check(told(lambda: Router.load(folder / "flags.yaml")), field)


REPLACED_ROWS = [
    ("version: 1", "version: 9", "version"),
    ("wire: openai", "wire: soap", r"catalog\.yaml:6:\d+: providers.lab.wire"),
    ("wire: openai", "wrie: openai", "wrie: unknown key; did you mean wire"),
    ("https://lab.example/v1", "ftp://lab.example", "providers.lab.base_url"),
    ("https://lab.example/v1", URL, "providers.lab.base_url: .* neither user, password"),
    ("https://lab.example/v1", "http://lab.example/v1", "providers.lab.base_url: https is needed"),
    ("id: lab/kimi", "id: lap/kimi", "endpoint 'lap/kimi': no provider 'lap'"),
    ("model: kimi-k2.6", "model: kimi-k99", "no model 'kimi-k99'; available"),
    ("extends: packaged", "extends: mine", "extends"),
    ("providers:", "default_model: kimi-k99\nproviders:", "default_model 'kimi-k99' is not among"),
]


@pytest.mark.parametrize(("good", "bad", "field"), REPLACED_ROWS)
def test_content_of_a_catalogue(folder: Path, good: str, bad: str, field: str) -> None:
    """Loading fails, because no request could be routed by it."""
    (folder / "catalog.yaml").write_text(CATALOG.replace(good, bad, 1))
    check(told(lambda: Router.load(catalog=folder / "catalog.yaml")), field)


DOCUMENTS: list[tuple[Any, str]] = [
    ("", "not JSON"),
    ("{", "not JSON"),
    ([], "must be a JSON object"),
    ({**HEAD, "version": 2}, "version 2; this release reads version 1"),
    (HEAD, "endpoints is not an object"),
    ({**HEAD, "endpoints": []}, "endpoints is not an object"),
    ({**HEAD, "endpoints": {}, "generated_at": "yesterday"}, "generated_at is not a time"),
    ({**HEAD, "endpoints": {}, "generated_at": 5}, "generated_at is not a time"),
    ({**HEAD, "endpoints": {}, "source": "simulator"}, "source 'simulator' is not evidence"),
    ({**HEAD, "endpoints": {}, "source": ["live"]}, "source .* is not evidence"),
    ({**HEAD, "endpoints": {FIRST: 5}}, "the row is not an object"),
    *(
        ({**HEAD, "endpoints": {FIRST: {**ROW, **wrong}}}, field)
        for wrong, field in (
            ({"status": "fine"}, "status is 'fine'; one of"),
            ({"status": ["works"]}, "status"),
            ({"probed_at": None}, "probed_at is not a time"),
            ({"judged": "1"}, "judged is not a count"),
            ({"judged": 5}, "judged is 5, but"),
            ({"window": 7}, "window is not an object"),
            ({"window": {"days": 0}}, "window.days"),
            ({"reasons": ["x"]}, "reasons is not an object"),
            ({"p95_ms": 1e30}, "p95_ms is not a time"),
            ({"cost_per_1k_usd": "free"}, "cost_per_1k_usd"),
        )
    ),
]


@pytest.mark.parametrize(("document", "field"), DOCUMENTS, ids=lambda value: str(value)[-60:])
def test_content_of_evidence(folder: Path, document: Any, field: str) -> None:
    """As a whole, and one row of two."""
    path = folder / "latest.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    check(told(lambda: Router.load(evidence=path)), field)
    if isinstance(document, dict) and FIRST in (rows := document.get("endpoints") or {}):
        text = json.dumps({**document, "endpoints": {**rows, "other": ROW}})
        assert re.search(field, loads(text).refused[FIRST])


CALLS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda router: router.tool_calling_available("openruter"), "unknown provider 'openruter'; available"),
    (lambda router: router.tool_calling_available(5), "provider: a text is needed, not int"),
    (lambda router: router.tool_calling_available(None), "provider: a text is needed, not None"),
    (lambda router: router.tool_calling_available(["moonshot"]), "provider: a text is needed, not list"),
    (lambda router: router.tool_calling_available("moonshot", model="k9"), "unknown model 'k9'; available"),
    (lambda router: router.tool_calling_available("moonshot", groups="beta"), "groups: a list of names"),
    (lambda router: router.flags.enabled("openroutr"), "no flag 'openroutr'; available"),
    (lambda router: router.flags.enabled(SECRET), "no flag .*; available"),
    (lambda router: router.flags.evaluate(["a"]), "no flag .*; available"),
    (lambda router: router.flags.enabled(FLAG, ["a"]), "user: a user's id as text is needed, not list"),
    (lambda router: router.flags.evaluate(FLAG, "a", 5), "groups: a list of names is needed, not int"),
]


@pytest.mark.parametrize(("call", "field"), CALLS, ids=map(str, range(len(CALLS))))
def test_questions_about_flags_and_providers(folder: Path, call: Callable[[Any], Any], field: str) -> None:
    """A wrong name is never answered with False."""
    with Router.load(folder / "flags.yaml") as router, pytest.raises((ValueError, TypeError, ConfigError)) as caught:
        call(router)
    check(str(caught.value), field)


NUMBERS = ("timeout", "max_cost_usd", "max_tokens", "temperature", "top_p", "seed")


VALUES: tuple[Any, ...] = ("x", [], float("nan"), float("inf"), -(2.0**70), 2**70, True, SECRET)
UNBOUNDED = {"timeout", "max_cost_usd", "max_tokens"}


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n in NUMBERS for v in VALUES if v != 2**70 or n not in UNBOUNDED]
)
def test_numbers(folder: Path, name: str, value: Any) -> None:
    """Name, value or type, and range are in the message."""
    options: Any = {name: value}
    with Router.load(folder / "flags.yaml") as router, pytest.raises((ValueError, TypeError)) as caught:
        router.complete("Hi", **options)
    check(str(caught.value), f"^{name}: .* is needed, not ")


def test_flags_that_are_read_alone_say_the_same(folder: Path) -> None:
    """`Flags.load` is what the commands use."""
    (folder / "flags.yaml").write_text(FLAGS.replace("percent: 100", "percent: 101"))
    with pytest.raises(ConfigError) as caught:
        Flags.load(folder / "flags.yaml")
    check(str(caught.value), "percent")
