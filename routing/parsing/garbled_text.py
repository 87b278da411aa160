"""Detects answers whose text the host damaged or wrote itself: undecoded tokens, runs of `!`, busy notices. Pure."""

from __future__ import annotations

import re

from ..types import Usage

_SPACES = "ĠĊĉ"
"""Space, line feed and tab in the alphabet of byte-level tokenizers."""
_FEWEST = 4
"""The fewest exclamation marks in a text of nothing else that count as damage."""
_PLAIN = (*range(33, 127), *range(161, 173), *range(174, 256))
"""The bytes that byte-level tokenizers write as the character of the same number. The others follow from 256 on:
https://github.com/openai/gpt-2/blob/master/src/encoder.py
"""
_BYTES = {chr(byte): byte for byte in _PLAIN} | {
    chr(256 + at): byte for at, byte in enumerate(byte for byte in range(256) if byte not in _PLAIN)
}


_LONGEST_NOTICE = 300
"""The most characters of a host's notice, such as `resource busy`."""
_NOTICE = re.compile(
    r"(?i)\b(?:busy|overloaded|at capacity|unavailable|try again|rate limit|too many requests|quota)\b"
)
"""Pattern of a host's notice. It is checked only if the host reports 0 prompt tokens, as a host without counts does."""


def text_fault(text: str, usage: Usage | None) -> tuple[str, str]:
    """Reason code and detail of what is wrong with the text of an answer; both empty if it is sound."""
    if detail := garbled(text):
        return "garbled_text", detail
    if usage is None or usage.completion_tokens or len(text) > _LONGEST_NOTICE:
        return "", ""
    return ("host_notice", "0 completion tokens") if usage.counted or _NOTICE.search(text) else ("", "")


def garbled(text: str) -> str:
    """What is wrong with a text that its host damaged; empty for any other text."""
    if text.count("!") >= _FEWEST and not text.replace("!", "").strip():
        return "nothing but exclamation marks, the first token of the vocabulary"
    return "tokens that were not decoded into text" if _is_undecoded(text.strip()) else ""


def _is_undecoded(text: str) -> bool:
    """Whether a text is in the alphabet of byte-level tokenizers: its spaces outnumber real ones, or none is real."""
    if text.isascii():
        return False
    white = sum(map(text.count, " \n\t"))
    if sum(map(text.count, _SPACES)) > max(1, 2 * white):  # Ġ is also a letter of Maltese
        return True
    if white or max(text) > max(_BYTES) or not all(char in _BYTES for char in text):
        return False
    try:
        return not bytes(map(_BYTES.__getitem__, text)).decode().isascii()
    except UnicodeDecodeError:
        return False
