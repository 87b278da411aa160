"""Detects text that its host damaged: tokens that were not decoded, or a model whose numbers overflowed. Pure."""

from __future__ import annotations

_SPACES = "ĠĊĉ"
"""Space, line feed and tab in the alphabet of byte-level tokenizers."""
_FEWEST = 4
"""The fewest exclamation marks that count as damage."""
_PLAIN = (*range(33, 127), *range(161, 173), *range(174, 256))
"""The bytes that byte-level tokenizers write as the character of the same number. The others follow from 256 on:
https://github.com/openai/gpt-2/blob/master/src/encoder.py
"""
_BYTES = {chr(byte): byte for byte in _PLAIN} | {
    chr(256 + at): byte for at, byte in enumerate(byte for byte in range(256) if byte not in _PLAIN)
}


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
