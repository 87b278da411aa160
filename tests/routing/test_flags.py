"""flags.yaml: what is refused, who gets a flag, which flag controls an endpoint."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import strict_yaml
from routing.errors import ConfigError, FlagsError
from routing.flags import Flags, find_flags
from routing.flags_model import glob_pattern
from routing.flags_schema import overlap, problems, schema

ROOT = Path(__file__).resolve().parents[2]
FLAG = "openrouter_kimi_tool_calling"
ENDPOINT = "openrouter/moonshotai/kimi-k2.6+novita/fp8"

HEAD = """\
version: 1
serial: 41
environment: production
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
"""
RICH = (
    "# yaml-language-server: $schema=./routing/flags.schema.json\n"
    + HEAD
    + """\
fallback_models: [kimi-k2.5, kimi-k3]   # in this order
flags:
  # the cheapest upstream
  openrouter_kimi_tool_calling:
    description: Kimi through OpenRouter.
    owner: "@kimi-routing"
    controls: ["openrouter/moonshotai/kimi-*"]
    enabled: true
    percent: 50
    users:
      allow: [alice]
      deny:
        - mallory   # ticket 88
        - bob
    groups: {allow: [beta], deny: [eu-only]}
    accept_rescued: true
    reason: 30 of 30 passed
    since: 2026-11-20T06:00:00Z
    ladder: [10, 50, 100]
    evidence: {result: results/latest.json, judged: 30, passed: 30}
  groq_kimi_tool_calling:
    description: Kimi at Groq.
    owner: "@kimi-routing"
    controls:
      - groq/moonshotai/kimi-*
    enabled: false
    percent: 0
    pin: "off"
...
"""
).encode()


def one_flag(body: str = "", *, enabled: bool = True, percent: int = 100, head: str = HEAD) -> bytes:
    """A file with one flag; `body` are further lines of it, indented by four."""
    return (
        f"{head}flags:\n  {FLAG}:\n    description: d\n    owner: o\n    controls: [openrouter/moonshotai/kimi-*]\n"
        f"    enabled: {str(enabled).lower()}\n    percent: {percent}\n{body}...\n"
    ).encode()


def refusal(data: bytes) -> str:
    """The message with which a file named `f` is refused."""
    with pytest.raises(FlagsError) as caught:
        Flags.loads(data, "f")
    return str(caught.value)


# --------------------------------------------------------------------------------------------------- what is read


def test_every_field_is_read() -> None:
    """A file with every key says what it says."""
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
    """Nothing is on before a human or the evidence says so."""
    for flags in (Flags.load(ROOT / "flags.yaml"), Flags.bootstrap()):
        assert not any(flags.enabled(name, user="anybody") for name in flags.flags)
        assert flags.flag_for(ENDPOINT) == flags.flag(FLAG)


def test_an_unknown_flag_is_an_error_that_lists_the_names() -> None:
    """A misspelt name in a caller must not read as off for ever."""
    with pytest.raises(FlagsError, match="no flag 'openruter'; there are: openrouter_kimi_tool_calling, groq_kimi"):
        Flags.loads(RICH).enabled("openruter")


def test_without_a_file_unknown_flags_are_off() -> None:
    """The bootstrap flags stand for a file that cannot be read: asking for one of its flags must not stop a service."""
    decision = Flags.bootstrap().evaluate("groq_kimi_tool_calling", user="1")
    assert (decision.on, decision.why) == (False, "no flags file is in use")
    assert Flags.bootstrap().enabled(FLAG, groups=None) is False


def test_flags_are_frozen() -> None:
    """What was read cannot be changed behind a running router's back."""
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
    """Pin off, deny, pin on, enabled: false, allow, percent: the first that applies decides, and says so."""
    flags = Flags.loads(one_flag(body, enabled=enabled, percent=percent))
    decision = flags.evaluate(FLAG, user, groups)
    assert (decision.on, decision.why) == (on, why)
    assert flags.enabled(FLAG, user=user, groups=groups) is on


def test_percent_follows_the_bucket() -> None:
    """A user's place (tests/vectors/bucketing.json: user "1" at 33 %) decides, each time alike."""
    vectors = json.loads((ROOT / "tests" / "vectors" / "bucketing.json").read_text("utf-8"))["vectors"]
    place = next(row["position"] for row in vectors if (row["flag"], row["user"]) == (FLAG, "1"))
    bucket = place * 100 >> 32
    outside = Flags.loads(one_flag(percent=bucket)).evaluate(FLAG, "1")
    inside = Flags.loads(one_flag(percent=bucket + 1)).evaluate(FLAG, "1")
    assert (outside.on, outside.why) == (False, f"outside percent: {bucket}")
    assert (inside.on, inside.why) == (True, f"inside percent: {bucket + 1}")


def test_an_id_given_as_a_number_meets_its_deny_entry() -> None:
    """A caller who passes 123 for "123" is denied all the same."""
    flags = Flags.loads(one_flag('    users: {deny: ["123"]}\n'))
    assert not flags.enabled(FLAG, user=123)  # type: ignore[arg-type]


def test_one_group_given_as_a_string_is_one_group() -> None:
    """A caller who forgets the list is not evaluated letter by letter."""
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


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("percent: 50", "percent: 101", f"f:15:14: flags.{FLAG}.percent: 101 is more than the maximum of 100"),
        ("percent: 50", "percent: -1", f"f:15:14: flags.{FLAG}.percent: -1 is less than the minimum of 0"),
        ("percent: 50", 'percent: "50"', f'f:15:14: flags.{FLAG}.percent: must be a whole number, not "50"'),
        (
            "percent: 50",
            "percent: 50.0",
            f"f:15:14: flags.{FLAG}.percent: must be a whole number, without point or exponent",
        ),
        (
            "percent: 50",
            "percent: 5e1",
            f"f:15:14: flags.{FLAG}.percent: must be a whole number, without point or exponent",
        ),
        ("percent: 50", "percent:", f"f:15:13: flags.{FLAG}.percent: must be a whole number, not null"),
        ("enabled: true", "enabled: on", f'f:14:14: flags.{FLAG}.enabled: must be true or false, not "on"'),
        ("enabled: true", "enabled: 1", f"f:14:14: flags.{FLAG}.enabled: must be true or false, not 1"),
        ("enabled: true", "enabeld: true", f'f:11:5: flags.{FLAG}: "enabled" is a required property'),
        ("reason:", "raeson:", f"f:23:13: flags.{FLAG}.raeson: unknown key; did you mean reason?"),
        ("[alice]", "[alice, alice]", f'f:17:14: flags.{FLAG}.users.allow: holds "alice" twice'),
        ("[alice]", "[123]", f"f:17:15: flags.{FLAG}.users.allow[0]: must be a string, not 123: put it in quotes"),
        ("[alice]", '["a\\nb"]', f'f:17:15: flags.{FLAG}.users.allow[0]: "a\\nb" is not an id of 1 to 200 letters'),
        ('"off"', '"paused"', 'flags.groq_kimi_tool_calling.pin: must be "on" or "off", not "paused"'),
        ("kimi-*\n", "kimi *\n", 'controls[0]: "groq/moonshotai/kimi *" is not an endpoint glob such as'),
        ("[10, 50, 100]", "[50, 10, 100]", f"f:25:13: flags.{FLAG}.ladder: must rise and end at 100"),
        ("[10, 50, 100]", "[10, 50]", f"f:25:13: flags.{FLAG}.ladder: must rise and end at 100"),
        ("passed: 30}", "passed: 31}", "evidence.passed: 31 passed of 30 judged"),
        ("2026-11-20T06", "2026-13-20T06", f'f:24:12: flags.{FLAG}.since: "2026-13-20T06:00:00Z" is no date'),
        ("2026-11-20T06:00:00Z", "2026-11-20", f'flags.{FLAG}.since: "2026-11-20" is not a UTC time such as'),
        ("  groq_kimi", "  Groq_kimi", "flags.Groq_kimi_tool_calling: is not a flag name"),
        ("serial: 41", "serial: 41\nrollback_from: 41", "rollback_from: must be more than the serial, 41"),
        ("serial: 41", "serial: 41\nserial: 42", "f:4:1: duplicate key 'serial'"),
        ("environment: production", "environment: prod", 'environment: must be "production" or "test", not "prod"'),
        ("murmur3-cbor-v1", "crc32", 'bucketing: must be "murmur3-cbor-v1", not "crc32"'),
        ("serial: 41\n", "", 'f:2:1: "serial" is a required property'),
        ("version: 1", "version: 0", "f:2:10: version: must be 1, not 0"),
        ("@kimi-routing", "", f"f:12:12: flags.{FLAG}.owner: must not be empty"),
        ("users:\n", "users: &u\n", "anchors are not read here"),
    ],
)
def test_a_wrong_file_is_refused_at_its_line(old: str, new: str, message: str) -> None:
    """The message names file, line, column, key and what is wrong."""
    assert old.encode() in RICH
    told = refusal(RICH.replace(old.encode(), new.encode(), 1))
    assert message in told
    assert told.startswith("f:")


def test_all_problems_are_counted() -> None:
    """The first problem is told in full, the others are counted."""
    data = RICH.replace(b"percent: 50", b"percent: 101").replace(b"enabled: false", b"enabled: off")
    assert refusal(data).endswith("(and 1 more: `kimiprobe flags lint` tells)")
    assert [problem.line for problem in problems(strict_yaml.loads(data, where="f"))] == [15, 32]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the last line is not the document end marker"),
        (b"...\n", "is not YAML"),
        (b"null\n...\n", "must be a mapping, not null"),
        (b"some text\n...\n", 'must be a mapping, not "some text"'),
        (b"[1, 2]\n...\n", "must be a mapping, not [1, 2]"),
        (b"{}\n...\n", "is a required property"),
        (RICH + RICH, "did not find expected <document start>"),
        (RICH + b"---\n" + RICH, "a second document"),
        ((HEAD + "flags: {}\n...\n").encode(), "f:6:8: flags: must not be empty"),
        ((HEAD + "flags:\n...\n").encode(), "flags: must be a mapping, not null"),
    ],
)
def test_flg_04_what_holds_no_flags(data: bytes, message: str) -> None:
    """FLG-04: empty, null, text, list and several documents are refused."""
    assert message in refusal(data)


def test_flg_05_every_prefix_is_refused() -> None:
    """FLG-05: cut at any byte, the file is refused; a shorter file is never taken for the whole."""
    Flags.loads(RICH)
    for size in range(len(RICH)):
        with pytest.raises(FlagsError):
            Flags.loads(RICH[:size])


def test_flg_08_a_newer_version_says_upgrade() -> None:
    """FLG-08: a file of a later format is refused by name, not by its unknown keys."""
    data = RICH.replace(b"version: 1", b"version: 99\nnew_key: true")
    assert refusal(data) == "f:2:10: version 99 is newer than 1, which this release reads: upgrade pytest-kimiprobe"


def test_flg_12_a_recursive_alias_is_refused() -> None:
    """FLG-12: anchors and aliases are refused where they stand."""
    assert "anchors are not read here" in refusal(b"a: &a {b: *a}\n...\n")


@pytest.mark.parametrize("data", [b"[" * 2000 + b"]" * 2000 + b"\n...\n", b"a: " * 2000 + b"\n...\n"])
def test_flg_13_deep_nesting_is_refused(data: bytes) -> None:
    """FLG-13: depth has a cap, and no validator is asked beyond it."""
    refusal(data)


def test_flg_13_a_large_file_is_refused(tmp_path: Path) -> None:
    """FLG-13: of 10 MB nothing is parsed."""
    path = tmp_path / "flags.yaml"
    path.write_bytes(RICH.replace(b"...\n", b"#" * 10_000_000 + b"\n...\n"))
    with pytest.raises(FlagsError, match="is larger than 1048576 bytes"):
        Flags.load(path)


@pytest.mark.parametrize(
    "flags",
    [
        ",".join(f"A{number}: {{x: 1}}" for number in range(20_000)),
        "a: {" + ",".join(f"k{number}: 1" for number in range(20_000)) + "}",
        "a: {controls: [" + ",".join(["1.5"] * 60_000) + "]}",
    ],
    ids=["flags", "keys", "values"],
)
def test_flg_13_a_file_of_thousands_of_mistakes_is_refused_soon(flags: str) -> None:
    """FLG-13: the validator is not asked to report more mistakes than anybody can read."""
    assert "more than" in refusal(f"{HEAD}flags: {{{flags}}}\n...\n".encode())


def test_lists_have_a_length() -> None:
    """More globs or users than anybody reviews are refused; how many globs all flags may have bounds the comparison."""
    assert "users.allow: is longer than 10000" in refusal(
        one_flag(f"    users: {{allow: [{', '.join(f'u{number}' for number in range(10_001))}]}}\n")
    )
    rows = "".join(
        f"  f{flag}: {{description: d, owner: o, enabled: true, percent: 0, "
        f"controls: [{', '.join(f'p/{flag}-{glob}' for glob in range(20))}]}}\n"
        for flag in range(51)
    )
    assert "more than 1000 globs in all flags" in refusal(f"{HEAD}flags:\n{rows}...\n".encode())


@pytest.mark.parametrize("kind", ["directory", "fifo", "device", "missing", "dangling link"])
def test_flg_15_what_is_not_a_file_is_refused(kind: str, tmp_path: Path) -> None:
    """FLG-15: nothing but a regular file is opened, so nothing can hang."""
    path = tmp_path / "flags.yaml"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    expected = {"directory": "is a directory", "fifo": "not a regular file", "device": "not a regular file"}
    with pytest.raises(FlagsError, match=expected.get(kind, "no such file")) as caught:
        Flags.load(path)
    assert caught.value.where == str(path)


def test_flg_15_permission_denied_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLG-15: a file that may not be read is a FlagsError."""
    path = tmp_path / "flags.yaml"
    path.write_bytes(RICH)

    def refuse(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)  # chmod does not stop root, and tests may run as root
    with pytest.raises(FlagsError, match="permission denied"):
        Flags.load(path)


def test_flg_16_bom_and_crlf_are_accepted() -> None:
    """FLG-16: files saved on Windows say the same."""
    assert Flags.loads(b"\xef\xbb\xbf" + RICH.replace(b"\n", b"\r\n")) == Flags.loads(RICH)


@pytest.mark.parametrize(("old", "new"), [(b"    percent", b"\tpercent"), (b"Kimi", b"K\xefmi")])
def test_flg_16_tabs_and_latin_1_are_refused_with_the_line(old: bytes, new: bytes) -> None:
    """FLG-16: tabs and other encodings are refused where they stand."""
    line = RICH[: RICH.index(old)].count(b"\n") + 1
    assert refusal(RICH.replace(old, new, 1)).startswith(f"f:{line}:")


# --------------------------------------------------------------------------------------------- one byte is changed


def mutants(count: int) -> Iterator[bytes]:
    """`RICH` with one byte replaced, removed or doubled; the same ones each time."""
    dice = random.Random(20261123)
    for _ in range(count):
        place = dice.randrange(len(RICH))
        middle = dice.choice(
            [bytes([dice.randrange(256)]), bytes([dice.randrange(32, 127)]), b"", RICH[place : place + 1] * 2]
        )
        yield RICH[:place] + middle + RICH[place + 1 :]


def differing(one: Any, other: Any) -> list[str]:
    """Names of the fields in which two dataclasses differ."""
    return [
        field.name for field in fields(one) if field.compare and getattr(one, field.name) != getattr(other, field.name)
    ]


def test_one_wrong_byte_changes_at_most_one_value() -> None:
    """10,000 one-byte mutations: refused, or one value differs, or a flag has another name (and asking for it raises).

    No more can be promised of a text: `percent: 50` with one byte changed is the `percent: 10` that a human may write.
    What a running router adds to this is in test_flags_source.py.
    """
    good = Flags.loads(RICH)
    accepted = 0
    for mutant in mutants(10_000):
        try:
            flags = Flags.loads(mutant)
        except FlagsError:
            continue
        accepted += 1
        changed = [name for name in differing(good, flags) if name != "flags"]
        for name in good.flags:
            if name not in flags.flags:
                with pytest.raises(FlagsError):
                    flags.enabled(name)
            else:
                changed += differing(good.flags[name], flags.flags[name])
        assert len(changed) <= 1, (mutant, changed)
    assert 1000 < accepted < 6000  # most of these are comments, descriptions and blanks


# ------------------------------------------------------------------------------------------------------ the schema


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping inside the schema."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from nodes(child)


def test_the_schema_is_draft_07() -> None:
    """Editors read draft-07 and no later one."""
    assert schema()["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(schema())


def test_the_schema_is_closed_and_told() -> None:
    """Every object refuses unknown keys, and every key of the file has a sentence for the editor."""
    for node in nodes(schema()):
        if node.get("type") == "object":
            assert "additionalProperties" in node
        for key, value in node.get("properties", {}).items() if node.get("type") == "object" else ():
            assert value.get("description"), key


def test_the_runtime_validator_agrees_with_jsonschema() -> None:
    """Whatever the reference implementation refuses, ours refuses; what it accepts, only our own rules refuse."""
    oracle = jsonschema.Draft7Validator(schema())
    ours = ("whole number, without", "rise and end", "is no date", "passed of", "claim the same", "must be more than")
    judged = {True: 0, False: 0}
    for mutant in mutants(2000):
        try:
            document = strict_yaml.loads(mutant, where="f", require_end=True)
        except ConfigError:
            continue
        found = problems(document)
        valid = oracle.is_valid(document.data)
        judged[valid] += 1
        if valid:
            assert all(any(word in str(problem) for word in ours) for problem in found), found
        else:
            assert found, mutant
    assert min(judged.values()) > 100


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
    """KIMIPROBE_FLAGS goes before any file that is found, even if there is none there."""
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
