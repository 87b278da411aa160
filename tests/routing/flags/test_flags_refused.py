"""flags.yaml: what is refused, with its line, and what one wrong byte can do."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from examples import examples
from flags_files import FLAG, HEAD, RICH, one_flag, refusal

from routing.errors import ConfigError, FlagsError
from routing.flags.model import Flags
from routing.flags.validation import problems, schema
from routing.parsing import strict_yaml

# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("percent: 50", "percent: 101", f"f:15:14: flags.{FLAG}.percent: 101 is greater than the maximum of 100"),
        ("percent: 50", "percent: -1", f"f:15:14: flags.{FLAG}.percent: -1 is less than the minimum of 0"),
        ("percent: 50", 'percent: "50"', f'f:15:14: flags.{FLAG}.percent: "50" is not of type "integer"'),
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
        ("percent: 50", "percent:", f'f:15:13: flags.{FLAG}.percent: null is not of type "integer"'),
        ("enabled: true", "enabled: on", f'f:14:14: flags.{FLAG}.enabled: "on" is not of type "boolean"'),
        ("enabled: true", "enabled: 1", f'f:14:14: flags.{FLAG}.enabled: 1 is not of type "boolean"'),
        ("enabled: true", "enabeld: true", f'f:11:5: flags.{FLAG}: "enabled" is a required property'),
        ("reason:", "raeson:", f"f:23:13: flags.{FLAG}.raeson: unknown key; did you mean reason?"),
        ("[alice]", "[alice, alice]", f'f:17:14: flags.{FLAG}.users.allow: ["alice", "alice"] has non-unique elements'),
        ("[alice]", "[123]", f'f:17:15: flags.{FLAG}.users.allow[0]: 123 is not of type "string": put it in quotes'),
        ("[alice]", '["a\\nb"]', f'f:17:15: flags.{FLAG}.users.allow[0]: "a\\nb" is not an id of 1 to 200 letters'),
        ('"off"', '"paused"', 'flags.groq_kimi_tool_calling.pin: "paused" is not one of "on" or "off"'),
        ("kimi-*\n", "kimi *\n", 'controls[0]: "groq/moonshotai/kimi *" is not an endpoint glob such as'),
        ("[10, 50, 100]", "[50, 10, 100]", f"f:25:13: flags.{FLAG}.ladder: must rise and end at 100"),
        ("[10, 50, 100]", "[10, 50]", f"f:25:13: flags.{FLAG}.ladder: must rise and end at 100"),
        ("passed: 30}", "passed: 31}", "evidence.passed: 31 passed of 30 judged"),
        ("2026-11-20T06", "2026-13-20T06", f'f:24:12: flags.{FLAG}.since: "2026-13-20T06:00:00Z" is not a date'),
        ("2026-11-20T06:00:00Z", "2026-11-20", f'flags.{FLAG}.since: "2026-11-20" is not a UTC time such as'),
        ("  groq_kimi", "  Groq_kimi", "flags.Groq_kimi_tool_calling: is not a flag name"),
        ("serial: 41", "serial: 41\nrollback_from: 41", "rollback_from: must be more than the serial, 41"),
        ("serial: 41", "serial: 41\nserial: 42", "f:4:1: duplicate key 'serial'"),
        ("environment: production", "environment: prod", 'environment: "prod" is not one of "production" or "test"'),
        ("murmur3-cbor-v1", "crc32", 'bucketing: "murmur3-cbor-v1" was expected'),
        ("serial: 41\n", "", 'f:2:1: "serial" is a required property'),
        ("version: 1", "version: 0", "f:2:10: version: 1 was expected"),
        ("@kimi-routing", "", f'f:12:12: flags.{FLAG}.owner: "" is shorter than 1 character'),
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
    """The first problem is given in full, the others are counted."""
    data = RICH.replace(b"percent: 50", b"percent: 101").replace(b"enabled: false", b"enabled: off")
    assert refusal(data).endswith("(and 1 more: `kimiprobe flags lint` lists them)")
    assert [problem.line for problem in problems(strict_yaml.loads(data, where="f"))] == [15, 32]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the last line is not the document end marker"),
        (b"...\n", "is not YAML"),
        (b"null\n...\n", 'null is not of type "object"'),
        (b"some text\n...\n", '"some text" is not of type "object"'),
        (b"[1, 2]\n...\n", '[1, 2] is not of type "object"'),
        (b"{}\n...\n", "is a required property"),
        (RICH + RICH, "did not find expected <document start>"),
        (RICH + b"---\n" + RICH, "a second document"),
        ((HEAD + "flags: {}\n...\n").encode(), "f:6:8: flags: {} has less than 1 property"),
        ((HEAD + "flags:\n...\n").encode(), 'flags: null is not of type "object"'),
    ],
)
def test_flg_04_what_holds_no_flags(data: bytes, message: str) -> None:
    """FLG-04: empty, null, text, list and several documents are refused."""
    assert message in refusal(data)


def test_flg_05_every_prefix_is_refused() -> None:
    """FLG-05: a file that is cut at any byte is refused; a part never passes as the whole file."""
    Flags.loads(RICH)
    for size in range(len(RICH)):
        with pytest.raises(FlagsError):
            Flags.loads(RICH[:size])


def test_flg_08_a_newer_version_says_upgrade() -> None:
    """FLG-08: a file of a later format is refused by name, not by its unknown keys."""
    data = RICH.replace(b"version: 1", b"version: 99\nnew_key: true")
    assert refusal(data) == "f:2:10: version 99 is newer than 1, which this release reads: upgrade pytest-kimiprobe"


def test_flg_12_a_recursive_alias_is_refused() -> None:
    """FLG-12: anchors and aliases are refused, with line and column."""
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
    """FLG-13: the validator is not asked to report more mistakes than a person can read."""
    assert "more than" in refusal(f"{HEAD}flags: {{{flags}}}\n...\n".encode())


def test_lists_have_a_length() -> None:
    """Too many globs or users for a review are refused; a limit on all globs together bounds the comparison."""
    assert "has more than 10000 items" in refusal(
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


def test_flg_15_permission_denied_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLG-15: a file without read permission is a FlagsError."""
    path = tmp_path / "flags.yaml"
    path.write_bytes(RICH)

    def refuse(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)  # chmod does not stop root, and tests may run as root
    with pytest.raises(FlagsError, match="permission denied"):
        Flags.load(path)


def test_flg_16_bom_and_crlf_are_accepted() -> None:
    """FLG-16: files saved on Windows mean the same."""
    assert Flags.loads(b"\xef\xbb\xbf" + RICH.replace(b"\n", b"\r\n")) == Flags.loads(RICH)


@pytest.mark.parametrize(("old", "new"), [(b"    percent", b"\tpercent"), (b"Kimi", b"K\xefmi")])
def test_flg_16_tabs_and_latin_1_are_refused_with_the_line(old: bytes, new: bytes) -> None:
    """FLG-16: tabs and other encodings are refused, with their line."""
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


@pytest.mark.generated
def test_one_wrong_byte_changes_at_most_one_value() -> None:
    """2,500 and more one-byte mutations: refused, or one value differs, or a flag has another name (and asking for it raises).

    No more can be promised of a text: `percent: 50` with one byte changed is the `percent: 10` that a human may write.
    What a running router adds to this is in test_flags_source.py.
    """
    good = Flags.loads(RICH)
    accepted, count = 0, examples(2_500)
    for mutant in mutants(count):
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
    assert 0.1 * count < accepted < 0.6 * count  # most of these are comments, descriptions and blanks


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


def test_the_schema_is_closed_and_describes_every_key() -> None:
    """Every object refuses unknown keys, and every key of the file has a description for the editor."""
    for node in nodes(schema()):
        if node.get("type") == "object":
            assert "additionalProperties" in node
        for key, value in node.get("properties", {}).items() if node.get("type") == "object" else ():
            assert value.get("description"), key


@pytest.mark.generated
def test_the_runtime_validator_agrees_with_jsonschema() -> None:
    """The runtime validator refuses what the reference implementation refuses; beyond it, only our own rules refuse."""
    oracle = jsonschema.Draft7Validator(schema())
    ours = (
        "whole number, without",
        "rise and end",
        "is not a date",
        "passed of",
        "claim the same",
        "must be more than",
    )
    judged = {True: 0, False: 0}
    for mutant in mutants(examples(1_000)):
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
    assert min(judged.values()) > 50
