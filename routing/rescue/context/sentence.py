"""Is this a call, or is somebody talking about calls? What stands around it decides.

A wrong rescue executes a wrong command, a refusal costs one retry. So a call in a code span, a quotation, a block
quote or a comment is text; so is one that the sentence before it calls an example or forbids; and where neither a
call nor a quotation is certain, it is doubt, and doubt makes an answer suspect.

The sentences are read by lists of words. English is covered; of other languages the words for "example" and "do not".
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from ..buffer import Source
from .announcements import announces, is_neutral, names_artefact, refuses

Standing: TypeAlias = Literal["call", "text", "doubt"]

LOOK_BACK = 400
"""Bytes before a call that are read: its sentence."""

_FLAGS = re.VERBOSE
"""No IGNORECASE, which costs four times as much: what is read is in lower case."""
_MARK = re.compile(rb"\\.|`+|\"|\n(?:[ \t\r]*\n)*", re.DOTALL)
_ITEM = re.compile(r"\s*(?:[-+*\u2022](?:\s|\Z)|[-+]\S{0,3}\s*\Z|\||\d{1,9}[.)]\s)")
"""A line of a list, a table or a diff: what stands in it was put there, not said."""
_QUOTED_ITEM = re.compile(r"\s*(?:(?:[-+*]|\d{1,9}[.)])\s+)+>")
_ENCLOSES = re.compile(
    rb"[\n<\"'](?:(?<=\n)[ \t]{0,100}+(?=[-+*\d>])(?:(?:[-+*]|\d{1,9}[.)])[ \t]+|>[ \t]?){1,8}(`{3,}|~{3,})([^\n]*)"
    rb"|(?<=<)(/?)(pre|code|samp|blockquote|xmp|textarea|script|example|document|quote|q)\b[^<>\n]{0,200}>"
    rb"|((?<=\")\"\"|(?<=')''))",
    re.IGNORECASE,
)
_ENDS_SENTENCE = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")
_SENTENCES = re.compile(r"(?<=[.!?\u2026\u3002\uff01\uff1f])\s+|(?<![:\uff1a])\n\s*\n|\n(?=\s*(?:[-*\#]|\d+\.)\s)")
_QUOTES = {
    "\u201c": "\u201d",
    "\u2018": "\u2019",
    "\u201e": "\u201c",
    "\u00ab": "\u00bb",
    "\u300c": "\u300d",
    "\u300e": "\u300f",
}
_BEFORE_QUOTE = frozenset(" \t\r\n\x0b\x0c([{:=")
"""What stands before a single quotation mark that opens: behind anything else it is an apostrophe or closes."""

_EXPLICIT = re.compile(
    r"""
    \b(?:e\.\s?g\b|for\s(?:example|instance)\b|hypothetical|imagine\b|suppose\b
        |(?:an?|the|this|that|another|one|some|following|simple|quick|brief|minimal|typical|concrete|as|with|by)\s
            (?:\w+\s){0,2}?(?:examples?|samples?|illustrations?|templates?|placeholders?)\b
            (?!\s+(?:files?|apps?|projects?|pages?|sites?|tests?|dir\w*|folders?|scripts?|programs?|components?|repo\w*
                |data\w*|code|images?|text|config\w*|modules?|class\w*|functions?|tables?|users?|records?))
        |(?:examples?|samples?)\s(?:\w+\s){0,2}?(?:calls?|requests?|payloads?|body|bodies|json|outputs?|messages?)\b
        |(?:would|could|might|may)(?<!\bi\swould)(?<!\bwe\swould)(?<!\bi\scould)(?<!\bwe\scould)(?<!\bi\smight)
            (?<!\bwe\smight)(?<!\bi\smay)(?<!\bwe\smay)\s(?:\w+\s){0,3}?(?:look|be\s(?:called|written|sent|invoked)|read
            |emit|write|send|output|produce|return|call|use|invoke|type|say|answer|respond|reply)\b
        |(?:i|we)\s(?:would|could|might|may)\s(?:\w+\s){0,3}?(?:call|use|invoke|send|write|run|emit)\b
        |looks?\slike\b|(?:raw\soutput|request\sbody|response\sbody|in\sthe\sform|of\sthe\sform|written\s(?:as|like))\b
        |(?:calls?|calling|tool|function|json|xml|request|message|output|token|raw|native|wire|k2|k3|kimi|hermes)\s
            (?:\w+\s)?(?:format|syntax|schema|structure|notation|grammar|encoding|template|convention)s?\b
        |(?:format|syntax|notation)\s(?:is|are|of|for|looks?|used)\b
        |in\s(?:the|this)\s(?:following\s)?(?:format|form|notation|syntax)\b
        |(?:user|you|one|they|clients?|servers?|developers?|people)\s(?:can|could|may|might|must|should|would|will)\b
        |(?:wrong|incorrect|invalid|forbidden|malicious|injected|injection|attack)\b
        |beispiel\b|por\sejemplo\b|par\sexemple\b)
    |(?:^|\n)[^\w\n]{0,4}(?:examples?|samples?|usage|output|input|syntax|format|template)\b\W*$
    |\u4f8b\u5982|\u6bd4\u5982|\u793a\u4f8b|\u4f8b\u5b50|\u6837\u4f8b|\u683c\u5f0f|\u4e3e\u4f8b|\u5f62\u5982|\u4f8b\u3048\u3070|\u043d\u0430\u043f\u0440\u0438\u043c\u0435\u0440
    """,
    _FLAGS,
)
"""Words that call what follows an example or a form."""
_FORBIDS = re.compile(
    r"""
    (?:do|does|did|should|must|could|can|would|will|need|is|are|to)(?:\s?n[o'\u2019]t|\snot|not)\b\s(?:\w+\s){0,3}?
        (?:call|use|using|run|running|execut\w*|invok\w*|send|output|write|emit|trigger|issue|do|make|calling|allowed)\b
    |\b(?:won|can)['\u2019]t\s(?:\w+\s){0,3}?(?:call|use|run|execute|invoke|send)\b
    |\bnot\s(?:to\s)?(?:call|use|run|execute|invoke|send)\w*\b|\bnever\s(?:\w+\s){0,2}?(?:call|use|run|execut|invok|send|do)
    |\b(?:avoid|without|instead\sof|rather\sthan|no\sneed\sto|refuse\sto|forbidden\sto)\s(?:\w+\s){0,3}?(?:call|us[ei]|run|execut|invok|send)
    |\u4e0d\u8981|\u4e0d\u5e94|\u8bf7\u52ff|\u5207\u52ff|\u7981\u6b62|\u907f\u514d|\u522b\u8c03\u7528
    """,
    _FLAGS,
)
"""Words that forbid a call, or tell that none will be made."""
_TOOL = re.compile(r"\b(?:tools?|functions?|it|this|that|them|any|anything)\b")
_RECORD = re.compile(
    r"""
    \b(?:emit|produc|generat|output|print|return|respond|repl(?:y|ie)|answer|log|leak|receiv|pars|send|render)(?:e?s|ed|ing|e)?\b
    |\b(?:wrote|said|says|sent|got|shows?|showed|looks?|contains?|contained|becomes?|means?|uses?|writes?|takes?|expects?)\b
    |\b(?:documentation|docs|readme|manual|spec|specification|tutorial|schema|string|snippet|excerpt|transcript|escaped
        |literal(?:ly)?|verbatim|quot(?:e[ds]?|ing|ation)|payload|body|request|response|tags?|tokens?|markers?|markup)\b
    """,
    _FLAGS,
)
"""Words of somebody who reports; they weigh only where nobody says what he is about to do."""
_INTENTION = re.compile(
    r"""
    \b(?:(?:i|we)(?:['\u2019](?:ll|m|re|d|ve)|\s(?:will|am|are|shall|need|have|should|want|must|can|now|also))\b
        |(?:let\sme|let['\u2019]?s|let\sus|allow\sme)\b
        |(?:i|we)\s(?:call|use|check|look|search|fetch|get|run|create|read|write|start|begin|try)\b
        |(?:tool|function)[\s_-]?calls?\b\s*:?\s*$
        |(?:one|just\sa)\s(?:moment|second|sec|minute)\b|hold\son\b|please\swait\b)
    |(?:^|[.!?:,;]\s|\n)(?:now\s|next,?\s|first,?\s|then\s|and\s|ok,?\s|okay,?\s|sure,?\s)?
        (?!(?:nothing|something|anything|everything|during|according|following|string|being|having|thing|king)\b)[a-z]{3,}ing\b
    |(?:^|\n)(?:sure|ok|okay|certainly|of\scourse|alright|all\sright|right|got\sit|understood|great|yes|absolutely
        |perfect|gladly|no\sproblem|hello|hi)\b[\w\s,]{0,30}[.!:,]?\s*$
    """,
    _FLAGS,
)
"""Somebody says what he is about to do, or that he will."""
_SHOWS = re.compile(r"\b(?:show|give|illustrat|demonstrat|explain|describ|document|provid|share|present|quot|paste)\w*")


def lead(before: str) -> str:
    """The last sentence of the text before a call, over a colon and line ends; empty where nothing stands before."""
    before = before.rstrip()
    lines = (_SENTENCES.split(before)[-1] if before else "").splitlines()
    return "\n".join(" ".join(line.split()) for line in lines if line.strip())


def intends(sentence: str) -> bool:
    """Whether somebody says what he is about to do."""
    return bool(_INTENTION.search(sentence.lower()))


def reads_native(sentence: str, before: str = "") -> Standing:
    """How a protocol marker is to be read after a sentence: a call only after an announcement of one, or nothing.

    `before` is the text in which the sentence stands.
    """
    if not sentence:
        return "call"
    sentence, before = sentence.lower(), before.lower()
    if (announces(sentence) or is_neutral(sentence, before)) and not refuses(before or sentence):
        return _reads_announced(sentence)
    return "text" if _is_described(sentence) else "doubt"


def _is_described(sentence: str) -> bool:
    """Whether the sentence goes on with the call as a thing that it forbids or shows."""
    if sentence.endswith(_ENDS_SENTENCE):  # the call is a new sentence
        return False
    return bool(_FORBIDS.search(sentence) or _EXPLICIT.search(sentence)) and not intends(sentence)


def _reads_announced(sentence: str) -> Standing:
    """What an announcing sentence says against a call."""
    forbids = bool(_FORBIDS.search(sentence))
    if sentence.endswith(_ENDS_SENTENCE):
        return "doubt" if forbids and _TOOL.search(sentence) else "call"
    if forbids:
        return "doubt" if intends(sentence) else "text"
    if _EXPLICIT.search(sentence):
        return "text" if not intends(sentence) else "doubt" if _SHOWS.search(sentence) else "call"
    return "doubt" if _RECORD.search(sentence) and not intends(sentence) else "call"


def reads_written(sentence: str, before: str = "", *, tagged: bool = False) -> Standing:
    """How a call in JSON, tags or code is to be read after a sentence: only an announcement, or nothing, makes it one.

    `tagged`: it stands in tags, which are never the file or the answer that a user asked for in JSON or code.
    """
    sentence, before = sentence.lower(), before.lower()
    if _FORBIDS.search(sentence):
        return "text"
    if _EXPLICIT.search(sentence):
        return "doubt" if intends(sentence) and not _SHOWS.search(sentence) else "text"
    if not sentence:
        return "call"
    announced = announces(sentence)
    if refuses(before or sentence) or (announced == "artefact" and not tagged):
        return "text"
    if announced == "call" or (announced and tagged):
        return "doubt" if names_artefact(sentence) and not tagged else "call"
    return "text" if _RECORD.search(sentence) and not intends(sentence) else "doubt"


class Line:
    """What is open on the current line: a code span, a quotation. Follows the message as positions grow."""

    def __init__(self) -> None:
        self._upto = self._start = 1
        self._opened = b""
        self._carried = False
        self._quotes = 0
        self._enclosed = Enclosure()

    def around(self, source: Source, position: int) -> tuple[Standing, str]:
        """How a marker stands on its line.

        `text` in a block quote, a code block or after a backslash; `doubt` with what must close after it (a run of
        backticks, a quotation mark) to make it text; else `call`.
        """
        self._advance(source, position)
        before = source.before(position, min(LOOK_BACK, position - self._start))
        first = source.before(self._start + LOOK_BACK, LOOK_BACK).lstrip()[:1]
        if first == ">" or before.endswith("\\") or _QUOTED_ITEM.match(before):
            return "text", ""
        if (
            not before.strip()
            and (before.startswith("\t") or len(before) >= 4)
            and _after_blank_line(source, self._start)
        ):
            return "text", ""
        if self._opened:
            return "doubt", "" if self._carried else self._opened.decode()
        if before and before[-1] in _QUOTES:
            return "doubt", _QUOTES[before[-1]]
        if before.endswith("'") and (len(before) == 1 or before[-2] in _BEFORE_QUOTE or before[-2].isspace()):
            return "doubt", "'"
        if self._quotes % 2:
            return "doubt", '"'
        apart = _ITEM.match(before) or self._enclosed.is_open or _follows_quotation(source, self._start)
        return "doubt" if apart else "call", ""

    def ends_item_fence(self, source: Source, at: int, opening: bytes) -> bool:
        """Whether a fence line ends the fence that a list's item opened: it starts none of its own."""
        self._enclosed.advance(source, at)
        return self._enclosed.ends_fence(opening)

    def skip(self, source: Source, end: int) -> None:
        """Leave out what stands before `end`: a call opens no quotation."""
        newline = source.data.rfind(b"\n", self._upto, end)
        if newline >= 0:
            self._start, self._opened, self._quotes, self._carried = newline + 1, b"", 0, False
        self._upto = max(self._upto, end)
        self._enclosed.upto = max(self._enclosed.upto, end)

    def _advance(self, source: Source, position: int) -> None:
        self._enclosed.advance(source, position)
        segment = bytes(source.data[self._upto : position])
        newline = segment.rfind(b"\n")
        if newline >= 0:
            self._start = self._upto + newline + 1
        for mark in _MARK.findall(segment):
            if mark == b'"':
                self._quotes += 1
            elif mark.startswith(b"`"):
                self._carried = self._carried and bool(self._opened)
                self._opened = mark if not self._opened else b"" if mark == self._opened else self._opened
            elif mark.startswith(b"\n"):
                self._quotes = 0
                if len(mark) > 1 or len(self._opened) > 2:  # a paragraph or a fence line: no code span goes over it
                    self._opened = b""
                self._carried = bool(self._opened)
        self._upto = max(self._upto, position)


class Enclosure:
    """Elements and fences that are open over lines: `<pre>`, three quotation marks, a fence in a list or quotation."""

    def __init__(self) -> None:
        self.upto = 0
        self._open: dict[bytes, int] = {}
        self._fence = b""

    @property
    def is_open(self) -> bool:
        """Whether anything is open where the reading stands."""
        return bool(self._fence) or any(count > 0 for count in self._open.values())

    def advance(self, source: Source, position: int) -> None:
        """Read what stands before `position`."""
        for fence, rest, closes, element, triple in _ENCLOSES.findall(bytes(source.data[self.upto : position])):
            if fence:
                self._fenced(fence, rest)
            elif triple:
                self._open[triple] = 1 - self._open.get(triple, 0)
            else:
                name = element.lower()
                self._open[name] = max(0, self._open.get(name, 0) + (-1 if closes else 1))
        self.upto = max(self.upto, position)

    def ends_fence(self, line: bytes) -> bool:
        """Close the open fence where the line does."""
        if not self._fence or not line.startswith(self._fence) or line.strip(self._fence[:1] + b" \t\r\n"):
            return False
        self._fence = b""
        return True

    def _fenced(self, fence: bytes, rest: bytes) -> None:
        if not self._fence:
            self._fence = fence
        elif fence.startswith(self._fence) and not rest.strip():
            self._fence = b""


def _follows_quotation(source: Source, line_start: int) -> bool:
    """Whether the line before is a block quote: without an empty line between, this one still belongs to it."""
    before = source.before(max(1, line_start - 1), LOOK_BACK)
    return before.rpartition("\n")[2].lstrip().startswith(">")


def _after_blank_line(source: Source, line_start: int) -> bool:
    """An indented line after a blank one after text is a code block."""
    before = source.before(line_start, LOOK_BACK)
    return bool(before.strip()) and before.rstrip(" \t").endswith("\n\n")


def within_sentence(before: str) -> bool:
    """Whether the text before a call ends on the same line without having ended a sentence."""
    line = before.rpartition("\n")[2].rstrip()
    return bool(line.strip("*_ \t-")) and not line.endswith((*_ENDS_SENTENCE, ":", "\uff1a", ">"))
