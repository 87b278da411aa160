"""The subset of YAML that is accepted here, and everything that is refused with file, line and column."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import yaml
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import CatalogError, ConfigError, FlagsError
from routing.parsing.strict_yaml import MAX_DEPTH, Document, loads


def data(text: str | bytes) -> Any:
    """Data of one file named `f`."""
    return loads(text.encode() if isinstance(text, str) else text, where="f").data


def refusal(text: str | bytes, *, require_end: bool = False) -> str:
    """The message with which a file named `f` is refused."""
    with pytest.raises(ConfigError) as caught:
        loads(text.encode() if isinstance(text, str) else text, where="f", require_end=require_end)
    return str(caught.value)


@pytest.fixture(params=["libyaml", "pure"], autouse=True)
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure":
        monkeypatch.setattr(yaml, "__with_libyaml__", False)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("a: 1\n", {"a": 1}),
        ("a: 1\n...\n", {"a": 1}),
        ("---\na: 1\n", {"a": 1}),
        ("[true, false, null, ~, '']", [True, False, None, None, ""]),
        ("a:\nb: x\n", {"a": None, "b": "x"}),
        ("[-3, +4, 0, -0]", [-3, 4, 0, 0]),
        ("[1.5, .5, 2., 1e3, -1.5E-2]", [1.5, 0.5, 2.0, 1000.0, -0.015]),
        ("[on, off, yes, no, y, n, On, YES]", ["on", "off", "yes", "no", "y", "n", "On", "YES"]),
        ("[12:30:45, 2026-11-23, 2026-11-23T05:17:40Z]", ["12:30:45", "2026-11-23", "2026-11-23T05:17:40Z"]),
        ("[1_000, 1.2.3, e5, '.', kimi-k2.6, 0x]", ["1_000", "1.2.3", "e5", ".", "kimi-k2.6", "0x"]),
        ("""["0123", 'true', "null", '1']""", ["0123", "true", "null", "1"]),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: >-\n  x\n  y\n", {"a": "x y"}),
        ('a: "caf\\u00e9 \\t \\x1b"', {"a": "café \t \x1b"}),
        ("a: 用户 🦊\n", {"a": "用户 🦊"}),
        ("{a: {b: [1, {c: d}]}}", {"a": {"b": [1, {"c": "d"}]}}),
        ("- - 1\n  - 2\n- a: b\n  c: d\n", [[1, 2], {"a": "b", "c": "d"}]),
        ("on: 1\n", {"on": 1}),
        ("'1': a\n", {"1": "a"}),
    ],
)
def test_what_is_read(text: str, expected: Any) -> None:
    """Only true and false are booleans, only decimal numbers are numbers, everything else plain is a string."""
    assert repr(data(text)) == repr(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\n", "f:1:4: anchors are not read here: 'x'"),
        ("a: 1\nb: *x\n", "f:2:4: aliases are not read here: 'x'"),
        ("a: &a {b: *a}\n", "f:1:4: anchors are not read here: 'a'"),
        ("a: !!str 1\n", "f:1:4: tags are not read here: 'tag:yaml.org,2002:str'"),
        ("a: !x 1\n", "f:1:4: tags are not read here: '!x'"),
        (
            "a: !!python/object:os.system {}\n",
            "f:1:4: tags are not read here: 'tag:yaml.org,2002:python/object:os.syste...'",
        ),
        ("<<: {a: 1}\n", "f:1:1: merge keys (<<) are not read here"),
        ("'<<': {a: 1}\n", "f:1:1: merge keys (<<) are not read here"),
        ("a: 1\nb: 2\na: 3\n", "f:3:1: duplicate key 'a'"),
        ("a: {b: 1, 'b': 2}\n", "f:1:11: duplicate key 'b'"),
        ("a: 0123\n", "f:1:4: 0123 means different things to different YAML readers: put it in quotes"),
        (
            f"a: 0x{'f' * 999}\n",
            f"f:1:4: 0x{'f' * 38} means different things to different YAML readers: put it in quotes",
        ),
        ("1: a\n", "f:1:1: keys must be strings: put this one in quotes"),
        ("true: a\n", "f:1:1: keys must be strings: put this one in quotes"),
        ("? [a]\n: 1\n", "f:1:3: keys must be strings"),
        ("? {a: b}\n: 1\n", "f:1:3: keys must be strings"),
        ("---\na: 1\n---\nb: 2\n", "f:3:1: a second document; one is read"),
        ("%YAML 1.1\n---\na: 1\n", "f:1:1: directives (%...) are not read here"),
        ("%TAG ! tag:x,2002:\n---\na: 1\n", "f:1:1: directives (%...) are not read here"),
        ("a: 1\n\tb: 2\n", "f:2:1: holds a tab; indent with spaces"),
        ("a: b # c\td\n", "f:1:9: holds a tab; indent with spaces"),
        ("a: b\x1bc\n", "f:1:5: holds an unseen character (U+001B); write it as an escape in double quotes"),
        ("a: 1\nb: x\u202ey\n", "f:2:5: holds an unseen character (U+202E); write it as an escape in double quotes"),
        ("a: b\rc: d\n", "f:1:5: holds an unseen character (U+000D); write it as an escape in double quotes"),
        ("a: b\u2028c: d\n", "f:1:5: holds an unseen character (U+2028); write it as an escape in double quotes"),
        ("a: \ufeffb\n", "f:1:4: holds an unseen character (U+FEFF); write it as an escape in double quotes"),
        (b"a: 1\nb: caf\xe9\n", "f:2:7: is not UTF-8 (byte 0xe9)"),
        ("a: 1\n".encode("utf-16"), "f:1:1: is UTF-16; save it as UTF-8"),
        ("a: 1e999\n", "f:1:4: 1e999 is larger than any number: put it in quotes if it is a name"),
        ("a: " + "1" * 41, "f:1:4: the number is too long: put it in quotes if it is a name"),
    ],
)
def test_what_is_refused(text: str | bytes, message: str) -> None:
    """Text that two parsers could read differently is refused, with its line and column."""
    assert refusal(text) == message


@pytest.mark.parametrize(
    "word",
    ["True", "TRUE", "False", "FALSE", "Null", "NULL", "0x1f", "0o17", "0b1", "007", "-012", ".inf", "-.INF", ".NaN"],
)
def test_words_that_yaml_versions_read_differently(word: str) -> None:
    """A plain scalar that is a number, boolean or null in some YAML version is refused until it is quoted."""
    assert "put it in quotes" in refusal(f"a: {word}\n")
    assert data(f"a: '{word}'\n") == {"a": word}


@pytest.mark.parametrize(
    "text", ["a: {b\n", '"', "a: x: y\n", "@", "a: [1,\n", "a: b\n c: d\n", "- a\nb: c\n", '"\\ud800"']
)
def test_what_is_not_yaml(text: str) -> None:
    """A syntax error names line and column."""
    _, line, column, message = refusal(text).split(":", 3)
    assert int(line) >= 1
    assert int(column) >= 1
    assert message


def test_bom_and_crlf_are_accepted() -> None:
    """A byte order mark and Windows line ends change nothing."""
    assert data(b"\xef\xbb\xbfa: 1\r\nb: [x,\r\n  y]\r\n") == {"a": 1, "b": ["x", "y"]}


def test_crlf_counts_lines_once() -> None:
    """Lines are counted as editors count them."""
    assert refusal(b"a: 1\r\nb: 2\r\na: 3\r\n").startswith("f:3:1:")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ([], (2, 1)),
        (["a"], (2, 4)),
        (["b"], (4, 3)),
        (["b", "c"], (4, 6)),
        (["b", "c", 1], (4, 10)),
        (["b", "c", 2], (4, 6)),
        (["b", "d", "x"], (5, 6)),
        (["b", "nothing", "here"], (4, 3)),
        (["b", 0], (4, 3)),
        (["a", 0], (2, 4)),
    ],
)
def test_position(path: list[str | int], place: tuple[int, int]) -> None:
    """A position is that of the value, else that of its nearest ancestor."""
    document = loads(b"# comment\na: 1\nb:\n  c: [1, 2]\n  d: x\n", where="f")
    assert document.position(path) == place
    assert document.at(path) == f"f:{place[0]}:{place[1]}"


def test_position_in_an_empty_file() -> None:
    """An empty file's position is its start."""
    assert loads(b"", where="f").position(["a"]) == (1, 1)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("a: 1\n", 1),
        ("a: 1\nb: 2\n", 2),
        ("a: 1\n..", 2),
        ("a: 1\n ...\n", 2),
        ("a: 1\n... # end\n", 2),
        ("a: ...\n", 1),
        ("a: 1\n...\n# more\n", 3),
    ],
)
def test_a_missing_end_marker_is_refused(text: str, line: int) -> None:
    """If the end marker is required, the last non-empty line must be it."""
    assert refusal(text, require_end=True).startswith(f"f:{line}:1: the last line is not the document end marker `...`")


def test_an_end_marker_without_newline_is_refused() -> None:
    """Without its newline the marker itself could be a part of a longer line."""
    assert refusal("a: 1\n...", require_end=True).startswith("f:2:1: no newline after the document end marker")


def test_two_end_markers_are_refused() -> None:
    """The file up to the first of two markers would be accepted as well."""
    assert "ends before the last line" in refusal("a: 1\n...\n...\n", require_end=True)


@pytest.mark.parametrize("tail", ["...\n", "...\r\n", "...\n\n", "...\n  \n"])
def test_an_end_marker_at_the_end_is_accepted(tail: str) -> None:
    """Blank lines after the marker change nothing."""
    assert loads(f"a: 1\n{tail}".encode(), where="f", require_end=True).data == {"a": 1}


def test_every_prefix_of_a_closed_file_is_refused() -> None:
    """A file that ends with the marker is refused if it is cut at any byte."""
    whole = "# ünïcode\na: 1\nb:\n  - x\n  - {c: 'd ... e'}\nf: |\n  ...\n  text\n...\n".encode()
    assert loads(whole, where="f", require_end=True).data["f"] == "...\ntext\n"
    for size in range(len(whole)):
        assert "marker" in refusal(whole[:size], require_end=True) or "not UTF-8" in refusal(
            whole[:size], require_end=True
        )


def test_the_size_cap() -> None:
    """Larger files are not parsed."""
    assert refusal(b"a" * ((1 << 20) + 1)) == "f: is 1048577 bytes; at most 1048576 are read"
    with pytest.raises(ConfigError, match="at most 3 are read"):
        loads(b"a: 1", where="f", max_bytes=3)


def test_the_depth_cap() -> None:
    """64 levels are read, one more is refused."""
    assert data("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert "nested deeper than 64 levels" in refusal("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


HOSTILE = {
    "flow lists": b"[" * 100_000,
    "flow lists, a line each": b"[\n" * 50_000,
    "flow mappings": b"{a: " * 50_000,
    "block lists": b"- " * 50_000,
    "indented lists": b"".join(b" " * depth + b"-\n" for depth in range(400)),
    "complex keys": b"? " * 50_000,
    "billion laughs": b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n",
    "quotes": b"'" * 99_999,
    "escapes": b'"' + b"\\" * 99_999,
    "documents": b"---\n" * 30_000,
    "directives": b"%a b\n" * 30_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name: str) -> None:
    """Deep, long and self-referring files end in an error, neither in a hang nor in a stack overflow."""
    refusal(HOSTILE[name])


def test_messages_show_the_file_escaped_and_short() -> None:
    """Text of a file never reaches a terminal unescaped or at full length."""
    message = refusal('"a\\x1b[31m' + "x" * 500 + '": 1\n' + '"a\\x1b[31m' + "x" * 500 + '": 1\n')
    assert "\x1b" not in message
    assert len(message) < 100


@pytest.mark.parametrize("error", [FlagsError, CatalogError])
def test_the_error_is_the_callers(error: type[ConfigError]) -> None:
    """Each kind of file raises its own error type, with line and column."""
    with pytest.raises(error) as caught:
        loads(b"a: &b c", where="some/file.yaml", error=error)
    assert caught.value.where == "some/file.yaml:1:4"


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(TEXT.filter(lambda key: key != "<<"), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(JSON)
def test_json_reads_as_json(value: Any) -> None:
    """A JSON document means here what it means to a JSON parser."""
    assert data(json.dumps(value, ensure_ascii=False)) == value


@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{},&*!|>'\"%#?\n .01~<=\\@", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """The result is always a Document or a ConfigError."""
    try:
        result = loads(raw, where="f")
    except ConfigError:
        return
    assert isinstance(result, Document)


@pytest.mark.generated
def test_both_parsers_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """If both parsers accept a mutated file, they read the same from it."""
    if not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML was built without libyaml")
    whole = b"# c\na: {b: [1, 'x', \"y\"], c: true}\nd:\n  - e: f\n    g: |\n      h\n...\n"
    dice = random.Random(7)
    differing = []
    for _ in range(examples(600)):
        mutant = bytearray(whole)
        mutant[dice.randrange(len(mutant))] = dice.randrange(32, 127)
        read = []
        for with_libyaml in (True, False):
            monkeypatch.setattr(yaml, "__with_libyaml__", with_libyaml)
            try:
                read.append(data(bytes(mutant)))
            except ConfigError:
                read.append(ConfigError)
        monkeypatch.setattr(yaml, "__with_libyaml__", True)
        if read[0] != read[1] and ConfigError not in read:
            differing.append(bytes(mutant))
    assert differing == []
