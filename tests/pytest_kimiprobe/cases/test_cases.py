"""Case files: content of the packaged suite, the fields of a case, and errors in case files."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
from shared_data import DATA, needs_data

from pytest_kimiprobe.cases import json_schemas as schema_cases
from pytest_kimiprobe.cases import model as cases
from pytest_kimiprobe.cases import texts as case_texts
from pytest_kimiprobe.cases.model import Case, CaseError, in_suite
from pytest_kimiprobe.cases.plan import cannot
from routing import catalog
from routing.evidence.model import PROBE_PROMPT_TOKENS
from routing.tokens import prompt_tokens_of

PACKAGED = [case for file in sorted(cases.FOLDER.glob("*.yaml")) for case in cases.load(file)]
BY_NAME = {case.name: case for case in PACKAGED}
HEAD = "version: 1\ncases:\n"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "own.kimiprobe.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def loaded(folder: Path, row: str) -> Case:
    """The only case of a file with the common beginning."""
    (case,) = cases.load(written(folder, HEAD + row))
    return case


def test_tools_may_be_declared_in_a_message(tmp_path: Path) -> None:
    """Before the last message, as Kimi K3 accepts it; the request then offers none."""
    row = "- {name: a, prompt: hi, tools: [{name: f}], dynamic_tools: true, expect: {calls: [{name: f}]}}"
    request = loaded(tmp_path, row).request("plain")
    assert request.tools == ()
    assert [message["role"] for message in request.messages] == ["system", "user"]
    assert request.messages[0]["tools"][0]["function"]["name"] == "f"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("dynamic_tools: true", "dynamic_tools needs tools"),
        ("tools: [{name: f}], dynamic_tools: true, emulate_tools: true", "exclude each other"),
    ],
)
def test_tools_cannot_be_declared_in_two_ways(tmp_path: Path, fields: str, said: str) -> None:
    """The message names file, line and field."""
    with pytest.raises(CaseError, match=rf"own.kimiprobe.yaml:3:.*{said}"):
        loaded(tmp_path, f"- {{name: a, prompt: hi, {fields}, expect: {{calls: []}}}}")


@pytest.mark.parametrize(
    ("endpoint", "field", "reason"),
    [
        ("openrouter/moonshotai/kimi-k3", "dynamic_tools: true", "takes no tools in messages"),
        ("moonshot/kimi-k3", "dynamic_tools: true", ""),
        ("anthropic/claude-sonnet-5-5", "expect: {prompt_tokens: {$at_most: 9}}", "not those of Kimi models"),
        ("replicate/moonshotai/kimi-k2.5", "expect: {prompt_tokens: {$at_most: 9}}", "report neither tokens nor a cut"),
        ("replicate/moonshotai/kimi-k2.5", "expect: {finish_reason: length}", "report neither tokens nor a cut"),
        ("moonshot/kimi-k2.7-code", "need: [thinking_off]", "cannot stop thinking"),
    ],
)
def test_what_an_endpoint_cannot_do_is_not_asked(tmp_path: Path, endpoint: str, field: str, reason: str) -> None:
    """A missing capability is `unsupported` and says which one it is."""
    tools = ", tools: [{name: f}]" if "dynamic" in field else ""
    expect = "" if "expect" in field else ", expect: {calls: []}"
    case = loaded(tmp_path, f"- {{name: a, prompt: hi{tools}, {field}{expect}}}")
    found = cannot(case, catalog.load().endpoint(endpoint), "stream")
    assert reason in found
    assert bool(reason) == bool(found)


def test_own_cases_are_evidence_only_if_their_file_says_so(tmp_path: Path) -> None:
    """Packaged cases always are."""
    row = "  - {name: a, prompt: Hi, expect: {calls: []}}\n"
    assert not loaded(tmp_path, row).evidence
    (case,) = cases.load(written(tmp_path, f"version: 1\nevidence: true\ncases:\n{row}"))
    assert case.evidence
    assert all(one.evidence for one in PACKAGED)


class TestTheSuite:
    def test_its_three_sizes(self) -> None:
        """About six cases in `smoke`, about 25 in `core`, all of them in `full`."""
        sizes = {suite: sum(in_suite(case, suite) for case in PACKAGED) for suite in cases.SUITES}
        assert 5 <= sizes["smoke"] <= 8
        assert 22 <= sizes["core"] <= 30
        assert sizes["full"] == len(PACKAGED) >= 60

    @pytest.mark.parametrize("case", PACKAGED, ids=lambda case: case.name)
    def test_every_case_says_what_why_and_where(self, case: Case) -> None:
        """A reviewer can decide whether a case is worth its cost."""
        assert min(len(case.tests), len(case.why), len(case.seen)) > 15
        assert "http" in case.seen or "constructed" in case.seen

    def test_the_router_knows_how_long_the_prompt_of_a_probe_is(self) -> None:
        """It compares requests with the median prompt of the suite that runs by default."""
        requests = [case.request("plain") for case in PACKAGED if in_suite(case, "core")]
        median = statistics.median(prompt_tokens_of(request.messages, request.tools) for request in requests)
        assert median == pytest.approx(PROBE_PROMPT_TOKENS, rel=0.25)

    def test_names_are_unique_over_all_files(self) -> None:
        """Results are stored by the name of a case."""
        assert len(BY_NAME) == len(PACKAGED)

    @pytest.mark.parametrize(
        "keyword",
        ["oneOf", "allOf", "const", "pattern", "format", "anyOf", "$defs", "$ref", "enum", "additionalProperties"],
    )
    def test_every_common_keyword_of_json_schema_occurs(self, keyword: str) -> None:
        """Moonshot's data lack the first five."""
        assert any(f"'{keyword}':" in str(case.tools) for case in PACKAGED)

    def test_what_no_other_suite_asserts_is_asserted_by_core(self) -> None:
        """Every case checks for leaked tokens and cut streams; these cases check id rules and parity."""
        core = [case for case in PACKAGED if in_suite(case, "core")]
        assert sum(bool(case.parity) for case in core) >= 8
        assert any("fresh" in case.expect.ids for case in core)
        assert any(case.expect.well_formed for case in core)
        assert any(case.expect.usage for case in core)

    def test_names_of_tools_at_the_protocols_edges_occur(self) -> None:
        """Hyphens, dots, digits and 64 characters occur."""
        names = {tool["function"]["name"] for case in PACKAGED for tool in case.tools}
        assert any("-" in name for name in names)
        assert any("." in name for name in names)
        assert any(name[-1].isdigit() for name in names)
        assert max(map(len, names)) == 64

    def test_every_value_of_tool_choice_occurs(self) -> None:
        """The named choice is a mapping."""
        kinds = {case.tool_choice if isinstance(case.tool_choice, str | None) else "named" for case in PACKAGED}
        assert kinds == {None, "auto", "none", "required", "named"}


class TestLongRequests:
    def test_texts_are_repeated_and_named(self) -> None:
        """Four kilobytes of an argument need three lines of the file."""
        case = BY_NAME["four-kilobytes"]
        block = "0123456789abcdef" * 256
        assert block in case.messages[0]["content"]
        assert case.expect.calls is not None
        assert case.expect.calls[0].arguments["content"] == block

    @pytest.mark.parametrize(("name", "count"), [("right-tool-of-fifty", 50), ("right-tool-of-all", 128)])
    def test_generated_tools_surround_those_of_the_case(self, name: str, count: int) -> None:
        """The case's tools are in the middle of the generated ones, and all names differ."""
        names = [tool["function"]["name"] for tool in BY_NAME[name].tools]
        assert len(names) == len(set(names)) == count
        assert 10 < names.index("get_weather") < count - 10

    def test_a_context_of_so_many_words_comes_before_the_request(self) -> None:
        """The generated context is the same each time."""
        case = BY_NAME["long-context"]
        assert case.messages[0]["role"] == "system"
        assert 1800 < len(case.messages[0]["content"].split()) < 2600
        assert case.messages[0] == case_texts.context(2000)

    def test_a_picture_is_a_png(self) -> None:
        """It is inserted as a data URL at the place that names it."""
        content = BY_NAME["picture-in-words"].messages[0]["content"]
        assert content[1]["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")

    @pytest.mark.parametrize(
        ("texts", "words"),
        [("{b: {repeat: abcdefghijkl, times: 100000}}", "1048576 characters"), ("{a: x}", "<<b>> is not under")],
    )
    def test_what_cannot_be_filled_in_is_refused(self, tmp_path: Path, texts: str, words: str) -> None:
        """A text that is too long, or an unknown name, is refused."""
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
            (HEAD + "  - {name: a, expect: {calls: []}}", ":3:5", "give a prompt or messages"),
            (HEAD + "  - {name: a, prompt: p, tools: [b], expect: {calls: []}}", ":3:34", "no tool 'b' under `tools`"),
        ],
    )
    def test_each_mistake_is_reported_with_file_line_and_column(
        self, tmp_path: Path, text: str | bytes, place: str, words: str
    ) -> None:
        """Each mistake is reported with its place and reason."""
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
    def test_an_unusable_schema_of_a_tool_is_reported_at_its_line(
        self, tmp_path: Path, schema: str, words: str, *, shared: bool
    ) -> None:
        """Nothing is fetched; a shared tool is reported at its line even if no case offers it."""
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
        """Other conditions apply to an answer, and a refusal is not an answer."""
        with pytest.raises(CaseError, match="stands alone") as caught:
            loaded(tmp_path, f"  - {{name: a, prompt: p, expect: {{{beside}}}}}\n")
        assert caught.value.where.endswith(":3:34")

    @pytest.mark.parametrize(
        "effects", ["{f: {sing: [a]}}", "{f: {put: [a]}}", "{f: {}}", "{f: {drop: [a], put: [a, b]}}"]
    )
    def test_an_unknown_effect_is_reported(self, tmp_path: Path, effects: str) -> None:
        """The error names file, line and column."""
        state = f"{{before: {{}}, after: {{}}, effects: {effects}}}"
        with pytest.raises(CaseError) as caught:
            loaded(tmp_path, f"  - {{name: a, prompt: p, expect: {{end_state: {state}}}}}\n")
        assert "own.kimiprobe.yaml:3:" in caught.value.where

    @pytest.mark.parametrize("pattern", ["(", "(?=x)", "(a)\\\\1"])
    def test_an_unusable_expression_is_reported(self, tmp_path: Path, pattern: str) -> None:
        """The error is raised when the file is read, not when an answer arrives."""
        row = f'  - {{name: a, prompt: p, expect: {{text: {{$not: {{$matches: "{pattern}"}}}}}}}}\n'
        with pytest.raises(CaseError, match="linear time") as caught:
            loaded(tmp_path, row)
        assert caught.value.where.endswith(":3:34")

    def test_a_missing_file_is_reported(self, tmp_path: Path) -> None:
        """The error names the path."""
        with pytest.raises(CaseError, match="No such file"):
            cases.load(tmp_path / "none.yaml")


class TestSchemaCases:
    def test_each_line_is_a_case_of_the_full_suite(self, tmp_path: Path) -> None:
        """A schema of another type becomes the argument `value`; its definitions stay reachable."""
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
    def test_a_line_that_is_not_a_schema_is_reported(self, tmp_path: Path, line: str, words: str) -> None:
        """The error names file and line."""
        path = tmp_path / "s.jsonl"
        path.write_text("{}\n" + line + "\n")
        with pytest.raises(CaseError, match=words) as caught:
            schema_cases.load(path)
        assert caught.value.where == f"{path}:2:1"

    def test_a_schema_that_the_judge_cannot_use_is_marked_unusable(self, tmp_path: Path) -> None:
        """It does not count against the endpoint, and other cases still run."""
        path = tmp_path / "s.jsonl"
        long = '{"type":"object","properties":{"a":{"items":{"minLength":100000}}}}'
        path.write_text('{"type":"object","properties":{"a":{"pattern":"(?=x)"}}}\n{"type":"object"}\n' + long)
        first, second, third = schema_cases.load(path)
        assert "look-around" in first.unusable
        assert not second.unusable
        assert "minLength 100000" in third.unusable

    def test_a_folder_without_schemas_is_an_error(self, tmp_path: Path) -> None:
        """It is an error instead of an empty run."""
        with pytest.raises(CaseError, match="no folder with"):
            schema_cases.files(tmp_path)

    @needs_data
    def test_moonshots_own_schemas_become_cases(self) -> None:
        """212 lines; the judge can use nearly all of them."""
        found = [case for file in schema_cases.files(DATA / "schemas") for case in schema_cases.load(file)]
        assert len(found) == 212
        assert sum(bool(case.unusable) for case in found) <= 8
