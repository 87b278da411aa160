"""Answers in words: results quoted, small sums, greetings, pictures of one colour; an honest sentence for all else."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping

from ..conversation import Prompt, PromptTurn
from .facts import sums
from .fill import fill
from .pictures import describe
from .words import knowledge, quoted, split_words

_RESULT = re.compile(
    r"^\s*(?:<tool_(?:response|result)>|\[?(?:the\s+)?(?:tool|function)s?[ _-]?(?:call\s+)?(?:result|response|output)s?\b|result of (?:the )?(?:tool|function|call)|[\w.-]+ (?:returned|result):)",
    re.IGNORECASE,
)


_READ = 4000
"""Of a very long message, this many characters of the beginning and of the end are read."""


def is_result(turn: PromptTurn) -> bool:
    """Whether a turn brings what a tool returned: a tool turn, or a user turn that says so at its beginning."""
    return turn.role == "tool" or (turn.role == "user" and bool(_RESULT.match(turn.text)))


def last_request(prompt: Prompt) -> str:
    """The last thing the user asked for."""
    asked = [turn.text for turn in prompt.turns if turn.role == "user" and not is_result(turn)]
    last = asked[-1] if asked else ""
    return last if len(last) <= 2 * _READ else f"{last[:_READ]} {last[-_READ:]}"


def text(prompt: Prompt) -> str:
    """The answer in words."""
    results = _results(prompt)
    if results:
        return " ".join(f"{name}: {value}" for name, value in results)
    if seen := sight(prompt):
        return seen
    message = last_request(prompt)
    return _dictated(message) or _sum(message) or _known(message) or _ask_back(prompt, message) or _plain(message)


def sight(prompt: Prompt) -> str:
    """What the pictures of the last turn show; empty where there are none."""
    pictures = [image for turn in prompt.turns[-1:] for image in turn.images]
    return "The picture shows " + " and ".join(describe(image) for image in pictures) + "." if pictures else ""


def _results(prompt: Prompt) -> list[tuple[str, str]]:
    """The results since the last request, each with the name of the tool that gave it."""
    found: list[tuple[str, str]] = []
    names = {call.id: call.name for turn in prompt.turns for call in turn.calls}
    for turn in reversed(prompt.turns):
        if is_result(turn):
            found.insert(0, (f"Result of {names.get(turn.call_id, 'the tool')}", turn.text))
        elif turn.role == "user":
            break
    return found if is_result(prompt.turns[-1]) else []


_DICTATED = re.compile(
    r"(?:^|[.!?:,]\s+|\b(?:please|just|only|then)\s+)(?:reply|respond|answer|say|return|output)\b"
    r"(?:\s+(?:only|just|exactly|back|me|with|in|the|a|single|one|word|words|text|phrase|sentence|following))*\s*:?\s+"
    r"(?P<what>\u201c[^\u201d]+\u201d|\"[^\"]+\"|'[^']+'|`[^`]+`|[A-Z][A-Z0-9_-]+\b|\w+(?=\s*[.!]?\s*$)|\w+(?= and nothing else))",
    re.IGNORECASE,
)


_FORMS = frozenset("word words sentence sentences number english briefly detail text json".split())  # noqa: SIM905
"""What an answer shall be like, not what it shall say: `in one word`."""


def _dictated(message: str) -> str:
    """`Reply with the single word PONG`, `Say hello`."""
    match = _DICTATED.search(message)
    said = match.group("what").strip("\u201c\u201d\"'`") if match else ""
    return "" if said.lower() in _FORMS else said


_OPERATORS: Mapping[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


def _sum(message: str) -> str:
    spoken = re.sub(r"\bplus\b", "+", re.sub(r"\bminus\b", "-", re.sub(r"\b(?:times|multiplied by)\b", "*", message)))
    for verb, sign in (("multiply", "*"), ("divide", "/")):
        spoken = re.sub(
            rf"\b{verb}\s+(\d[\d.]*)\s+(?:by|with)\s+(\d[\d.]*\d|\d)", rf"\1 {sign} \2", spoken, flags=re.IGNORECASE
        )
    for expression in sums(re.sub(r"\bdivided by\b", "/", spoken)):
        try:
            value = _evaluate(ast.parse(expression.replace("\u00d7", "*").replace("÷", "/"), mode="eval").body)
        except (SyntaxError, ValueError, ZeroDivisionError, OverflowError, RecursionError):
            continue
        return f"{expression} = {int(value) if float(value).is_integer() else value}"
    return ""


def _evaluate(node: ast.AST) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            return _OPERATORS[type(sign)](_evaluate(left), _evaluate(right))
    raise ValueError("not a sum")


def _known(message: str) -> str:
    for country, capital in knowledge()["capitals"].items():
        if re.search(rf"\bcapital\b.*\b{country}\b", message):
            return f"The capital of {country} is {capital}."
    words = split_words(message)
    if words[:1] and words[0] in ("hello", "hi", "hey") and len(words) <= 6:
        return "Hello! How can I help you?"
    if "thank" in words or "thanks" in words:
        return "You are welcome."
    if "joke" in words:
        return "Why did the tool call fail? It had no arguments."
    return ""


def _ask_back(prompt: Prompt, message: str) -> str:
    """Where a tool fits but a member cannot be known, ask for it."""
    from .choose import wishes

    for wish in wishes(message, prompt.tools) if prompt.choice != "none" else ():
        missing = fill(wish.tool.schema, message).missing
        if missing:
            return f"Which {' and which '.join(name.replace('_', ' ') for name in missing)} do you mean?"
    return ""


def _plain(message: str) -> str:
    said = quoted(message)
    about = said[0] if said else " ".join(message.split())[:200]
    return f"No tool is needed for this. You said: {about}" if about else "How can I help you?"
