"""Published parsers of inference engines: their real defects reach our judge, and core cases catch them."""

from __future__ import annotations

import pytest
from engine_process import ENGINES, Engine, installed, needs_engines
from engine_wire import MODES, Said, Word, exchanged, word
from model_writings import PACKAGED, right
from seen_faults import BY_NAME, SEEN, Seen
from shown_defects import CORE, PAGE, THERE_FOR, TRAPS, by_engines, by_seen, renewed, right_words, trapped

pytestmark = pytest.mark.long

OK: Word = ("pass", "ok")


def shown(engine: str, trap: str) -> tuple[Word, Word]:
    (full,) = {one.name for one in ENGINES if one.name == engine}
    return trapped()[full, trap]


@needs_engines
class TestDefectsReachTheJudge:
    @pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
    def test_the_parsers_are_those_that_are_named(self, engine: Engine) -> None:
        """The pinned version, and the file that the page names."""
        assert installed(engine) == (engine.version, True)

    @pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
    def test_every_parser_renders_a_plain_call_rightly(self, engine: Engine) -> None:
        """What it gets wrong is not ours: the same path, from its process to our judge, passes a simple call."""
        trap = {"k2": "a name with hyphens", "k3": "K3: a name with hyphens"}[engine.form]
        if engine.name == "sglang 0.5.1 K2":
            trap = "several calls"
        assert shown(engine.name, trap) == (OK, OK)

    def test_a_hyphenated_tool_is_lost(self) -> None:
        """By an expression that knows no hyphen; the plain answer leaks it, the stream says nothing at all."""
        expected = (("rescued", "rescued_text"), ("fail", "empty_answer"))
        assert shown("sglang 0.5.1 K2", "a name with hyphens") == expected

    @pytest.mark.parametrize("engine", ["vllm-tpu 0.21.0 K2", "vllm-tpu 0.10.1.1 K2"])
    def test_a_dotted_name_is_cut(self, engine: str) -> None:
        """What is left of it is a name that nobody offered."""
        assert shown(engine, "a name with a dot") == (("fail", "unknown_tool"),) * 2

    @pytest.mark.parametrize("engine", [one.name for one in ENGINES if one.form == "k2"])
    def test_singular_section_tokens_leak(self, engine: str) -> None:
        """From every K2 parser; what is lost for others is rescued here."""
        assert {verdict for verdict, _ in shown(engine, "singular section tokens")} == {"rescued"}

    @pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
    def test_unknown_tools_are_passed_on(self, engine: Engine) -> None:
        """By every parser, and refused by the judge."""
        trap = {"k2": "a tool that was not offered", "k3": "K3: a tool that was not offered"}[engine.form]
        assert shown(engine.name, trap) == (("fail", "unknown_tool"),) * 2

    @pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
    def test_arguments_are_cut_at_a_quoted_marker(self, engine: Engine) -> None:
        """In streams by every parser."""
        trap = {"k2": "a marker quoted in an argument", "k3": "K3: a marker quoted in an argument"}[engine.form]
        verdict, reason = shown(engine.name, trap)[1]
        assert (verdict, reason in {"arguments_not_json", "wrong_arguments"}) == ("fail", True)

    def test_several_calls_become_one(self) -> None:
        """An expression that takes as much as it can swallows all but the last; its stream is right: parity sees it."""
        assert shown("vllm-tpu 0.10.1.1 K2", "several calls") == (("fail", "wrong_arguments"), OK)

    def test_the_page_shows_what_is_so(self) -> None:
        """`python tests/engines/shown_defects.py` renews it."""
        page = PAGE.read_text("utf-8")
        assert renewed(page) == page


class TestEachCoreCaseCatches:
    @pytest.mark.parametrize("name", CORE)
    def test_the_right_rendering_passes(self, name: str) -> None:
        """Plain and streamed; JSON in the text is right by rescue."""
        assert right_words(name) == {("rescued", "rescued_text") if name == "json-in-text" else OK}

    @pytest.mark.parametrize("name", CORE)
    def test_a_fault_seen_in_the_wild_is_turned_down(self, name: str) -> None:
        """One with a thread or a published figure to its name, not one of our own making."""
        assert [seen for seen in by_seen(name) if BY_NAME[seen].where != "constructed"]

    @needs_engines
    @pytest.mark.parametrize("name", CORE)
    def test_what_it_is_there_for_is_turned_down(self, name: str) -> None:
        """A parser's rendering of a right answer, or a fault."""
        assert THERE_FOR[name] in (*by_engines()[name], *by_seen(name))

    @needs_engines
    @pytest.mark.parametrize("name", [name for name in CORE if right(name).calls])
    def test_a_case_with_calls_catches_real_parsers(self, name: str) -> None:
        """Newest ones too, not only those of 2025."""
        assert [told for told in by_engines()[name] if "0.5.1 " not in told and "0.10.1.1" not in told]

    @pytest.mark.parametrize("seen", SEEN, ids=lambda seen: seen.name)
    def test_no_fault_is_listed_in_vain(self, seen: Seen) -> None:
        """Each befalls the right answer of some packaged case, and is turned down there."""
        assert [name for name in PACKAGED if seen.name in by_seen(name)]


def test_traps_ask_for_packaged_cases() -> None:
    """And each has a name of its own."""
    assert len({trap.name for trap in TRAPS}) == len(TRAPS)
    assert {trap.case for trap in TRAPS} <= PACKAGED.keys()


def test_the_wire_between_is_the_one_that_production_uses() -> None:
    """A right answer comes back as it was, arguments byte for byte, plain and streamed."""
    draft = right("other-scripts")
    for mode in MODES:
        answer = exchanged(Said.of_draft(draft), mode).answer
        assert answer is not None
        assert [call.arguments for call in answer.tool_calls] == [call.arguments for call in draft.calls]
        assert word(PACKAGED["other-scripts"], Said.of_draft(draft), mode) == OK
