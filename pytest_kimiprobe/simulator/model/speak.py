"""Answers in words: results quoted, small sums, greetings, pictures of one colour; else a sentence that repeats."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from itertools import takewhile

from ..conversation import Prompt, PromptTurn
from .arguments import fill
from .choose import wishes
from .facts import facts
from .pictures import describe
from .words import knowledge, pattern, readable, split_words, word_set

_READ = 4000
"""Characters that are read of the beginning and of the end of a very long message."""


def is_result(turn: PromptTurn) -> bool:
    """Whether a turn has what a tool returned: a tool turn, or a user turn that says so at its beginning."""
    return turn.role == "tool" or (turn.role == "user" and bool(pattern("<result>").match(turn.text)))


def last_message(prompt: Prompt) -> str:
    """The last message in which the user asks for something; of a very long one its beginning and its end."""
    asked = [turn.text for turn in prompt.turns if turn.role == "user" and not is_result(turn)]
    last = asked[-1] if asked else ""
    return last if len(last) <= 2 * _READ else f"{last[:_READ]} {last[-_READ:]}"


def last_request(prompt: Prompt) -> str:
    """The last message without what it forbids."""
    return readable(last_message(prompt))


def text(prompt: Prompt) -> str:
    """The answer in words."""
    if results := _results(prompt):
        return " ".join(results)
    if seen := sight(prompt):
        return seen
    message = last_message(prompt)
    return (
        _dictated(message)
        or _sum(message)
        or _instructed(prompt, message)
        or _known(message)
        or _ask_back(prompt, message)
        or _plain(message)
    )


def sight(prompt: Prompt) -> str:
    """What the pictures of the last turn show; empty if it has none."""
    pictures = [image for turn in prompt.turns[-1:] for image in turn.images]
    return "The picture shows " + " and ".join(describe(image) for image in pictures) + "." if pictures else ""


def _results(prompt: Prompt) -> list[str]:
    """The results since the last request, each with the name of its tool."""
    names = {call.id: call.name for turn in prompt.turns for call in turn.calls}
    newest = takewhile(lambda turn: is_result(turn) or turn.role != "user", reversed(prompt.turns))
    found = [f"Result of {names.get(turn.call_id, 'the tool')}: {turn.text}" for turn in newest if is_result(turn)]
    return found[::-1] if prompt.turns and is_result(prompt.turns[-1]) else []


def _dictated(message: str) -> str:
    """`Reply with the single word PONG`, `Say hello`; nothing if only the form is given, as in `in one word`."""
    match = pattern("<dictated>").search(message)
    said = match[1].strip("“”\"'`") if match else ""
    return "" if said.lower() in word_set("forms") else said


_OPERATORS: Mapping[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


def _sum(message: str) -> str:
    """The result of a sum, in digits or in words (`multiply 6 by 7`)."""
    spoken = re.sub(r"\b(multiply|divide)\s+(\S+)\s+(?:by|with)\s+", r"\2 \1 ", message, flags=re.IGNORECASE)
    for words, sign in knowledge()["operators"].items():
        spoken = pattern(words).sub(sign, spoken)
    for fact in facts(spoken):
        if "sum" in fact.shapes:
            try:
                value = _evaluate(ast.parse(fact.value, mode="eval").body)
            except (SyntaxError, ValueError, ZeroDivisionError, OverflowError, RecursionError):
                continue
            return f"{fact.value} = {int(value) if float(value).is_integer() else value}"
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


def _instructed(prompt: Prompt, message: str) -> str:
    """The value of a `name: value` line of the system message, if the user asks for that name."""
    lines = [line.partition(": ") for turn in prompt.turns if turn.role == "system" for line in turn.text.splitlines()]
    return next((value for name, _, value in lines if "_" in name and name in message), "")


def _known(message: str) -> str:
    for country, capital in knowledge()["capitals"].items():
        if re.search(rf"\bcapital\b.*\b{country}\b", message):
            return f"The capital of {country} is {capital}."
    words = split_words(message)
    for signs, said in knowledge()["small_talk"].items():
        if set(signs.split()) & set(words[:1] if "hello" in signs else words) and len(words) <= 8:
            return str(said)
    return ""


def _ask_back(prompt: Prompt, message: str) -> str:
    """A question for what is missing, if a tool fits but the message does not give a required value."""
    message = readable(message)
    for wish in wishes(message, prompt.tools) if prompt.choice != "none" else ():
        if missing := fill(wish.tool.schema, message).missing:
            return f"Which {' and which '.join(name.replace('_', ' ') for name in missing)} do you mean?"
    return ""


def _plain(message: str) -> str:
    said = next((fact.value for fact in facts(message) if "quoted" in fact.shapes), "")
    about = said or " ".join(message.split())[:200]
    return f"No tool is needed for this. You said: {about}" if about else "How can I help you?"
