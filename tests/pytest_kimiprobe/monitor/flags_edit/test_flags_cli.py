"""`kimiprobe flags`, and the command line around it."""

from __future__ import annotations

import datetime as dt
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from click.testing import CliRunner, Result

from pytest_kimiprobe.monitor.cli import main
from routing.flags.model import Flags

FILE = """\
# yaml-language-server: $schema=./routing/flags.schema.json
version: 1
serial: 41
environment: test
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
flags:
  # Off until the probes say otherwise.
  openrouter_kimi_tool_calling:
    description: Kimi tool calls through OpenRouter, wherever it is cheaper than Moonshot's own endpoint.
    owner: "@kimi-routing"
    controls: ["openrouter/moonshotai/kimi-*"]
    enabled: false
    percent: 0                 # of users
    users: {allow: [], deny: [mallory]}
  groq_kimi_tool_calling:
    description: Kimi at Groq.
    owner: "@groq"
    controls: ["groq/moonshotai/kimi-*"]
    enabled: true
    percent: 10
    groups: {allow: [beta, staff], deny: []}
    accept_rescued: true
    reason: 30 of 30 passed
    since: "2026-11-20T06:00:00Z"
    evidence: {result: results/latest.json, judged: 30, passed: 30}
...
"""
KIMI, GROQ = "openrouter_kimi_tool_calling", "groq_kimi_tool_calling"


@pytest.fixture(autouse=True)
def _at_a_certain_time() -> Iterator[None]:
    with time_machine.travel(dt.datetime(2026, 11, 23, 5, 17, 40, tzinfo=dt.UTC), tick=False):
        yield


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A flags file in the working folder."""
    monkeypatch.delenv("KIMIPROBE_FLAGS", raising=False)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "flags.yaml"
    file.write_text(FILE)
    return file


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["flags", *arguments], prog_name="kimiprobe")


def output(*arguments: str) -> str:
    """What the command prints; it must end well and fit 80 columns."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    return result.stdout


def answer(*arguments: str) -> Any:
    return json.loads(output_any(*arguments, "--json"))


def output_any(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def changed(path: Path) -> str:
    """Lines of the file that were not there before."""
    old = FILE.splitlines()
    return "\n".join(line for line in path.read_text().splitlines() if line not in old)


# ------------------------------------------------------------------------------------------------------------ look


def test_list() -> None:
    """One line a flag, and what holds for all."""
    assert output("list") == textwrap.dedent("""\
        flag                          on for           controls
        openrouter_kimi_tool_calling  no user          openrouter/moonshotai/kimi-*
        groq_kimi_tool_calling        10 % + 2 groups  groq/moonshotai/kimi-*
        serial 41, environment test, default model kimi-k2.6
        """)


def test_show() -> None:
    """Everything that decides about a flag, in sentences."""
    assert output("show", GROQ) == textwrap.dedent("""\
        flag            groq_kimi_tool_calling
        description     Kimi at Groq.
        owner           @groq
        controls        groq/moonshotai/kimi-*
        on for          10 % + 2 groups
        groups allowed  beta, staff
        pin             none
        enabled         yes
        percent         10 (ladder 10, 50, 100)
        rescued answers count as passed
        rescue          all
        reason          30 of 30 passed
        since           2026-11-20T06:00:00Z
        evidence        30 of 30 passed, results/latest.json
        """)
    assert output("show", KIMI) == textwrap.dedent("""\
        flag            openrouter_kimi_tool_calling
        description     Kimi tool calls through OpenRouter, wherever it is cheaper than
                        Moonshot's own endpoint.
        owner           @kimi-routing
        controls        openrouter/moonshotai/kimi-*
        on for          no user
        users denied    mallory
        pin             none
        enabled         no
        percent         0 (ladder 10, 50, 100)
        rescued answers do not count as passed
        rescue          all
        """)


def test_show_as_json() -> None:
    """JSON has every key of the file, missing ones with their default."""
    assert answer("show", KIMI) == {
        "version": 1,
        "name": KIMI,
        "description": "Kimi tool calls through OpenRouter, wherever it is cheaper than Moonshot's own endpoint.",
        "owner": "@kimi-routing",
        "controls": ["openrouter/moonshotai/kimi-*"],
        "enabled": False,
        "percent": 0,
        "ladder": [10, 50, 100],
        "users": {"allow": [], "deny": ["mallory"]},
        "groups": {"allow": [], "deny": []},
        "accept_rescued": False,
        "rescue": "all",
        "pin": None,
        "reason": "",
        "since": None,
        "evidence": None,
    }
    listed = answer("list")
    assert listed["serial"] == 41
    assert [flag["name"] for flag in listed["flags"]] == [KIMI, GROQ]
    assert listed["flags"][1]["evidence"] == {"result": "results/latest.json", "judged": 30, "passed": 30}


@pytest.mark.parametrize(
    ("pin", "enabled", "percent", "users", "groups", "expected"),
    [
        ("", "true", 50, "[]", "[]", "50 %"),
        ("", "true", 0, "[]", "[]", "0 %"),
        ("", "true", 0, "[a]", "[]", "1 user"),
        ("", "true", 0, "[a]", "[x, y]", "1 user + 2 groups"),
        ("", "false", 50, "[a]", "[x]", "no user"),
        ("    pin: 'off'\n", "true", 50, "[a]", "[x]", 'no user (pin "off")'),
        ("    pin: 'on'\n", "false", 0, "[a]", "[x]", 'all users (pin "on")'),
    ],
)
def test_list_says_whom_a_flag_is_on_for(
    path: Path, pin: str, enabled: str, percent: int, users: str, groups: str, expected: str
) -> None:
    """The column tells the outcome, not the keys."""
    text = FILE.replace("percent: 10\n", f"percent: {percent}\n{pin}    users: {{allow: {users}}}\n")
    path.write_text(text.replace("enabled: true", f"enabled: {enabled}").replace("[beta, staff]", groups))
    row = next(line for line in output("list").splitlines() if line.startswith(GROQ))
    assert re.split(" {2,}", row)[1] == expected


@pytest.mark.parametrize(
    ("arguments", "on", "why"),
    [
        ([KIMI, "--user", "1"], False, "enabled: false"),
        ([KIMI, "--user", "mallory"], False, "user denied"),
        ([GROQ], False, "percent: 10, and no user is given"),
        ([GROQ, "--group", "x", "--group", "beta"], True, "group beta allowed"),
        ([GROQ, "--user", "user-1"], False, "outside percent: 10"),
    ],
)
def test_evaluate(arguments: list[str], on: bool, why: str) -> None:
    """The decision and its reason, as the router makes it."""
    assert output("evaluate", *arguments) == f"{'on' if on else 'off'}: {why}\n"
    told = answer("evaluate", *arguments)
    assert (told["flag"], told["on"], told["why"]) == (arguments[0], on, why)


# ---------------------------------------------------------------------------------------------------------- change


def test_enable_starts_at_the_first_step(path: Path) -> None:
    """Without --percent a flag starts where its ladder starts; the comment stays."""
    assert output("enable", KIMI, "--reason", "60 of 60\npassed") == f"{KIMI}: on for 10 % - 1 denied (serial 42)\n"
    assert changed(path) == textwrap.dedent("""\
        serial: 42
            percent: 10                # of users
            reason: 60 of 60 passed
            since: "2026-11-23T05:17:40Z\"""")
    assert Flags.load(path).flag(KIMI).enabled


def test_enable_for_named_users_only(path: Path) -> None:
    """With --user alone nobody else gets it; a user who was denied is denied no more."""
    assert output("enable", KIMI, "--user", "alice", "--user", "mallory").startswith(f"{KIMI}: on for 2 users (")
    flag = Flags.load(path).flag(KIMI)
    assert (flag.percent, set(flag.users.allow), set(flag.users.deny)) == (0, {"alice", "mallory"}, set())


def test_enable_keeps_the_share(path: Path) -> None:
    """A flag that has a share keeps it; nothing to change writes nothing."""
    assert output("enable", GROQ) == f"{GROQ}: on for 10 % + 2 groups (nothing to change)\n"
    assert path.read_text() == FILE


def test_enabling_again_says_which_step_is_next_and_writes_nothing(path: Path) -> None:
    """The serial is raised only if a decision changes; a new reason alone is `set`'s."""
    output("enable", KIMI)
    once = path.read_text()
    result = run("enable", KIMI, "--reason", "again")
    assert (result.exit_code, result.stdout) == (0, f"{KIMI}: on for 10 % - 1 denied (nothing to change)\n")
    assert result.stderr == (
        "note: --percent 50 is the next step of its ladder\n"
        f"note: to change the reason: kimiprobe flags set {KIMI} --reason ...\n"
    )
    assert path.read_text() == once


def test_enable_without_a_reason_takes_the_former_one_out(path: Path) -> None:
    """Why it was off says nothing of why it is on."""
    output("disable", KIMI, "--reason", "outage of Monday")
    output("enable", KIMI)
    assert Flags.load(path).flag(KIMI).enabled
    assert "outage of Monday" not in path.read_text()


def test_a_jump_is_made_and_told(path: Path) -> None:
    """A human may skip steps; what the reviewer will see is told on stderr."""
    result = run("enable", KIMI, "--percent", "100")
    assert result.exit_code == 0
    assert result.stderr == f"note: {KIMI}.percent: jumps from 0 to 100; the next step is 10\n"
    assert Flags.load(path).flag(KIMI).percent == 100


def test_disable(path: Path) -> None:
    """Off for everybody; the next start is at the first step again."""
    assert output("disable", GROQ, "--reason", "leaks tokens") == f"{GROQ}: on for no user (serial 42)\n"
    flag = Flags.load(path).flag(GROQ)
    assert (flag.enabled, flag.percent, flag.reason) == (False, 0, "leaks tokens")
    assert flag.since == dt.datetime(2026, 11, 23, 5, 17, 40, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--percent", "50"], {"percent": 50}),
        (["--allow", "carol", "--deny", "dave"], {"users": ({"carol"}, {"dave"})}),
        (["--deny-group", "beta", "--remove-group", "staff"], {"groups": (set(), {"beta"})}),
        (["--allow-group", "x"], {"groups": ({"beta", "staff", "x"}, set())}),
        (["--pin", "off"], {"pin": "off"}),
        (["--no-accept-rescued"], {"accept_rescued": False}),
        (["--rescue", "native"], {"rescue": "native"}),
        (["--reason", "because"], {"reason": "because"}),
    ],
)
def test_set(path: Path, arguments: list[str], expected: dict[str, Any]) -> None:
    """What is named changes, what is not named stays."""
    before = Flags.load(path).flag(GROQ)
    output("set", GROQ, *arguments)
    after = Flags.load(path).flag(GROQ)
    for key in ("enabled", "percent", "users", "groups", "pin", "accept_rescued", "rescue", "reason", "controls"):
        now, was = getattr(after, key), getattr(before, key)
        if key in {"users", "groups"} and key in expected:
            assert (now.allow, now.deny) == expected[key]
        else:
            assert now == expected.get(key, was)
    assert (after.since == before.since) == ("percent" not in expected)


def test_a_pin_comes_and_goes(path: Path) -> None:
    """--no-pin takes the line away and leaves the rest as it was."""
    output("set", GROQ, "--pin", "on")
    assert '    pin: "on"\n' in path.read_text()
    output("set", GROQ, "--no-pin")
    assert path.read_text() == FILE.replace("serial: 41", "serial: 43")


def test_every_text_of_a_flag_can_be_set(path: Path) -> None:
    """The options follow from the fields of `Flag`."""
    output("set", GROQ, "--owner", "@new", "--description", "Kimi K2\nat Groq.")
    flag = Flags.load(path).flag(GROQ)
    assert (flag.owner, flag.description) == ("@new", "Kimi K2 at Groq.")


def test_delete(path: Path) -> None:
    """The flag goes with its own comments; those of the others stay."""
    path.write_text(FILE.replace("  groq_kimi", "  # Cheap.\n  groq_kimi").replace("...", "    # last word\n..."))
    assert output("delete", KIMI, "--reason", "not used") == f"{KIMI}: deleted (serial 42): not used\n"
    assert path.read_text() == (
        FILE[: FILE.index("  # Off until")].replace("41", "42")
        + "  # Cheap.\n"
        + FILE[FILE.index("  groq_kimi") :].replace("...", "    # last word\n...")
    )


def test_the_last_flag_is_deleted_with_the_comments_in_it(path: Path) -> None:
    """A deeper comment below the last value belongs to the flag."""
    path.write_text(FILE.replace("...", "    # to be removed in March\n..."))
    output("delete", GROQ, "--reason", "retired")
    assert path.read_text() == FILE[: FILE.index("  groq_kimi")].replace("41", "42") + "...\n"


def test_a_flag_that_is_named_elsewhere_is_not_deleted(path: Path) -> None:
    """A comment or reason that points at nothing would mislead its reviewer."""
    text = FILE.replace("reason: 30 of 30 passed", f"reason: as {KIMI}")
    path.write_text(text)
    result = run("delete", KIMI, "--reason", "not used")
    assert result.exit_code == 2
    assert result.stderr.endswith(f"flag '{KIMI}' is named elsewhere, change that first: 'reason: as {KIMI}'\n")
    assert path.read_text() == text


def test_the_only_flag_is_not_deleted(path: Path) -> None:
    """A file without flags would be refused by every router."""
    output("delete", KIMI, "--reason", "not used")
    result = run("delete", GROQ, "--reason", "not used")
    assert (result.exit_code, "is the only one" in result.stderr) == (2, True)


def test_remove_user(path: Path) -> None:
    """--remove-user takes a user off both lists."""
    output("set", KIMI, "--remove-user", "mallory")
    assert Flags.load(path).flag(KIMI).users.deny == frozenset()


def test_create(path: Path) -> None:
    """A new flag is off, stands last, and has an owner and a description without being asked."""
    assert output("create", "new", "--controls", "together/*", "--controls", "replicate/*") == (
        "new: on for no user (serial 42)\n"
    )
    assert path.read_text() == FILE.replace("serial: 41", "serial: 42").replace(
        "...\n",
        '  new:\n    description: "Routes to together/*, replicate/*."\n    owner: "@kimi-routing"\n'
        '    controls: ["together/*", "replicate/*"]\n    enabled: false\n    percent: 0\n...\n',
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nope"], f"flags.yaml: no flag 'nope'; available: {KIMI}, {GROQ}"),
        (["enable", "nope"], f"flags.yaml: no flag 'nope'; available: {KIMI}, {GROQ}"),
        (["create", KIMI, "--controls", "a/*"], f"flags.yaml: flag '{KIMI}' exists already"),
        (["create", "Bad Name", "--controls", "groq/*"], "Error: 'Bad Name' is not a flag name: a to z first"),
        (["create", "x"], "Missing option '--controls'"),
        (
            ["create", "x", "--controls", "groqq/*"],
            "groqq/* matches no endpoint of the catalogue; did you mean groq/*?",
        ),
        (["delete", "nope", "--reason", "r"], f"flags.yaml: no flag 'nope'; available: {KIMI}, {GROQ}"),
        (["delete", KIMI], "Missing option '--reason'"),
        (["dlete", KIMI], "No such command 'dlete'. Did you mean delete?"),
        (["list", "--jsn"], "Did you mean"),
        (["enable", KIMI, "--percent", "101"], "101 is not in the range 0<=x<=100"),
        (["set", KIMI], "nothing to set; see --help"),
        (["set", KIMI, "--pin", "on", "--no-pin"], "--pin and --no-pin exclude each other"),
        (["set", KIMI, "--allow", "a", "--deny", "a"], "a: allow or deny, not both"),
        (["list", "--flags", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["list", "--flags", "."], ".: is a directory, not a file"),
        (["lint", "--base", "nowhere.yaml"], "nowhere.yaml: no such file"),
    ],
)
def test_mistakes_end_with_2_and_one_line(path: Path, arguments: list[str], message: str) -> None:
    """A mistake is one clear line on stderr, exit code 2, no traceback, and an unchanged file."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr.splitlines()[-1]
    assert path.read_text() == FILE


def test_no_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no flags.yaml the command says how to name one."""
    monkeypatch.chdir("/")
    result = run("list")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: flags.yaml: none found here or above; name one with --flags or KIMIPROBE_FLAGS\n",
    )
    monkeypatch.setenv("KIMIPROBE_FLAGS", str(tmp_path / "flags.yaml"))
    assert run("list").exit_code == 0


def test_a_hostile_name_is_shown_harmless(path: Path) -> None:
    """What stands in the file cannot steer the terminal."""
    path.write_text(FILE.replace("Kimi at Groq.", '"Kimi\\x1b[31m\\nat Groq"'))
    assert "\x1b" not in output("show", GROQ)


# ------------------------------------------------------------------------------------------------------------ lint


def test_lint_of_a_good_file(path: Path) -> None:
    """Exit code 0."""
    assert output_any("lint") == f"{path}: no errors, no warnings\n"


def test_lint_tells_all_and_ends_with_1(path: Path) -> None:
    """Findings as `file:line:column`, which editors and CI can jump to."""
    path.write_text(FILE.replace("percent: 10\n", "percent: 11\n").replace("[beta, staff]", "[beta, staff, x]"))
    path.write_text(path.read_text().replace("deny: []}", "deny: [x]}"))
    result = run("lint")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{path}:21:14: warning: flags.{GROQ}.percent: 11 is not a step of the ladder: 0, 10, 50, 100",
        f"{path}:22:13: error: flags.{GROQ}.groups: x is in allow and in deny; deny wins",
        f"{path}: 1 error, 1 warning",
    ]


def test_lint_against_a_base(path: Path, tmp_path: Path) -> None:
    """With --base, steps and serial are judged, and JSON says the same."""
    base = tmp_path / "base.yaml"
    base.write_text(FILE)
    path.write_text(FILE.replace("percent: 10\n", "percent: 100\n"))
    result = run("lint", "--base", str(base), "--json")
    assert result.exit_code == 1
    assert [(one["line"], one["level"], one["path"]) for one in json.loads(result.stdout)["findings"]] == [
        (3, "error", "serial"),
        (21, "error", f"flags.{GROQ}.percent"),
    ]


def test_lint_against_a_broken_base(path: Path, tmp_path: Path) -> None:
    """The change that mends a broken file can pass; what is not judged is told."""
    base = tmp_path / "base.yaml"
    base.write_text(FILE[:-4])
    result = run("lint", "--base", str(base))
    assert result.exit_code == 0
    assert result.stderr.startswith(f"steps and serial are not checked, because the base is wrong: {base}:")
    assert result.stdout == f"{path}: no errors, no warnings\n"
