"""The packaged smoke suite beside the plugins that users have most: the same requests and verdicts as without them."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from plugin_runs import PACKAGED, SmokeRun, needs_plugins, smoke_run

pytestmark = [pytest.mark.long, needs_plugins]


class Beside(NamedTuple):
    """Plugins of one run: their modules, their options, and a test of the user that uses them."""

    plugins: str
    options: str = ""
    own: str = ""


ALLURE = Beside("allure_pytest.plugin", "--alluredir=allure")
ASYNCIO = Beside(
    "pytest_asyncio.plugin",
    "-o asyncio_default_fixture_loop_scope=function --asyncio-mode=auto",
    "async def test_own(): pass\n",
)
BDD = Beside(
    "pytest_bdd.plugin",
    "",
    "from pytest_bdd import given, scenarios\nscenarios('capital.feature')\n@given('a step')\ndef step(): pass\n",
)
COV = Beside("pytest_cov.plugin", "--cov=. --cov-report=xml")
DJANGO = Beside("pytest_django.plugin", "", "def test_own(settings, rf): assert rf.get('/') and settings.SECRET_KEY\n")
FREEZER = Beside(
    "pytest_freezer",
    "",
    "import time\ndef test_own(freezer):\n    freezer.move_to('2020-01-01')\n    time.sleep(0.06)\n",
)
HTML = Beside(
    "pytest_html.plugin pytest_html.fixtures pytest_metadata.plugin", "--html=report.html --self-contained-html"
)
JSON_REPORT = Beside("pytest_jsonreport.plugin pytest_metadata.plugin", "--json-report --json-report-file=report.json")
MOCK = Beside(
    "pytest_mock", "", "import socket\ndef test_own(mocker): assert mocker.patch('socket.socket') is socket.socket\n"
)
RANDOMLY = Beside("pytest_randomly")
RECORDING = Beside(
    "pytest_recording.plugin",
    "--block-network",
    "import pytest, socket\ndef test_own():\n    with pytest.raises(RuntimeError), socket.socket() as one:\n        one.connect(('localhost', 1))\n",
)
REPEAT = Beside("pytest_repeat", "", "import pytest\n@pytest.mark.repeat(3)\ndef test_own(): pass\n")
REPORTLOG = Beside("pytest_reportlog.plugin", "--report-log=report.jsonl")
RERUNFAILURES = Beside("pytest_rerunfailures", "--reruns=2")
RETRY = Beside("pytest_retry.retry_plugin", "--retries=2")
SOCKET = Beside("pytest_socket", "--disable-socket")
SPLIT = Beside("pytest_split.plugin", "--splits=1 --group=1 --store-durations")
SUGAR = Beside("pytest_sugar", "--force-sugar")
TIMEOUT = Beside("pytest_timeout", "--timeout=100")
XDIST = Beside("xdist.plugin", "-n2")
TWENTY = (
    ALLURE,
    ASYNCIO,
    BDD,
    COV,
    DJANGO,
    FREEZER,
    HTML,
    JSON_REPORT,
    MOCK,
    RANDOMLY,
    RECORDING,
    REPEAT,
    REPORTLOG,
    RERUNFAILURES,
    RETRY,
    SOCKET,
    SPLIT,
    SUGAR,
    TIMEOUT,
    XDIST,
)
PAIRS = (
    (RERUNFAILURES, RETRY),
    (RERUNFAILURES, XDIST),
    (RERUNFAILURES, TIMEOUT),
    (RERUNFAILURES, ALLURE),
    (RANDOMLY, XDIST),
    (RANDOMLY, SPLIT),
    (SOCKET, RECORDING),
    (SOCKET, ASYNCIO),
    (FREEZER, TIMEOUT),
    (FREEZER, SUGAR),
    (HTML, JSON_REPORT),
    (COV, XDIST),
)


def together(pair: tuple[Beside, ...]) -> Beside:
    """Several plugins in one run; the user's test is that of the first."""
    return Beside(" ".join(one.plugins for one in pair), " ".join(one.options for one in pair), pair[0].own)


def short(pair: tuple[Beside, ...]) -> str:
    """The plugins' names, for ids."""
    return "+".join(one.plugins.split()[0].partition(".")[0].removeprefix("pytest_") for one in pair)


@functools.cache
def alone() -> SmokeRun:
    """The run without another plugin."""
    with tempfile.TemporaryDirectory() as folder:
        found = smoke_run(Path(folder))
    assert (found.code, found.complete) == (1, True), found.output
    assert {verdict for verdict, _, _ in found.verdicts.values()} == {"pass", "rescued", "fail"}
    return found


def require_alike(found: SmokeRun) -> None:
    assert (found.code, found.complete) == (1, True), found.output
    assert found.verdicts == alone().verdicts
    assert found.requests == alone().requests


@pytest.mark.parametrize("pair", [*((one,) for one in TWENTY), *PAIRS], ids=short)
def test_no_request_is_lost_or_doubled_and_no_verdict_differs(tmp_path: Path, pair: tuple[Beside, ...]) -> None:
    """One plugin with the options and the test that use it, and pairs that change the same thing."""
    beside = together(pair)
    require_alike(smoke_run(tmp_path, *beside.options.split(), plugins=beside.plugins, own=beside.own))


def test_all_of_them_together(tmp_path: Path) -> None:
    """Loaded as pytest loads what is installed, without options."""
    require_alike(smoke_run(tmp_path, "-W", "ignore", autoload=True))


def test_groups_of_pytest_split_have_every_verdict(tmp_path: Path) -> None:
    """A pair brings its halves, so that a probe may be in two groups; in a group it is sent once."""
    groups = [
        smoke_run(tmp_path, "--splits=2", f"--group={number}", plugins="pytest_split.plugin") for number in (1, 2)
    ]
    assert groups[0].verdicts | groups[1].verdicts == alone().verdicts
    for group in groups:
        assert group.requests <= alone().requests
    assert groups[0].requests | groups[1].requests == alone().requests


def test_repeated_functions_are_sent_as_often_as_asked(tmp_path: Path) -> None:
    """Packaged probes have `--kimiprobe-repeat` for it and are sent once."""
    found = smoke_run(tmp_path, "--count=2", plugins="pytest_repeat")
    packaged = {probe: verdict for probe, verdict in alone().verdicts.items() if probe.startswith(PACKAGED)}
    assert {probe: verdict for probe, verdict in found.verdicts.items() if probe.startswith(PACKAGED)} == packaged
    assert len(found.verdicts) - len(packaged) == 2 * (len(alone().verdicts) - len(packaged))
    twice = found.requests - alone().requests
    assert set(twice.values()) == {1}
    assert all("capital of" in request for request in twice)


def test_reports_have_a_row_for_each_verdict(tmp_path: Path) -> None:
    """Allure tells tests apart by a name without parameters and by the parameters."""
    beside = together((ALLURE, JSON_REPORT, REPORTLOG))
    found = smoke_run(tmp_path, *beside.options.split(), plugins=beside.plugins)
    rows = [json.loads(file.read_text("utf-8")) for file in (tmp_path / "allure").glob("*-result.json")]
    many = len(found.verdicts) + 1  # and the user's own test
    assert len({row["historyId"] for row in rows}) == len(rows) == many
    assert len(json.loads((tmp_path / "report.json").read_text("utf-8"))["tests"]) == many
    lines = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text("utf-8").splitlines()]
    assert len({line["nodeid"] for line in lines if line["$report_type"] == "TestReport"}) == many
