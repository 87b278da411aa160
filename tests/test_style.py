"""The language of sources and docs: a list of words to avoid, sentences of at most 25 words, lines of 120 columns."""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from import_graph import ROOT

AVOID = re.compile(
    r"\b(nobody|whoever|somebody|mend(?:s|ed|ing)?|(?:is|are|was|were) told|of (?:its|their|his|our) own|"
    r"stands? (?:in|for|at|beside|apart|there|behind|under)|stood|at once|lets? in|anybody|under way|as ever|"
    r"(?:none|empty|[a-z]+(?:error|problem|missing|rejected|unavailable)),? where|"
    r"where (?:there|nothing|neither|either|no) [a-z]+|"
    r"(?<!there )(?:is|are|was) no (?!longer|more|fewer|less)[a-z]+)\b",
    re.IGNORECASE,
)
WIDTH = 120
LONGEST = 25
"""Words of a sentence. A colon or semicolon ends one here, and inline code is one word."""
# Moved only: their text is written anew together with their design.
LEFT_ALONE = ("routing/rescue/",)
SOURCES = sorted(path for folder in ("routing", "pytest_kimiprobe", ".ci") for path in (ROOT / folder).rglob("*.py"))
SETTINGS = [ROOT / "Makefile", ROOT / ".ci" / "run", *sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "results" / "README.md", *(ROOT / "docs").glob("*.md")]
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose_of_source(text: str) -> Iterator[tuple[int, str]]:
    """Lines of docstrings, of strings below constants and of comments, each with its number."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
            yield from enumerate(lines, node.lineno)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith(("# noqa", "# type:", "# pragma")):
            yield token.start[0], token.line.rstrip("\n") if token.line.lstrip().startswith("#") else token.string


def sentences_of_source(text: str) -> Iterator[tuple[int, str]]:
    """Sentences of docstrings with the line of their docstring; indented examples are left out."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(node.value.value)):
                if not paragraph.startswith(" "):
                    plain = re.sub(r"`[^`]*`", "code", paragraph)
                    yield from ((node.lineno, sentence) for sentence in re.split(r"(?<=[.!?:;])\s", plain))


def prose_of_settings(text: str) -> Iterator[tuple[int, str]]:
    """Comments of a Makefile, a shell script or a workflow, each with its line."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.search(r"(?:^|\s)#(.*)", line):
            yield number, found[1]


def too_long(sentences: Iterator[tuple[int, str]]) -> list[str]:
    """Sentences of more words than a reader takes in at the first reading."""
    return [f"{number}: {text}" for number, text in sentences if len(re.findall(r"\S*\w\S*", text)) > LONGEST]


def prose_of_page(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a page outside code blocks; inline code is taken out."""
    for number, line in enumerate(re.sub(r"^```.*?^```", _blank, text, flags=re.DOTALL | re.MULTILINE).splitlines(), 1):
        yield number, re.sub(r"`[^`]*`", "", line)


def _blank(block: re.Match[str]) -> str:
    return "\n" * block[0].count("\n")


def avoided(lines: Iterator[tuple[int, str]]) -> list[str]:
    return [f"{number}: {found[0]}" for number, line in lines for found in AVOID.finditer(line)]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_docstrings_and_comments_use_plain_words(path: Path) -> None:
    """Words on the list need a second reading. Quoted data is not prose."""
    if not name_of(path).startswith(LEFT_ALONE):
        assert avoided(prose_of_source(path.read_text("utf-8"))) == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_docstrings_and_comments_fit_into_120_columns(path: Path) -> None:
    """The formatter leaves them alone."""
    if not name_of(path).startswith(LEFT_ALONE):
        long = [number for number, line in prose_of_source(path.read_text("utf-8")) if len(line) > WIDTH]
        assert long == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_sentences_of_docstrings_are_short(path: Path) -> None:
    """A sentence of more words has to be read twice."""
    if not name_of(path).startswith(LEFT_ALONE):
        assert too_long(sentences_of_source(path.read_text("utf-8"))) == []


@pytest.mark.parametrize("path", SETTINGS, ids=name_of)
def test_comments_of_workflows_and_scripts_use_plain_words(path: Path) -> None:
    """The same list holds for them."""
    assert avoided(prose_of_settings(path.read_text("utf-8"))) == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_pages_use_plain_words(path: Path) -> None:
    """The same list holds for docs."""
    assert avoided(prose_of_page(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "Nobody reads it.",
        "That is no answer.",
        "All are sent at once.",
        "It is told so.",
        "None where nothing was judged.",
        "Raises CaseError where the file is wrong.",
        "A request is under way.",
    ],
)
def test_an_avoided_construction_is_found(text: str) -> None:
    """The check itself can fail."""
    assert avoided(iter([(1, text)]))


@pytest.mark.parametrize(
    "text",
    ["It is no longer used.", "Attend to it.", "The standard library.", "One at a time.", "The folder where it is."],
)
def test_a_plain_sentence_passes(text: str) -> None:
    """Words that only look alike are fine."""
    assert avoided(iter([(1, text)])) == []


def test_a_long_sentence_is_found() -> None:
    """Two short sentences of the same words are fine."""
    half = " ".join(["word"] * 13)
    assert too_long(sentences_of_source(f'"""{half} {half}."""'))
    assert not too_long(sentences_of_source(f'"""{half}. {half}."""'))
