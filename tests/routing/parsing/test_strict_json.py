"""Strict JSON in the categories of the public JSONTestSuite: y_ must be accepted, n_ refused, i_ is decided here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.parsing.strict_json import MAX_CHARS, MAX_DEPTH, StrictJsonError, deeper_than, loads

ACCEPTED: dict[str, tuple[str, Any]] = {
    "y_array_arraysWithSpaces": ("[[]   ]", [[]]),
    "y_array_empty_string": ('[""]', [""]),
    "y_array_ending_with_newline": ('["a"]\n', ["a"]),
    "y_array_heterogeneous": ('[null, 1, "1", {}]', [None, 1, "1", {}]),
    "y_array_with_leading_space": (" [1]", [1]),
    "y_array_with_several_null": ("[1,null,null,null,2]", [1, None, None, None, 2]),
    "y_number": ("[123e65]", [123e65]),
    "y_number_0e_plus_1": ("[0e+1]", [0.0]),
    "y_number_0e1": ("[0e1]", [0.0]),
    "y_number_double_close_to_zero": (
        "[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]",
        [-1e-78],
    ),
    "y_number_int_with_exp": ("[20e1]", [200.0]),
    "y_number_minus_zero": ("[-0]", [0]),
    "y_number_negative_one": ("[-1]", [-1]),
    "y_number_real_capital_e_neg_exp": ("[1E-2]", [0.01]),
    "y_number_real_fraction_exponent": ("[123.456e78]", [123.456e78]),
    "y_object_basic": ('{"asd":"sdf"}', {"asd": "sdf"}),
    "y_object_empty_key": ('{"":0}', {"": 0}),
    "y_object_escaped_null_in_key": ('{"foo\\u0000bar": 42}', {"foo\x00bar": 42}),
    "y_object_extreme_numbers": ('{ "min": -1.0e+28, "max": 1.0e+28 }', {"min": -1e28, "max": 1e28}),
    "y_object_string_unicode": ('{"title":"\\u041f\\u043e"}', {"title": "\u041f\u043e"}),
    "y_object_with_newlines": ('{\n"a": "b"\n}', {"a": "b"}),
    "y_string_accepted_surrogate_pair": ('["\\uD801\\udc37"]', ["\U00010437"]),
    "y_string_accepted_surrogate_pairs": ('["\\ud83d\\ude39\\ud83d\\udc8d"]', ["\U0001f639\U0001f48d"]),
    "y_string_allowed_escapes": ('["\\"\\\\\\/\\b\\f\\n\\r\\t"]', ['"\\/\b\f\n\r\t']),
    "y_string_backslash_and_u_escaped_zero": ('["\\\\u0000"]', ["\\u0000"]),
    "y_string_escaped_backslash_before_ud800": ('["\\\\ud800"]', ["\\ud800"]),
    "y_string_in_array_with_leading_space": ('[ "asd"]', ["asd"]),
    "y_string_last_surrogates_1_and_2": ('["\\uDBFF\\uDFFF"]', ["\U0010ffff"]),
    "y_string_nonCharacterInUTF-8_U+FFFF": ('["\uffff"]', ["\uffff"]),
    "y_string_null_escape": ('["\\u0000"]', ["\x00"]),
    "y_string_one-byte-utf-8": ('["\\u002c"]', [","]),
    "y_string_u+2028_line_sep": ('["\u2028"]', ["\u2028"]),
    "y_string_unescaped_char_delete": ('["\x7f"]', ["\x7f"]),
    "y_structure_lonely_false": ("false", False),
    "y_structure_lonely_int": ("42", 42),
    "y_structure_lonely_negative_real": ("-0.1", -0.1),
    "y_structure_lonely_null": ("null", None),
    "y_structure_lonely_string": ('"asd"', "asd"),
    "y_structure_string_empty": ('""', ""),
    "y_structure_whitespace_array": (" [] ", []),
}

REFUSED: dict[str, str] = {
    "n_array_1_true_without_comma": "[1 true]",
    "n_array_colon_instead_of_comma": '["": 1]',
    "n_array_comma_after_close": '[""],',
    "n_array_double_comma": "[1,,2]",
    "n_array_extra_close": '["x"]]',
    "n_array_extra_comma": '["",]',
    "n_array_incomplete": '["x"',
    "n_array_just_comma": "[,]",
    "n_array_just_minus": "[-]",
    "n_array_missing_value": '[   , ""]',
    "n_array_newlines_unclosed": '["a",\n4\n,1,',
    "n_array_number_and_several_commas": "[1,,]",
    "n_array_star_inside": "[*]",
    "n_array_unclosed_with_object_inside": "[{}",
    "n_incomplete_false": "[fals]",
    "n_incomplete_null": "[nul]",
    "n_incomplete_true": "[tru]",
    "n_number_++": "[++1234]",
    "n_number_+1": "[+1]",
    "n_number_+Inf": "[+Inf]",
    "n_number_-01": "[-01]",
    "n_number_-2.": "[-2.]",
    "n_number_-NaN": "[-NaN]",
    "n_number_.-1": "[.-1]",
    "n_number_.2e-3": "[.2e-3]",
    "n_number_0.1.2": "[0.1.2]",
    "n_number_0.3e": "[0.3e]",
    "n_number_0_capital_E+": "[0E+]",
    "n_number_0e": "[0e]",
    "n_number_1_000": "[1 000.0]",
    "n_number_1_underscore_000": "[1_000]",
    "n_number_1eE2": "[1eE2]",
    "n_number_2.e3": "[2.e3]",
    "n_number_9.e+": "[9.e+]",
    "n_number_Inf": "[Inf]",
    "n_number_NaN": "[NaN]",
    "n_number_U+FF11_fullwidth_digit_one": "[\uff11]",
    "n_number_arabic_indic_digits": "[\u0661\u0662]",
    "n_number_expression": "[1+2]",
    "n_number_hex_1_digit": "[0x1]",
    "n_number_infinity": "[Infinity]",
    "n_number_minus_infinity": "[-Infinity]",
    "n_number_minus_space_1": "[- 1]",
    "n_number_neg_int_starting_with_zero": "[-012]",
    "n_number_then_00": "1\x00",
    "n_number_with_alpha": "[1.2a-3]",
    "n_number_with_leading_zero": "[012]",
    "n_object_bad_value": '["x", truth]',
    "n_object_bracket_key": '{[: "x"}',
    "n_object_comma_instead_of_colon": '{"x", null}',
    "n_object_double_colon": '{"x"::"b"}',
    "n_object_garbage_at_end": '{"a":"a" 123}',
    "n_object_key_with_single_quotes": "{key: 'value'}",
    "n_object_missing_colon": '{"a" b}',
    "n_object_missing_key": '{:"b"}',
    "n_object_missing_value": '{"a":',
    "n_object_no-colon": '{"a"',
    "n_object_non_string_key": "{1:1}",
    "n_object_single_quote": "{'a':0}",
    "n_object_trailing_comma": '{"id":0,}',
    "n_object_trailing_comment": '{"a":"b"}/**/',
    "n_object_trailing_comment_slash_open": '{"a":"b"}//',
    "n_object_two_commas_in_a_row": '{"a":"b",,"c":"d"}',
    "n_object_unquoted_key": '{a: "b"}',
    "n_object_unterminated-value": '{"a":"a',
    "n_object_with_single_string": '{ "foo" : "bar", "a" }',
    "n_object_with_trailing_garbage": '{"a":"b"}#',
    "n_single_space": " ",
    "n_string_1_surrogate_then_escape_u": '["\\uD800\\u"]',
    "n_string_1_surrogate_then_escape_u1x": '["\\uD800\\u1x"]',
    "n_string_accentuated_char_no_quotes": "[\u00e9]",
    "n_string_backslash_00": '["\\\x00"]',
    "n_string_escape_x": '["\\x00"]',
    "n_string_escaped_backslash_bad": '["\\\\\\"]',
    "n_string_escaped_emoji": '["\\\U0001f300"]',
    "n_string_incomplete_escape": '["\\"]',
    "n_string_incomplete_escaped_character": '["\\u00A"]',
    "n_string_invalid_backslash_esc": '["\\a"]',
    "n_string_invalid_unicode_escape": '["\\uqqqq"]',
    "n_string_leading_uescaped_thinspace": '[\\u0020"asd"]',
    "n_string_no_quotes_with_bad_escape": "[\\n]",
    "n_string_single_doublequote": '"',
    "n_string_single_quote": "['single quote']",
    "n_string_start_escape_unclosed": '["\\',
    "n_string_unescaped_ctrl_char": '["a\x00a"]',
    "n_string_unescaped_newline": '["new\nline"]',
    "n_string_unescaped_tab": '["\t"]',
    "n_string_with_trailing_garbage": '""x',
    "n_structure_100000_opening_arrays": "[" * 100_000,
    "n_structure_U+2060_word_joined": "[\u2060]",
    "n_structure_UTF8_BOM_no_data": "\ufeff",
    "n_structure_angle_bracket_null": "[<null>]",
    "n_structure_array_trailing_garbage": "[1]x",
    "n_structure_array_with_unclosed_string": '["asd]',
    "n_structure_capitalized_True": "[True]",
    "n_structure_close_unopened_array": "1]",
    "n_structure_double_array": "[][]",
    "n_structure_end_array": "]",
    "n_structure_no_data": "",
    "n_structure_null-byte-outside-string": "[\x00]",
    "n_structure_object_followed_by_closing_object": "{}}",
    "n_structure_object_unclosed_no_value": '{"":',
    "n_structure_open_array_object": '[{"":' * 50_000,
    "n_structure_single_star": "*",
    "n_structure_trailing_#": '{"a":"b"}#{}',
    "n_structure_unicode-identifier": "\u00e5",
    "n_structure_whitespace_formfeed": "[\x0c]",
    "n_structure_whitespace_U+00A0": "[\u00a0]",
}

DECIDED: dict[str, tuple[str, Any]] = {
    "i_number_double_huge_neg_exp underflows to zero": ("[123.456e-789]", [0.0]),
    "i_number_too_big_pos_int stays exact": ("[100000000000000000000]", [10**20]),
    "i_number_too_big_neg_int stays exact": ("[-123123123123123123123123123123]", [-123123123123123123123123123123]),
    "i_number_huge_exp is refused": ("[0.4e00669999999999999999999999999999999999999999999999]", None),
    "i_number_real_pos_overflow is refused": ("[123123e100000]", None),
    "i_number_real_neg_overflow is refused": ("[-123123e100000]", None),
    "i_number of more than 4300 digits is refused": ("[" + "7" * 5000 + "]", None),
    "i_object_key_lone_2nd_surrogate is refused": ('{"\\uDFAA":0}', None),
    "i_string_1st_surrogate_but_2nd_missing is refused": ('["\\uDADA"]', None),
    "i_string_1st_valid_surrogate_2nd_invalid is refused": ('["\\uD888\\u1234"]', None),
    "i_string_incomplete_surrogate_and_escape_valid is refused": ('["\\uD800\\n"]', None),
    "i_string_incomplete_surrogates_escape_valid is refused": ('["\\uD800\\uD800\\n"]', None),
    "i_string_inverted_surrogates is refused": ('["\\uDd1e\\uD834"]', None),
    "i_string_lone_second_surrogate is refused": ('["\\uDFAA"]', None),
    "i_string raw half of a pair is refused": ('["\ud800"]', None),
    "i_structure_UTF-8_BOM_empty_object is refused": ("\ufeff{}", None),
    "y_object_duplicated_key is refused": ('{"a":"b","a":"c"}', None),
    "y_object_duplicated_key_and_value is refused": ('{"a":"b","a":"b"}', None),
    "duplicate key written with an escape is refused": ('{"a":1,"\\u0061":2}', None),
    "200 levels are accepted": ("[" * MAX_DEPTH + "]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
    "i_structure_500_nested_arrays is refused": ("[" * 500 + "]" * 500, None),
    "201 levels under one object are refused": ('{"a":' + "[" * 200 + "]" * 200 + "}", None),
}


@pytest.mark.parametrize(("text", "value"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_grammar_allows_is_read(text: str, value: Any) -> None:
    """Every text that RFC 8259 must accept gives its value, with the types kept."""
    assert loads(text) == value
    assert json.dumps(loads(text)) == json.dumps(value)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_the_grammar_forbids_is_refused(text: str) -> None:
    """Every text that RFC 8259 must refuse raises StrictJsonError and nothing else."""
    with pytest.raises(StrictJsonError):
        loads(text)


@pytest.mark.parametrize(("text", "value"), DECIDED.values(), ids=DECIDED)
def test_what_the_grammar_leaves_open_is_decided(text: str, value: Any) -> None:
    """If parsers differ on a text, it has one value here or is refused."""
    if value is None:
        with pytest.raises(StrictJsonError):
            loads(text)
    else:
        assert loads(text) == value


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ('{"a":1,"b":{"a":1,"a":2}}', 18, "duplicate key"),
        ('{"k":"{\\"x\\":1", "l":[{"x":1}], "k":2}', 32, "duplicate key"),
        ("[1, NaN]", 4, "NaN and Infinity are not JSON"),
        ('["NaN", -Infinity]', 8, "NaN and Infinity are not JSON"),
        ("[1e5, -9e999]", 6, "number too large"),
        ("[1e999x", 1, "number too large"),
        ('["a", "\\ud83d x"]', 7, "half of a surrogate pair"),
        ('["abc', 1, "unterminated string starting"),
        ("[" * 300 + "]" * 300, MAX_DEPTH, "nested deeper than 200 levels"),
        ('{"a": tru}', 6, "expecting value"),
        ('{"a": 1', 7, "the text ends too early"),
        ("", 0, "empty"),
        ("[ " + "9" * 4400 + "x", 2, "integer too long"),
    ],
)
def test_an_error_says_where_and_why(text: str, position: int, reason: str) -> None:
    """The error has a character position and a short reason on one line."""
    with pytest.raises(StrictJsonError) as caught:
        loads(text)
    assert (caught.value.position, caught.value.reason) == (position, reason)


@given(st.text(max_size=60))
@settings(deadline=None)
def test_no_text_raises_anything_else(text: str) -> None:
    """For any text the result is a value or a StrictJsonError that does not repeat the text."""
    try:
        said = f"read as {type(loads(text)).__name__}"
    except StrictJsonError as error:
        said = str(error)
    assert len(said) < 120
    assert "\n" not in said


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=5) | st.dictionaries(st.text(), children, max_size=5),
    max_leaves=30,
)


@given(_JSON, st.booleans())
@settings(deadline=None)
def test_what_was_written_is_read_back(value: Any, ascii_only: bool) -> None:
    """Any JSON value written by the standard library is read back equal, escaped or not."""
    assert loads(json.dumps(value, ensure_ascii=ascii_only)) == value


@given(_JSON)
@settings(deadline=None)
def test_depth_is_counted_as_brackets_are(value: Any) -> None:
    """`deeper_than` agrees with the definition: a scalar has no level, a container one more than its deepest child."""

    def depth(node: Any) -> int:
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else None
        return 0 if children is None else 1 + max(map(depth, children), default=0)

    assert [deeper_than(value, limit) for limit in range(6)] == [depth(value) > limit for limit in range(6)]


def test_size_is_capped() -> None:
    """One character more than 1 MiB is refused, exactly 1 MiB is read."""
    assert loads('"' + "a" * (MAX_CHARS - 2) + '"') == "a" * (MAX_CHARS - 2)
    with pytest.raises(StrictJsonError, match="longer than"):
        loads('"' + "a" * (MAX_CHARS - 1) + '"')


def test_a_deep_caller_gets_an_error_not_a_crash() -> None:
    """With little space left on Python's stack the text is read or refused, never a RecursionError."""
    seen: list[str] = []

    def dive() -> None:
        try:
            dive()
        except RecursionError:
            if len(seen) < 50:  # on the way up, every call has a little more room
                try:
                    loads("[" * 180 + "]" * 180)
                except StrictJsonError as error:
                    seen.append(error.reason)
                else:
                    seen.append("read")
            raise

    with pytest.raises(RecursionError):
        dive()
    assert set(seen) <= {"read", "nested deeper than 200 levels"}
    assert seen
