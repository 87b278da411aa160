"""The text of a stream that may be delivered before its end is known."""

from __future__ import annotations

import re

from ..schema import ToolSet
from .dialects import k2
from .foreign import MAX_SENTENCE, follows_sentence, start_pattern
from .markers import ANCHOR, K2, K3, THOUGHTS, TURN

_TAGS = tuple(
    f"<{space}{name}"
    for space in ("", "antml:")
    for name in (
        *("tool_calls>", "tool_call>", "function_calls>", "function_call>", "tool_use>"),
        *("invoke name=", "function name=", "function="),
    )
)
_THOUGHT_TAGS = [f"<{close}{name}>" for name in THOUGHTS.split("|") for close in ("", "/")]
_MARKS = tuple(
    "".join(mark.lower().split()) for mark in (*K2, *K3, *TURN, *_TAGS, *_THOUGHT_TAGS, "◁think▷", "◁/think▷")
)
"""The marks that may be unfinished at the end of what arrived, without white space."""
_FINAL = re.compile(
    r"<[/|]?(?:tool_call|open|close|sep|end_of_msg|im_)|\[EO[ST]\]|◁/?think▷"
    rf"|<[ \t]*/?[ \t]*(?:{THOUGHTS})(?:\s[^<>\n]{{0,100}})?>",
    re.IGNORECASE,
)
"""A mark that is removed from the text, or everything before it: nothing is delivered from there on."""
_WINDOW = 400
_INDENTATION = 101
"""Characters before a call on its line, with the line end, that are read again: they were delivered already."""
_WORD = re.compile(r"[\w.\-]{1,160}(?::\d{0,9}\s{0,8}(?:<[|_a-z]{0,40}>?\s{0,8})?)?\Z", re.ASCII)
_ID = re.compile(r"[\w.\-]{1,160}:\d{1,9}\s{0,8}\Z", re.ASCII)
_LINE = re.compile(
    r"\n[ \t]{0,100}(?:[`~]{1,2}|\[[TOL_CAS]{0,10}\]?\s{0,64}|(?:`{3,}|~{3,})[^\n`{<]{0,30}(?:\n\s{0,100}[\w.\-]{0,160}[ \t]?)?"
    r'|(?:\[TOOL_CALLS\]\s{0,64})?[\[{]\s{0,64}(?:\{\s{0,64})?(?:"[A-Za-z_]{0,24}(?:"\s{0,8})?)?|\[?(?P<name>[\w.\-]{1,160})[ \t]?)\Z'
)
"""A line that may still become a call in a foreign form."""
_FENCED_CALL = re.compile(r"\s*[`~]{3,}[^\n`]*\n\s*(?:[{\[<]|[\w.\-]+[ \t]?\()")


class HeldText:
    """Holds back what may be the beginning of a mark, and everything behind a whole one."""

    def __init__(self, tools: ToolSet, *, emulated: bool = False) -> None:
        self._tools = tools
        self._emulated = emulated
        self._starts = start_pattern(tools.names) if tools.names else re.compile(r"(?!)")
        self._lead: str | None = "\n"
        """What was delivered, as long as it may be one short sentence."""
        self._before = "\n"
        """The last characters that were delivered."""
        self._pending = ""
        self._stopped = False

    def feed(self, chunk: str) -> str:
        """Take a piece; returns what may be delivered of all that is pending."""
        if self._stopped or not chunk:
            return ""
        window, low = self._before + self._pending + chunk, len(self._before)
        final = self._final(window, low)
        self._stopped = final >= 0
        end = max(low, final if self._stopped else self._unfinished(window, low))
        given, self._pending = window[low:end], "" if self._stopped else window[end:]
        if given:
            lead = None if self._lead is None else self._lead + given
            self._lead = lead if lead is not None and len(lead) <= MAX_SENTENCE + 100 else None
            self._before = window[max(0, end - _INDENTATION) : end]
        return given

    def _final(self, window: str, low: int) -> int:
        """Where the first whole mark begins; -1 without one."""
        found = _FINAL.search(window, low)
        at = [self._with_head(window, found.start())] if found else []
        for bare in ANCHOR.finditer(window, low) if ":" in window[low:] else ():
            if bare.lastgroup == "bare" and (start := k2.bare_start(window, bare.start(), self._tools)) >= 0:
                at.append(start)
                break
        for foreign in (
            self._starts.finditer(window, max(0, low - _INDENTATION))
            if self._emulated or self._lead is not None
            else ()
        ):
            start = foreign.start() + len(foreign[0]) - len(foreign[0].lstrip())
            if foreign.lastgroup == "fence" and not _FENCED_CALL.match(window, foreign.start()):
                continue
            if self._may_call(window, low, start, tagged=foreign.lastgroup == "tag"):
                at.append(start)
                break
        return min(at, default=-1)

    def _with_head(self, window: str, mark: int) -> int:
        """Where a mark begins, together with the id of a call that stands before it."""
        word = _ID.search(window, max(0, mark - 300), mark)
        return word.start() + at if word and (at := self._head(word[0])) >= 0 else mark

    def _may_call(self, window: str, low: int, start: int, *, tagged: bool) -> bool:
        """Whether a call may stand at a place, for what was said before it."""
        said = (self._lead or "") + window[low:start]
        return start >= low and (self._emulated or follows_sentence(said, tagged=tagged))

    def _unfinished(self, window: str, low: int) -> int:
        """Where the end of the window may be the beginning of a mark; its length if it cannot be."""
        held = [len(window)]
        for first in "<[◁":
            at = window.rfind(first, max(low, len(window) - 40))
            tail = "".join(window[at:].lower().split())
            if at >= 0 and any(mark.startswith(tail) for mark in _MARKS):
                held.append(at)
        word = _WORD.search(window, max(low, len(window) - 300))
        if word and (at := self._head(word[0])) >= 0:
            held.append(word.start() + at)
        if self._emulated or self._lead is not None:
            line = _LINE.search(window, max(0, low - _INDENTATION, len(window) - _WINDOW))
            if (
                line
                and self._may_call(window, low, max(low, line.start() + 1), tagged=False)
                and (line["name"] is None or self._begins(line["name"]))
            ):
                held.append(line.start() + 1)
        return min(held)

    def _head(self, word: str) -> int:
        """Where in a word the id of a stripped call may begin; -1 if nowhere."""
        for at in (0, *(found.end() for found in re.finditer(r"\.", word))):
            rest = word[at:]
            if rest.startswith("functions.") or self._begins(rest):
                return at
            if any(rest.startswith(f"{name}:") for name in self._tools.names):
                return at
        return -1

    def _begins(self, part: str) -> bool:
        """Whether a name, or an id, may go on from `part`."""
        return "functions.".startswith(part) or any(
            whole.startswith(part) for name in self._tools.names for whole in (name, f"functions.{name}")
        )
