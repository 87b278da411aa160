"""Case files: what the packaged suite holds, the words of a case, and how wrong files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shared_data import DATA, needs_data

from pytest_kimiprobe.cases import json_schemas as schema_cases
from pytest_kimiprobe.cases import model as cases
from pytest_kimiprobe.cases import texts as case_texts
from pytest_kimiprobe.cases.model import Case, CaseError, in_suite

PACKAGED = [case for file in sorted(cases.FOLDER.glob("*.yaml")) for case in cases.load(file)]
BY_NAME = {case.name: case for case in PACKAGED}
HEAD = "version: 1\ncases:\n"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "own.kimiprobe.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def loaded(folder: Path, row: str) -> Case:
    """The one case of a file that begins as all do."""
    (case,) = cases.load(written(folder, HEAD + row))
    return case


class TestTheSuite:
    def test_its_three_sizes(self) -> None:
        """About six cases to smell smoke, about 25 by default, all of them on demand."""
        sizes = {suite: sum(in_suite(case, suite) for case in PACKAGED) for suite in cases.SUITES}
        assert 5 <= sizes["smoke"] <= 8
        assert 22 <= sizes["core"] <= 30
        assert sizes["full"] == len(PACKAGED) >= 60

    @pytest.mark.parametrize("case", PACKAGED, ids=lambda case: case.name)
    def test_every_case_says_what_why_and_where(self, case: Case) -> None:
        """A reviewer can tell whether it is worth its money."""
        assert min(len(case.tests), len(case.why), len(case.seen)) > 15
        assert "http" in case.seen or "constructed" in case.seen

    def test_names_are_told_apart_over_all_files(self) -> None:
        """Results are kept by the case's name."""
        assert len(BY_NAME) == len(PACKAGED)

    @pytest.mark.parametrize(
        "keyword",
        ["oneOf", "allOf", "const", "pattern", "format", "anyOf", "$defs", "$ref", "enum", "additionalProperties"],
    )
    def test_every_common_keyword_of_json_schema_occurs(self, keyword: str) -> None:
        """Moonshot's data lack the first five."""
        assert any(f"'{keyword}':" in str(case.tools) for case in PACKAGED)

    def test_what_no_other_suite_asserts_is_asserted_by_core(self) -> None:
        """Leaked tokens and cut streams by every case; id rules and parity by these."""
        core = [case for case in PACKAGED if in_suite(case, "core")]
        assert sum(bool(case.parity) for case in core) >= 8
        assert any("fresh" in case.expect.ids for case in core)
        assert any(case.expect.well_formed for case in core)
        assert any(case.expect.usage for case in core)

    def test_names_of_tools_at_the_protocols_edges_occur(self) -> None:
        """Hyphens, dots, digits, 64 characters."""
        names = {tool["function"]["name"] for case in PACKAGED for tool in case.tools}
        assert any("-" in name for name in names)
        assert any("." in name for name in names)
        assert any(name[-1].isdigit() for name in names)
        assert max(map(len, names)) == 64

    def test_every_value_of_tool_choice_occurs(self) -> None:
        """The named one is a mapping."""
        kinds = {case.tool_choice if isinstance(case.tool_choice, str | None) else "named" for case in PACKAGED}
        assert kinds == {None, "auto", "none", "required", "named"}


class TestLongRequests:
    def test_texts_are_repeated_and_named(self) -> None:
        """Four kilobytes of argument are three lines of file."""
        case = BY_NAME["four-kilobytes"]
        block = "0123456789abcdef" * 256
        assert block in case.messages[0]["content"]
        assert case.expect.calls is not None
        assert case.expect.calls[0].arguments["content"] == block

    @pytest.mark.parametrize(("name", "count"), [("right-tool-of-fifty", 50), ("right-tool-of-all", 128)])
    def test_tools_are_filled_up_around_the_own_ones(self, name: str, count: int) -> None:
        """The own ones stand in the middle, names differ."""
        names = [tool["function"]["name"] for tool in BY_NAME[name].tools]
        assert len(names) == len(set(names)) == count
        assert 10 < names.index("get_weather") < count - 10

    def test_a_context_of_so_many_words_comes_before_the_request(self) -> None:
        """The same one each day."""
        case = BY_NAME["long-context"]
        assert case.messages[0]["role"] == "system"
        assert 1800 < len(case.messages[0]["content"].split()) < 2600
        assert case.messages[0] == case_texts.context(2000)

    def test_a_picture_is_a_png(self) -> None:
        """As data URL, in the place that names it."""
        content = BY_NAME["picture-in-words"].messages[0]["content"]
        assert content[1]["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")

    @pytest.mark.parametrize(
        ("texts", "words"),
        [("{b: {repeat: abcdefghijkl, times: 100000}}", "1048576 characters"), ("{a: x}", "<<b>> is not under")],
    )
    def test_what_cannot_be_filled_in_is_refused(self, tmp_path: Path, texts: str, words: str) -> None:
        """Too much text, or a name that is not there."""
        row = f"  - {{name: a, texts: {texts}, prompt: '<<b>>', expect: {{calls: []}}}}\n"
        with pytest.raises(CaseError, match=words) as caught:
            loaded(tmp_path, row)
        assert caught.value.where.endswith("own.kimiprobe.yaml:3:12")


TOOL = "{name: f, parameters: %s}"


class TestBadFiles:
    @pytest.mark.parametrize(
        ("text", "place", "words"),
        [
            ("", ":1:1", "is empty; a case file holds"),
            (" \n\n", ":1:1", "is empty; a case file holds"),
            (b"#" * ((1 << 20) + 1), ":1:1", "at most 1048576 are read"),
            (b"\xff\xfea", ":1:1", "UTF-16"),
            ("cases: &a [*a, *a]", ":1:8", "anchors are not read here"),
            ("a: &a [x, x]\nb: &b [*a, *a]\n", ":1:4", "anchors are not read here"),
            ("version: 1\ncases: []\n", ":2:8", "less than 1 item"),
            (HEAD + "  - {name: ../../etc/passwd, prompt: p, expect: {calls: []}}", ":3:12", "does not match"),
            (HEAD + "  - {name: a/b, prompt: p, expect: {calls: []}}", ":3:12", "does not match"),
            (HEAD + "  - {name: a, prompt: p, expect: {}}", ":3:34", "less than 1 propert"),
            (HEAD + "  - {name: a, expect: {calls: []}}", ":3:5", "is not valid under"),
            (HEAD + "  - {name: a, prompt: p, tools: [b], expect: {calls: []}}", ":3:34", "no tool 'b' under `tools`"),
        ],
    )
    def test_each_is_told_with_file_line_and_column(
        self, tmp_path: Path, text: str | bytes, place: str, words: str
    ) -> None:
        """And with what is wrong."""
        with pytest.raises(CaseError, match=words) as caught:
            cases.load(written(tmp_path, text))
        assert caught.value.where == f"{tmp_path}/own.kimiprobe.yaml{place}"

    @pytest.mark.parametrize(
        ("schema", "words"),
        [
            ("{type: objekt}", "not a JSON Schema"),
            ("{type: object, properties: []}", "not a JSON Schema"),
            ("{$ref: 'https://example.invalid/x.json'}", "cannot be resolved offline"),
            ("{type: object, properties: {a: {$ref: 'file:///etc/passwd'}}}", "cannot be resolved offline"),
            ("{type: object, properties: {a: {pattern: '(?=x)'}}}", "look-around"),
        ],
    )
    @pytest.mark.parametrize("shared", [True, False])
    def test_a_tool_without_a_usable_schema_is_told_where_it_stands(
        self, tmp_path: Path, schema: str, words: str, *, shared: bool
    ) -> None:
        """Nothing is fetched; a shared tool is told at its own line though no case offers it."""
        offered = f"[{TOOL % schema}]"
        text = (
            f"version: 1\ntools:\n  f:\n    parameters: {schema}\n"
            + HEAD[11:]
            + "  - {name: a, prompt: p, expect: {calls: []}}\n"
            if shared
            else HEAD + f"  - name: a\n    prompt: p\n    tools: {offered}\n    expect: {{calls: []}}\n"
        )
        with pytest.raises(CaseError, match=words) as caught:
            cases.load(written(tmp_path, text))
        assert caught.value.where.endswith(":4:5" if shared else ":5:13")

    @pytest.mark.parametrize("beside", ["refused: true, calls: []", "any_of: [{refused: true}, {calls: []}]"])
    def test_a_refusal_is_expected_alone(self, tmp_path: Path, beside: str) -> None:
        """What else could be asked of it is asked of an answer."""
        with pytest.raises(CaseError, match="stands alone") as caught:
            loaded(tmp_path, f"  - {{name: a, prompt: p, expect: {{{beside}}}}}\n")
        assert caught.value.where.endswith(":3:34")

    @pytest.mark.parametrize(
        "effects", ["{f: {sing: [a]}}", "{f: {put: [a]}}", "{f: {}}", "{f: {drop: [a], put: [a, b]}}"]
    )
    def test_an_effect_that_there_is_not_is_told(self, tmp_path: Path, effects: str) -> None:
        """By file, line and column."""
        state = f"{{before: {{}}, after: {{}}, effects: {effects}}}"
        with pytest.raises(CaseError) as caught:
            loaded(tmp_path, f"  - {{name: a, prompt: p, expect: {{end_state: {state}}}}}\n")
        assert "own.kimiprobe.yaml:3:" in caught.value.where

    @pytest.mark.parametrize("pattern", ["(", "(?=x)", "(a)\\\\1"])
    def test_an_expression_that_cannot_be_used_is_told(self, tmp_path: Path, pattern: str) -> None:
        """When the file is read, not when an answer comes."""
        row = f'  - {{name: a, prompt: p, expect: {{text: {{$not: {{$matches: "{pattern}"}}}}}}}}\n'
        with pytest.raises(CaseError, match="linear time") as caught:
            loaded(tmp_path, row)
        assert caught.value.where.endswith(":3:34")

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        """By its path."""
        with pytest.raises(CaseError, match="No such file"):
            cases.load(tmp_path / "none.yaml")


class TestSchemaCases:
    def test_each_line_is_a_case_of_the_full_suite(self, tmp_path: Path) -> None:
        """What is no object's schema becomes the one argument `value`; definitions stay in reach."""
        path = tmp_path / "s.jsonl"
        path.write_text(
            '{"type":"object","properties":{"a":{}}}\n\n{"$defs":{"N":{"type":"number"}},"$ref":"#/$defs/N"}\n'
        )
        first, second = schema_cases.load(path)
        assert (first.name, second.name, second.suite) == ("line-1", "line-3", "full")
        parameters: Any = second.tools[0]["function"]["parameters"]
        assert parameters["properties"] == {"value": {"$ref": "#/$defs/N"}}
        assert not second.unusable

    @pytest.mark.parametrize(("line", "words"), [("{", "not JSON"), ("[]", "one JSON object"), ("NaN", "not JSON")])
    def test_a_line_that_is_no_schema_is_told(self, tmp_path: Path, line: str, words: str) -> None:
        """By file and line."""
        path = tmp_path / "s.jsonl"
        path.write_text("{}\n" + line + "\n")
        with pytest.raises(CaseError, match=words) as caught:
            schema_cases.load(path)
        assert caught.value.where == f"{path}:2:1"

    def test_a_schema_that_the_judge_cannot_use_is_kept_as_such(self, tmp_path: Path) -> None:
        """It is not the endpoint's fault, and no other case suffers."""
        path = tmp_path / "s.jsonl"
        long = '{"type":"object","properties":{"a":{"items":{"minLength":100000}}}}'
        path.write_text('{"type":"object","properties":{"a":{"pattern":"(?=x)"}}}\n{"type":"object"}\n' + long)
        first, second, third = schema_cases.load(path)
        assert "look-around" in first.unusable
        assert not second.unusable
        assert "minLength 100000" in third.unusable

    def test_a_folder_without_schemas_is_told(self, tmp_path: Path) -> None:
        """Instead of an empty run."""
        with pytest.raises(CaseError, match="no folder with"):
            schema_cases.files(tmp_path)

    @needs_data
    def test_moonshots_own_schemas_become_cases(self) -> None:
        """212 lines; hardly any is beyond the judge."""
        found = [case for file in schema_cases.files(DATA / "schemas") for case in schema_cases.load(file)]
        assert len(found) == 212
        assert sum(bool(case.unusable) for case in found) <= 8
