"""flags.yaml: which values are read, which users a flag is on for, which flag controls an endpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flags_files import FLAG, HEAD, RICH, ROOT, one_flag, refusal
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import FlagsError
from routing.flags.model import Flags, glob_pattern
from routing.flags.source import find_flags
from routing.flags.validation import overlap

ENDPOINT = "openrouter/moonshotai/kimi-k2.6+novita/fp8"


# --------------------------------------------------------------------------------------------------- what is read


def test_every_field_is_read() -> None:
    """A file that sets every key gives those values."""
    flags = Flags.loads(RICH)
    flag = flags.flag(FLAG)
    assert (flags.serial, flags.environment, flags.default_model) == (41, "production", "kimi-k2.6")
    assert flags.fallback_models == ("kimi-k2.5", "kimi-k3")
    assert (flag.enabled, flag.percent, flag.accept_rescued, flag.pin) == (True, 50, True, None)
    assert flag.users.deny == {"mallory", "bob"}
    assert flag.groups.allow == {"beta"}
    assert flag.since is not None
    assert flag.since.isoformat() == "2026-11-20T06:00:00+00:00"
    assert flag.evidence is not None
    assert (flag.evidence.result, flag.evidence.judged, flag.evidence.passed) == ("results/latest.json", 30, 30)
    assert flags.flag("groq_kimi_tool_calling").pin == "off"


def test_the_projects_own_file_and_the_bootstrap_turn_nothing_on() -> None:
    """No flag is on before a human or the evidence turns it on."""
    for flags in (Flags.load(ROOT / "flags.yaml"), Flags.bootstrap()):
        assert not any(flags.enabled(name, user="anybody") for name in flags.flags)
        assert flags.flag_for(ENDPOINT) == flags.flag(FLAG)


def test_an_unknown_flag_is_an_error_that_lists_the_names() -> None:
    """A misspelt name in calling code must not silently read as off."""
    with pytest.raises(FlagsError, match="no flag 'openruter'; available: openrouter_kimi_tool_calling, groq_kimi"):
        Flags.loads(RICH).enabled("openruter")


def test_without_a_file_unknown_flags_are_off() -> None:
    """The bootstrap flags replace a file that cannot be read: asking for one of its flags must not stop a service."""
    decision = Flags.bootstrap().evaluate("groq_kimi_tool_calling", user="1")
    assert (decision.on, decision.why) == (False, "no flags file is in use")
    assert Flags.bootstrap().enabled(FLAG, groups=None) is False


def test_flags_are_frozen() -> None:
    """Loaded flags cannot be changed while a router uses them."""
    flags = Flags.loads(RICH)
    with pytest.raises(TypeError):
        flags.flags["x"] = flags.flag(FLAG)  # type: ignore[index]


# ---------------------------------------------------------------------------------------------- order of decision


@pytest.mark.parametrize(
    ("body", "enabled", "percent", "user", "groups", "on", "why"),
    [
        ("", True, 100, "carol", (), True, "percent: 100"),
        ("", True, 0, "carol", (), False, "percent: 0"),
        ("", False, 100, "carol", (), False, "enabled: false"),
        ("", True, 100, None, (), True, "percent: 100"),
        ("", True, 100, "", (), True, "percent: 100"),
        ("", True, 99, None, (), False, "percent: 99, and no user is given"),
        ("", True, 99, "", (), False, "percent: 99, and no user is given"),
        ("    users: {allow: [carol]}\n", True, 0, "carol", (), True, "user allowed"),
        ("    users: {allow: [carol]}\n", False, 0, "carol", (), False, "enabled: false"),
        ("    users: {deny: [carol]}\n", True, 100, "carol", (), False, "user denied"),
        ("    users: {allow: [carol], deny: [carol]}\n", True, 100, "carol", (), False, "user denied"),
        ("    groups: {allow: [beta]}\n", True, 0, "carol", ("beta",), True, "group beta allowed"),
        ("    groups: {allow: [beta]}\n", True, 0, None, ("beta",), True, "group beta allowed"),
        ("    groups: {allow: [beta]}\n", True, 0, "carol", (), False, "percent: 0"),
        ("    groups: {deny: [eu]}\n", True, 100, "carol", ("beta", "eu"), False, "group eu denied"),
        (
            "    users: {allow: [carol]}\n    groups: {deny: [eu]}\n",
            True,
            100,
            "carol",
            ("eu",),
            False,
            "group eu denied",
        ),
        ("    users: {deny: [carol]}\n    groups: {allow: [b]}\n", True, 100, "carol", ("b",), False, "user denied"),
        ('    pin: "off"\n', True, 100, "carol", (), False, 'pin "off"'),
        ('    pin: "off"\n    users: {allow: [carol]}\n', True, 100, "carol", (), False, 'pin "off"'),
        ('    pin: "on"\n', False, 0, "carol", (), True, 'pin "on"'),
        ('    pin: "on"\n', False, 0, None, (), True, 'pin "on"'),
        ('    pin: "on"\n    users: {deny: [carol]}\n', True, 100, "carol", (), False, "user denied"),
        ('    pin: "on"\n    groups: {deny: [eu]}\n', True, 100, "carol", ("eu",), False, "group eu denied"),
        ("    pin: on\n", False, 0, "carol", (), True, 'pin "on"'),
    ],
)
def test_order_of_decision(
    body: str, enabled: bool, percent: int, user: str | None, groups: tuple[str, ...], on: bool, why: str
) -> None:
    """Order: pin off, deny, pin on, enabled: false, allow, percent.

    The first rule that applies decides and is the reason.
    """
    flags = Flags.loads(one_flag(body, enabled=enabled, percent=percent))
    decision = flags.evaluate(FLAG, user, groups)
    assert (decision.on, decision.why) == (on, why)
    assert flags.enabled(FLAG, user=user, groups=groups) is on


def test_percent_follows_the_bucket() -> None:
    """A user's position (tests/vectors/bucketing.json: user "1" at 33 %) decides, and is the same each time."""
    vectors = json.loads((ROOT / "tests" / "vectors" / "bucketing.json").read_text("utf-8"))["vectors"]
    place = next(row["position"] for row in vectors if (row["flag"], row["user"]) == (FLAG, "1"))
    bucket = place * 100 >> 32
    outside = Flags.loads(one_flag(percent=bucket)).evaluate(FLAG, "1")
    inside = Flags.loads(one_flag(percent=bucket + 1)).evaluate(FLAG, "1")
    assert (outside.on, outside.why) == (False, f"outside percent: {bucket}")
    assert (inside.on, inside.why) == (True, f"inside percent: {bucket + 1}")


def test_an_id_given_as_a_number_meets_its_deny_entry() -> None:
    """A caller who passes 123 for "123" is denied too."""
    flags = Flags.loads(one_flag('    users: {deny: ["123"]}\n'))
    assert not flags.enabled(FLAG, user=123)  # type: ignore[arg-type]


def test_one_group_given_as_a_string_is_one_group() -> None:
    """A string instead of a list is one group, not one group for each letter."""
    assert not Flags.loads(one_flag("    groups: {deny: [eu]}\n")).enabled(FLAG, groups="eu")


def test_why_names_no_user() -> None:
    """Reasons go to logs; user ids stay out of them."""
    flags = Flags.loads(one_flag("    users: {deny: [carol@example.com]}\n"))
    assert "carol" not in flags.evaluate(FLAG, "carol@example.com").why


# ---------------------------------------------------------------------------------------- which flag controls what


def two_flags(one: str, other: str) -> bytes:
    rows = "".join(
        f'  {name}: {{description: d, owner: o, controls: ["{glob}"], enabled: true, percent: 0}}\n'
        for name, glob in (("one", one), ("other", other))
    )
    return f"{HEAD}flags:\n{rows}...\n".encode()


@pytest.mark.parametrize(
    ("one", "other", "endpoint", "expected"),
    [
        ("openrouter/*", "openrouter/moonshotai/*", ENDPOINT, "other"),
        ("openrouter/moonshotai/*", "openrouter/*", ENDPOINT, "one"),
        ("openrouter/*", "*/kimi-k2.6+novita/fp8", ENDPOINT, "other"),
        (ENDPOINT, "openrouter/moonshotai/kimi-k2.6+novita/fp8*", ENDPOINT, "one"),
        ("groq/*", "together/*", ENDPOINT, None),
        ("openrouter/moonshotai/kimi-k2.6", "groq/*", ENDPOINT, None),
        ("openrouter/moonshotai/KIMI-*", "groq/*", ENDPOINT, None),
        ("*", "groq/*", ENDPOINT, "one"),
    ],
)
def test_the_most_specific_glob_controls(one: str, other: str, endpoint: str, expected: str | None) -> None:
    """A glob without `*` first, else the one with more letters; `*` spans `/` and `+`; case counts."""
    flag = Flags.loads(two_flags(one, other)).flag_for(endpoint)
    assert (flag.name if flag else None) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("openrouter/*", "openrouter/*"),
        ("a/kimi*", "*a/kimi"),
        ("a/b*c", "a/*bc"),
        (ENDPOINT, ENDPOINT),
        ("a/*/b", "a/**/b"),
    ],
)
def test_two_equally_specific_claims_are_an_error_that_names_both(one: str, other: str) -> None:
    """Which flag decides must never depend on their order."""
    message = refusal(two_flags(one, other))
    assert message.startswith("f:8:")
    assert f'"{one}" of one' in message
    assert f'"{other}" of other' in message


GLOBS = st.text(alphabet="ab*", min_size=1, max_size=5)


@given(GLOBS, GLOBS, st.lists(st.text(alphabet="ab", max_size=10), max_size=30))
def test_overlap_is_never_missed(one: str, other: str, endpoints: list[str]) -> None:
    """If any text matches both globs, they are said to overlap."""
    if ("*" in one) == ("*" in other) and any(
        glob_pattern(one).match(text) and glob_pattern(other).match(text) for text in endpoints
    ):
        assert overlap(one, other)


@given(GLOBS, GLOBS)
def test_overlap_is_never_imagined(one: str, other: str) -> None:
    """If two globs are said to overlap, there is a text that matches both."""
    if ("*" in one) != ("*" in other) or not overlap(one, other):
        return
    if "*" not in one or "*" not in other:
        witness = one
    else:
        heads = max(one.partition("*")[0], other.partition("*")[0], key=len)
        tails = max(one.rpartition("*")[2], other.rpartition("*")[2], key=len)
        witness = heads + one.replace("*", "") + other.replace("*", "") + tails
    assert glob_pattern(one).match(witness)
    assert glob_pattern(other).match(witness)


# ------------------------------------------------------------------------------------------------------ where it is


def test_the_file_is_found_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest flags.yaml above the working folder is used."""
    monkeypatch.delenv("KIMIPROBE_FLAGS", raising=False)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "flags.yaml").write_bytes(RICH)
    monkeypatch.chdir(deep)
    assert find_flags() == tmp_path / "flags.yaml"
    assert find_flags(tmp_path) == tmp_path / "flags.yaml"
    (tmp_path / "a" / "flags.yaml").mkdir()
    assert find_flags() == tmp_path / "a" / "flags.yaml"


def test_the_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KIMIPROBE_FLAGS has precedence over any file that is found, even if its own file does not exist."""
    monkeypatch.setenv("KIMIPROBE_FLAGS", str(tmp_path / "elsewhere.yaml"))
    assert find_flags(ROOT) == tmp_path / "elsewhere.yaml"


def test_a_deleted_working_folder_holds_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose folder is gone still starts."""
    monkeypatch.delenv("KIMIPROBE_FLAGS", raising=False)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert find_flags() is None
