"""The conditions under which a call that is written in a text is executed.

    1. It ends the answer: behind it only white space, further calls or end marks.
    2. It is in no thought.
    3. It is of this turn: no role line and no token of a chat template stands before it.
    4. It is not enclosed: no fence, quotation, list item, table row, comment.
    5. It was not copied: it occurs in no text of the request, and the user's last message shows no calls.
    6. Its name was offered, and its arguments satisfy the schema.

A call in a foreign form is also the whole answer, or follows one short sentence. `Reading` finds out about 1 to 4,
`RequestTexts` about 5, `CallValidator` about 6. What the sentences around a call say is not read: a correct host
would have parsed it without reading them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..schema import ToolSet
from ..types import RescueMode
from .call_validation import CallValidator
from .foreign import LEFT_OVER, Foreign, find
from .origin import RequestTexts
from .reading import Reading
from .result import Piece

_TAGS = frozenset({"hermes", "xml_invoke", "function_tag"})
_IN_THOUGHTS = frozenset({"k2", "k3"})
"""Dialects that count in a reasoning: Kimi's own tokens."""


@dataclass(slots=True)
class Judged:
    """The calls of one text that are executed (`validator.calls`) or refused, and the text without them."""

    validator: CallValidator
    text: str = ""
    dialects: list[str] = field(default_factory=list)
    foreign: bool = False
    looks_like: str = ""
    """The name in what looks like a failed call; empty if there is none."""
    unended: str = ""
    """The id of the last call, if its own end was not there."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the texts of one answer."""

    tools: ToolSet
    request: RequestTexts
    mode: RescueMode = "all"
    emulated: bool = False

    def judge(self, content: str, *, thought: bool = False) -> Judged:
        """The calls of `content`. `thought`: it is the reasoning of the answer, not its text."""
        reading = Reading(content, self.tools)
        text = reading.delivered(1, reading.end)
        foreign = Foreign([])
        if not (thought or reading.pieces or reading.flaws):
            foreign = find("\n" + text, self.tools, emulated=self.emulated)
        if foreign.pieces:
            text = text[: foreign.start - 1] + text[foreign.pieces[-1].end - 1 :]
        judged = Judged(CallValidator(self.tools), text, foreign=bool(foreign.pieces), looks_like=foreign.looks_like)
        judged.validator.note("markers_stripped" if reading.stripped else "")
        for flaw in reading.flaws:
            judged.validator.drop("", "leaked_call", flaw)
        tangled = {piece.dialect for piece in reading.pieces if piece.tangled}
        tangled |= {"k2", "k2_bare"} if reading.misplaced or "k2" in tangled else set()
        for piece in reading.pieces:
            self._take(judged, piece, self._native_refusal(reading, piece, tangled, thought=thought))
        for piece in foreign.pieces:
            self._take(judged, piece, self._foreign_refusal(reading, foreign, piece, text))
        return judged

    def _native_refusal(self, reading: Reading, piece: Piece, tangled: set[str], *, thought: bool) -> str:
        """The reason not to rescue calls written in a native form; empty if these checks find none.

        `tangled` are the dialects whose marks are in a wrong order. `thought`: the calls are in the reasoning.
        """
        if reading.tail:
            return "text follows the call"
        if piece.start >= reading.turn_end:
            return "another turn begins before the call"
        if piece.dialect in tangled:
            return "marks of its dialect stand in a wrong order"
        if thought and piece.dialect not in _IN_THOUGHTS:
            return "it is written in a thought"
        return "rescue is off" if self.mode == "off" else ""

    def _foreign_refusal(self, reading: Reading, foreign: Foreign, piece: Piece, text: str) -> str:
        """The same for a foreign form; `foreign.find` has looked at what stands around it."""
        if reading.end < len(reading.text):
            return "text follows the call"
        if len(reading.delivered(1, reading.turn_end)) <= foreign.start - 1 and reading.turn_end < reading.end:
            return "another turn begins before the call"
        if piece.dialect in _TAGS and LEFT_OVER.search(text):
            # Values between tags have no escapes: what ends one may be its content.
            return "marks of its dialect stand in a wrong order"
        return "" if self.mode == "all" else f"rescue is {self.mode}"

    def _take(self, judged: Judged, piece: Piece, refusal: str) -> None:
        validator = judged.validator
        if piece.holds_calls or piece.flaw:
            judged.dialects.append(piece.dialect)
        for written in piece.calls:
            refusal = refusal or ("the user's message shows calls" if self.request.shows_calls(self.tools) else "")
            if refusal:
                validator.drop(written.name or "", "leaked_call", refusal)
                continue
            call = validator.take(written, lambda call: not self.request.holds(call))
            if call is not None:
                open_end = piece.cut or (piece.dialect == "k2" and not written.ended)
                judged.unended = call.id if open_end and written is piece.calls[-1] else ""
        for name, reason, detail in piece.refused:
            validator.drop(name, reason, detail)
        if piece.flaw and piece.dialect not in {"k2", "k2_bare", "k3"}:
            validator.drop("", "leaked_call", piece.flaw)
