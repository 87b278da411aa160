"""Lint: findings on a flags file beyond its schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kimiprobe.monitor.flags_edit.lint import lint
from routing import catalog as catalogs
from routing.flags.model import Flags

ROOT = Path(__file__).resolve().parents[4]
FILE = """\
# yaml-language-server: $schema=./routing/flags.schema.json
version: 1
serial: 41
environment: production
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
flags:
  kimi:
    description: d
    owner: o
    controls: [openrouter/moonshotai/kimi-*]
    enabled: true
    percent: 10
    users: {allow: [alice], deny: [bob]}
...
"""
BASE = Flags.loads(FILE.encode())
ENDPOINTS = ["moonshot/kimi-k2.6", "openrouter/moonshotai/kimi-k2.6", "openrouter/moonshotai/kimi-k2.6+novita/fp8"]
REFERENCE = ["moonshot/kimi-k2.6"]


def told(*edits: tuple[str, str], base: Flags | None = None) -> list[str]:
    """Findings for the file after these replacements."""
    text = FILE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return [str(finding) for finding in lint(text.encode(), base=base, endpoints=ENDPOINTS, reference=REFERENCE)]


def flag(percent: int, *, enabled: bool = True, more: str = "") -> tuple[str, str]:
    """Replacement of the lines of the flag by these values."""
    return (
        "    enabled: true\n    percent: 10\n",
        f"    enabled: {str(enabled).lower()}\n    percent: {percent}\n{more}",
    )


NEXT = ("serial: 41", "serial: 42")


def test_a_good_file_has_no_findings() -> None:
    """It has none alone, and none compared with itself."""
    assert told() == []
    assert told(base=BASE) == []


def test_the_projects_own_file_has_no_findings() -> None:
    """The packaged file passes lint against the packaged catalogue."""
    catalog = catalogs.load()
    reference = {model.reference for model in catalog.models.values()}
    assert lint((ROOT / "flags.yaml").read_bytes(), endpoints=list(catalog.endpoints), reference=reference) == []


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        (
            [("deny: [bob]", "deny: [bob, alice]")],
            "14:12: error: flags.kimi.users: alice is in allow and in deny; deny wins",
        ),
        (
            [flag(10, more="    groups: {allow: [x], deny: [x]}\n")],
            "14:13: error: flags.kimi.groups: x is in allow and in deny; deny wins",
        ),
        ([flag(11)], "13:14: warning: flags.kimi.percent: 11 is not a step of the ladder: 0, 10, 50, 100"),
        (
            [flag(10, more="    ladder: [5, 25, 100]\n")],
            "13:14: warning: flags.kimi.percent: 10 is not a step of the ladder: 0, 5, 25, 100",
        ),
        (
            [flag(0), ("allow: [alice]", "allow: []")],
            "12:14: warning: flags.kimi.enabled: enabled, but on for no user: percent is 0 and no user or group is allowed",
        ),
        (
            [flag(50, enabled=False)],
            "13:14: warning: flags.kimi.percent: off; when it is enabled again it starts at 50, not at the first step",
        ),
        (
            [("[openrouter/moonshotai/kimi-*]", "[openruter/*]")],
            "11:16: error: flags.kimi.controls[0]: openruter/* matches no endpoint of the catalogue",
        ),
        (
            [("/kimi-*]", '/kimi-*, "openruter/*"]')],
            "11:46: warning: flags.kimi.controls[1]: openruter/* matches no endpoint of the catalogue",
        ),
        (
            [("[openrouter/moonshotai/kimi-*]", '["*"]')],
            (
                "11:16: warning: flags.kimi.controls[0]: * matches the reference endpoint moonshot/kimi-k2.6, "
                "which needs no flag"
            ),
        ),
        (
            [
                (
                    "...\n",
                    "  fp8: {description: d, owner: o, controls: ['*novita/fp8'], enabled: false, percent: 0}\n...\n",
                )
            ],
            (
                "15:46: warning: flags.fp8.controls[0]: *novita/fp8 matches openrouter/moonshotai/kimi-k2.6+novita/fp8, "
                "but kimi decides: its glob is more specific"
            ),
        ),
        (
            [("# yaml-language-server: $schema=./routing/flags.schema.json\n", "")],
            (
                "1:1: warning: the first line should be `# yaml-language-server: $schema=./routing/flags.schema.json`, "
                "so that editors check and complete"
            ),
        ),
    ],
)
def test_what_the_file_alone_shows(edits: list[tuple[str, str]], expected: str) -> None:
    """Contradictions and globs without effect are reported with their line, without a base."""
    assert told(*edits) == [expected]


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([NEXT, flag(50)], []),
        ([NEXT, flag(100)], ["13:14: error: flags.kimi.percent: jumps from 10 to 100; the next step is 50"]),
        ([NEXT, flag(0, enabled=False)], []),
        ([NEXT, flag(10, more="    pin: 'on'\n")], []),
        ([NEXT, flag(100, more="    pin: 'on'\n")], []),
        ([flag(50)], ["3:9: error: serial: was not raised: 41 is what the base has; make it 42"]),
        ([("serial: 41", "serial: 40"), flag(50)], ["3:9: error: serial: goes back from 41: raise it to 42"]),
        ([("serial: 41", "serial: 40"), flag(10)], ["3:9: error: serial: goes back from 41: raise it to 42"]),
        ([("serial: 41", "serial: 40\nrollback_from: 41"), flag(10)], []),
        ([("serial: 41", "serial: 41   # a comment")], []),
        (
            [NEXT, ("  kimi:", "  kimi2:")],
            [
                "8:3: warning: flags: kimi is gone: programs that ask for it by name get an error",
            ],
        ),
        (
            [NEXT, ("  kimi:", "  kimi2:"), flag(50)],
            [
                "8:3: warning: flags: kimi is gone: programs that ask for it by name get an error",
                "13:14: error: flags.kimi2.percent: jumps from 0 to 50; the next step is 10",
            ],
        ),
    ],
)
def test_what_the_base_shows(edits: list[tuple[str, str]], expected: list[str]) -> None:
    """Against the accepted version: one step upwards at a time, any step downwards, a new serial for each change."""
    assert told(*edits, base=BASE) == expected


def test_a_flag_that_was_off_starts_at_the_first_step() -> None:
    """The share of users counts, not the percent that was written while the flag was off."""
    off = Flags.loads(FILE.replace("enabled: true", "enabled: false").replace("percent: 10", "percent: 50").encode())
    assert told(NEXT, flag(100), base=off) == [
        "13:14: error: flags.kimi.percent: jumps from 0 to 100; the next step is 10"
    ]


def test_all_schema_problems_are_findings() -> None:
    """All problems of the schema are reported together, without other findings."""
    assert told(("percent: 10", "percent: 101"), ("enabled: true", "enabled: on"), base=BASE) == [
        '12:14: error: flags.kimi.enabled: "on" is not of type "boolean"',
        "13:14: error: flags.kimi.percent: 101 is greater than the maximum of 100",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("owner: o\n", "owner: [\n", "12:5: error: is not YAML:"),
        ("owner: o\n", "owner: &o o\n", "10:12: error: anchors are not read here: 'o'"),
        ("...\n", "", "14:1: error: the last line is not the document end marker"),
    ],
)
def test_a_file_that_is_not_yaml_is_one_finding(old: str, new: str, expected: str) -> None:
    """A syntax error has its line."""
    (finding,) = told((old, new))
    assert finding.startswith(expected)


def test_a_file_that_is_too_large_is_one_finding() -> None:
    """A finding without a line is reported at the first line."""
    (finding,) = lint(b"#" * (1 << 21))
    assert str(finding) == "1:1: error: is 2097152 bytes; at most 1048576 are read"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("default_model: kimi-k2.6", "default_model: kimi-k2.66", 'default_model: "kimi-k2.66" is not a model'),
        ("flags:\n", "fallback_models: [kimi-k3, k9]\nflags:\n", 'fallback_models[1]: "k9" is not a model'),
    ],
)
def test_a_model_that_the_catalogue_lacks_is_an_error(old: str, new: str, expected: str) -> None:
    """A running router refuses such a file; without a catalogue, names of models are not checked."""
    text = FILE.replace(old, new, 1).encode()
    assert lint(text) == []
    (finding,) = lint(text, models=["kimi-k2.6", "kimi-k3"])
    assert (finding.level, finding.path) == ("error", expected.partition(":")[0])
    assert finding.text.startswith(expected)


def test_without_a_catalogue_globs_are_not_judged() -> None:
    """Without endpoints, there are no findings on globs."""
    assert lint(FILE.replace("openrouter/", "openruter/").encode()) == []
