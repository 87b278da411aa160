"""Judging: gives a verdict on an answer by what its case expects, and compares plain with streamed answers."""
