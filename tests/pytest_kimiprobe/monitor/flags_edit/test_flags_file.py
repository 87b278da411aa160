"""Edits in place: the changed values change, and every other byte is kept."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kimiprobe.monitor.flags_edit.flags_file import created, edited
from routing.errors import FlagsError
from routing.flags.model import Flags

ROOT = Path(__file__).resolve().parents[4]
KIMI, GROQ, INLINE = "kimi", "groq_kimi", "inline"

FILE = """\
# yaml-language-server: $schema=./routing/flags.schema.json
version: 1
serial: 41                    # +1 with each change
environment: "production"     # in quotes, and stays so
bucketing: 'murmur3-cbor-v1'
default_model: kimi-k2.6

# All flags.
flags:
  # The cheapest.
  kimi:
    percent: 10               # unusual order
    enabled: true   # since Monday
    owner: '@kimi'

    description: >-
      Kimi through
      OpenRouter.   # not a comment, but text
    # globs
    controls: ["openrouter/moonshotai/kimi-*"]
    users:
      # people
      allow: [
        alice,     # from the start
        bob,       # asked for it
        carol      # on leave
      ]
      deny:        # tickets
        - mallory  # ticket 88
        # and another
        - trudy
    reason: "first \\"step\\""

  groq_kimi:
    description: Kimi at Groq.   # short
    owner: "@kimi"
    controls:
    - groq/moonshotai/kimi-*     # not indented
    enabled: false
    percent: 0
    pin: "off"                   # a human's
  inline: {description: d, owner: o, controls: [together/*], enabled: false, percent: 0, groups: {allow: []}}  # all in one
  # the end of the flags
# the end of the file
...
"""


def diff(old: str, new: str) -> list[str]:
    """Changed lines, `-` before and `+` after, without the serial."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    changed = [line for line in lines if line[:2] not in {"--", "++", "@@"}]
    assert changed[:2] == [
        "-serial: 41                    # +1 with each change",
        "+serial: 42                    # +1 with each change",
    ]
    return changed[2:]


@pytest.mark.parametrize(
    ("flag", "changes", "lines"),
    [
        (
            KIMI,
            {"percent": 50},
            ["-    percent: 10               # unusual order", "+    percent: 50               # unusual order"],
        ),
        (
            KIMI,
            {"percent": 100},
            ["-    percent: 10               # unusual order", "+    percent: 100              # unusual order"],
        ),
        (KIMI, {"enabled": False}, ["-    enabled: true   # since Monday", "+    enabled: false  # since Monday"]),
        (KIMI, {"owner": "@new"}, ["-    owner: '@kimi'", "+    owner: '@new'"]),
        (KIMI, {"owner": "it's"}, ["-    owner: '@kimi'", '+    owner: "it\'s"']),
        (KIMI, {"reason": "30 of 30"}, ['-    reason: "first \\"step\\""', '+    reason: "30 of 30"']),
        (KIMI, {"reason": None}, ['-    reason: "first \\"step\\""']),
        (
            KIMI,
            {"description": "One line."},
            [
                "-    description: >-",
                "-      Kimi through",
                "-      OpenRouter.   # not a comment, but text",
                "+    description: One line.",
            ],
        ),
        (KIMI, {"users.allow": ["alice", "carol"]}, ["-        bob,       # asked for it"]),
        (KIMI, {"users.allow": ["bob", "carol"]}, ["-        alice,     # from the start"]),
        (KIMI, {"users.allow": ["alice", "bob"]}, ["-        carol      # on leave"]),
        (
            KIMI,
            {"users.allow": ["carol", "dave", "alice", "bob"]},
            ["-        carol      # on leave", "+        carol, dave      # on leave"],
        ),
        (KIMI, {"users.deny": ["trudy"]}, ["-        - mallory  # ticket 88"]),
        (KIMI, {"users.deny": ["mallory"]}, ["-        - trudy"]),
        (KIMI, {"users.deny": ["mallory", "trudy", "007"]}, ['+        - "007"']),
        (KIMI, {"groups.deny": ["eu"]}, ["+    groups: {deny: [eu]}"]),
        (KIMI, {"since": "2026-11-23T05:17:40Z"}, ['+    since: "2026-11-23T05:17:40Z"']),
        (KIMI, {"pin": "on"}, ['+    pin: "on"']),
        (
            KIMI,
            {"evidence": {"result": "results/latest.json", "judged": 30, "passed": 29}},
            ["+    evidence: {result: results/latest.json, judged: 30, passed: 29}"],
        ),
        (GROQ, {"pin": None}, ['-    pin: "off"                   # a human\'s']),
        (
            GROQ,
            {"pin": "on"},
            ['-    pin: "off"                   # a human\'s', '+    pin: "on"                    # a human\'s'],
        ),
        (GROQ, {"accept_rescued": True}, ["+    accept_rescued: true"]),
        (
            GROQ,
            {"users.allow": ["yes", "a: b", "#c", "@d"]},
            ['+    users: {allow: ["yes", "a: b", "#c", "@d"]}'],
        ),
        (
            GROQ,
            {"controls": ["groq/moonshotai/kimi-*", "groq/x"]},
            ["+    - groq/x"],
        ),
        (
            GROQ,
            {"controls": ["groq/x"]},
            ["-    controls:", "-    - groq/moonshotai/kimi-*     # not indented", "+    controls: [groq/x]"],
        ),
        (
            GROQ,
            {"description": "Kimi there"},
            ["-    description: Kimi at Groq.   # short", "+    description: Kimi there      # short"],
        ),
        (
            GROQ,
            {"description": "Kimi: at Groq", "percent": 0},
            ["-    description: Kimi at Groq.   # short", '+    description: "Kimi: at Groq"  # short'],
        ),
    ],
)
def test_only_the_touched_lines_change(flag: str, changes: dict[str, Any], lines: list[str]) -> None:
    """A change of one value changes its line and the serial; comments keep their column if possible."""
    assert sorted(diff(FILE, edited(FILE, {flag: changes}))) == sorted(lines)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"enabled": True, "percent": 10}, "enabled: true, percent: 10, groups: {allow: []}}"),
        ({"groups.allow": ["beta"]}, "percent: 0, groups: {allow: [beta]}}"),
        ({"groups.deny": ["eu"]}, "percent: 0, groups: {allow: [], deny: [eu]}}"),
        ({"groups": None}, "enabled: false, percent: 0}"),
        ({"users.allow": ["a"]}, "percent: 0, users: {allow: [a]}, groups: {allow: []}}"),
        ({"controls": ["together/*", "groq/x"]}, "controls: [together/*, groq/x], enabled"),
    ],
)
def test_a_flag_in_braces_stays_in_braces(changes: dict[str, Any], expected: str) -> None:
    """Flow style is kept, on one line."""
    lines = diff(FILE, edited(FILE, {INLINE: changes}))
    assert len(lines) == 2
    assert expected in lines[1]
    assert lines[1].endswith("  # all in one")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {KIMI: {}},
        {KIMI: {"percent": 10, "enabled": True, "owner": "@kimi"}},
        {KIMI: {"users.allow": ["carol", "bob", "alice"]}},
        {KIMI: {"users.deny": ["mallory", "trudy"], "groups.deny": [], "pin": None, "accept_rescued": False}},
        {GROQ: {"users": {}, "evidence": None}},
    ],
)
def test_an_edit_without_effect_returns_the_text(changes: dict[str, Any]) -> None:
    """If nothing changes, the serial stays; a missing key already means empty or false."""
    assert edited(FILE, changes) is FILE


def test_several_flags_raise_the_serial_once() -> None:
    """Each accepted change raises the serial once."""
    new = edited(FILE, {KIMI: {"percent": 50, "reason": "x"}, GROQ: {"pin": None, "percent": 10}})
    flags = Flags.loads(new.encode())
    assert (flags.serial, flags.flag(KIMI).percent, flags.flag(GROQ).percent) == (42, 50, 10)


def test_going_back_ends_with_the_next_change() -> None:
    """The next change removes `rollback_from`; its serial is higher than any that a router may have."""
    text = FILE.replace("serial: 41 ", "serial: 40\nrollback_from: 41 ")
    new = edited(text, {KIMI: {"percent": 50}})
    assert "rollback_from" not in new
    assert Flags.loads(new.encode()).serial == 42


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nobody": {"percent": 1}}, "no flag 'nobody'; available: kimi, groq_kimi, inline"),
        ({KIMI: {"percent": 101}}, "flags.kimi.percent: 101 is greater than the maximum of 100"),
        ({KIMI: {"percnt": 10}}, "unknown key; did you mean percent?"),
        ({KIMI: {"enabled": None}}, '"enabled" is a required property'),
        ({KIMI: {"controls": []}}, "flags.kimi.controls: [] has less than 1 item"),
        ({KIMI: {"controls": ["groq/moonshotai/kimi-*"]}}, "claim the same endpoints"),
        ({KIMI: {"users.allow": ["a\x1bb"]}}, "is not an id of 1 to 200 letters"),
    ],
)
def test_what_the_loader_would_refuse_is_not_written(changes: dict[str, Any], message: str) -> None:
    """An edit ends in a valid file or in an error."""
    with pytest.raises(FlagsError, match=re.escape(message)):
        edited(FILE, changes)


def test_evidence_is_replaced_key_by_key() -> None:
    """An existing mapping keeps its shape and comments; keys that are not given are removed."""
    first = edited(FILE, {KIMI: {"evidence": {"result": "a", "judged": 30, "passed": 29}}})
    first = first.replace("    evidence: {result: a, judged: 30, passed: 29}\n", EVIDENCE)
    again = edited(first, {KIMI: {"evidence": {"result": "b", "judged": 31, "passed": 29}}})
    assert EVIDENCE.replace("result: a", "result: b").replace("judged: 30", "judged: 31") in again
    assert "results" not in edited(first, {KIMI: {"evidence": None}})


EVIDENCE = """\
    evidence:
      result: a     # where
      judged: 30    # calls
      passed: 29
"""


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("[together/*]", "[\n    together/*\n    , replicate/*]", {INLINE: {"controls": ["replicate/*"]}}),
        ("owner: '@kimi'", "owner: '@kimi'", {KIMI: {"owner.name": "x"}}),
    ],
)
def test_what_cannot_be_edited_safely_is_left_to_humans(old: str, new: str, changes: dict[str, Any]) -> None:
    """If an edit would damage the text, nothing is changed."""
    with pytest.raises(FlagsError, match=r"cannot be edited in place|holds no keys"):
        edited(FILE.replace(old, new), changes)


def test_a_broken_file_is_not_edited() -> None:
    """A file that cannot be read is refused."""
    with pytest.raises(FlagsError, match="document end marker"):
        edited(FILE[:-4], {KIMI: {"percent": 50}})


def test_crlf_and_bom_stay() -> None:
    """A file with Windows line ends keeps them, also in new lines."""
    text = "\ufeff" + FILE.replace("\n", "\r\n")
    new = edited(text, {KIMI: {"percent": 50, "pin": "off", "users.deny": ["mallory", "trudy", "eve"]}})
    assert new.startswith("\ufeff# yaml")
    assert new.count("\n") == new.count("\r\n") == text.count("\r\n") + 2


def test_text_from_outside_cannot_break_out() -> None:
    """Any reason stays one string of one flag."""
    hostile = 'x"\n  evil: {enabled: true}\n...\n\u2028\u202e\x07 # {[*&!|> \\'
    flags = Flags.loads(edited(FILE, {GROQ: {"reason": hostile}}).encode())
    assert flags.flag(GROQ).reason == hostile
    assert list(flags.flags) == [KIMI, GROQ, INLINE]


NAMES = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x1FFFF, exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20
)
IDS = st.lists(NAMES | st.sampled_from(["alice", "bob", "carol", "mallory", "trudy"]), unique=True, max_size=5)
EDITS = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "percent": st.integers(0, 100),
        "users.allow": IDS,
        "users.deny": IDS,
        "groups.allow": IDS,
        "groups.deny": IDS,
        "pin": st.sampled_from(["on", "off", None]),
        "reason": NAMES | st.none(),
        "description": NAMES,
        "accept_rescued": st.booleans(),
        "evidence": st.none() | st.just({"result": "r", "judged": 3, "passed": 2}),
        "ladder": st.none() | st.just([5, 100]),
    },
)


@given(st.lists(st.tuples(st.sampled_from([KIMI, GROQ, INLINE]), EDITS), min_size=1, max_size=3))
@settings(max_examples=examples(30))
def test_any_edits_do_what_they_say_and_nothing_else(edits: list[tuple[str, dict[str, Any]]]) -> None:
    """After any edits the file holds the values asked for, and the other flags' text is the same byte for byte."""
    text = FILE
    for name, changes in edits:
        new = edited(text, {name: changes})
        flag = Flags.loads(new.encode()).flag(name)
        for key, value in changes.items():
            first, _, second = key.partition(".")
            now: Any = getattr(flag, first)
            if second:
                assert getattr(now, second) == set(value)
            elif first in {"enabled", "percent", "accept_rescued", "pin", "description"}:
                assert now == value
        for other in {KIMI, GROQ, INLINE} - {name}:
            assert section(new, other) == section(text, other)
        text = new
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in FILE.splitlines() if line.startswith("#")
    ]


def section(text: str, name: str) -> str:
    """The text of one flag."""
    found = re.search(rf"^  {name}:.*?(?=^  [a-z#]|^#)", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]


# --------------------------------------------------------------------------------------------------- a new flag


def test_a_new_flag_is_added_last() -> None:
    """It is added after the last flag, with keys in the usual order."""
    row: dict[str, Any] = {
        "enabled": False,
        "percent": 0,
        "description": "Kimi: new",
        "owner": "@me",
        "controls": ["a/b*"],
        "reason": None,
    }
    assert diff(FILE, created(FILE, "new", row)) == [
        "+  new:",
        '+    description: "Kimi: new"',
        '+    owner: "@me"',
        '+    controls: ["a/b*"]',
        "+    enabled: false",
        "+    percent: 0",
    ]


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        (KIMI, {}, "flag 'kimi' exists already"),
        (
            "Bad",
            {"description": "d", "owner": "o", "controls": ["a/*"], "enabled": False, "percent": 0},
            "is not a flag name",
        ),
        (
            "new",
            {"description": "d", "owner": "o", "enabled": False, "percent": 0},
            '"controls" is a required property',
        ),
    ],
)
def test_a_new_flag_that_is_wrong_is_refused(name: str, row: dict[str, Any], message: str) -> None:
    """A flag that the loader would refuse is not written."""
    with pytest.raises(FlagsError, match=message):
        created(FILE, name, row)


def test_the_projects_own_file_takes_the_bots_edit() -> None:
    """An edit by the bot changes only the lines of that flag in the real file."""
    text = (ROOT / "flags.yaml").read_text("utf-8")
    name = next(iter(Flags.loads(text.encode()).flags))
    new = edited(text, {name: {"enabled": True, "percent": 10, "reason": "60 of 60", "since": "2026-11-23T05:17:40Z"}})
    kept = [line for line in new.splitlines() if line in text.splitlines()]
    assert len(kept) >= len(text.splitlines()) - 3
    assert Flags.loads(new.encode()).flag(name).percent == 10
