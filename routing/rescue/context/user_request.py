"""What the user asked for: who wants to see a call, JSON or code gets an answer that only looks like a call."""

from __future__ import annotations

import re

LAST_USER = 4000
"""Characters of the last user message that are read, from its end."""

_FLAGS = re.VERBOSE
"""No IGNORECASE, which costs four times as much: what is read is in lower case."""
_ASKS_ABOUT = re.compile(
    r"""
    \b(?:examples?|samples?|illustration|demonstration|format|syntax|raw\soutput|special\stokens?)\b
        [^.?!\n]{0,60}\b(?:tool|function)[\s_-]?(?:calls?|calling|use)\b
    |\b(?:tool|function)[\s_-]?(?:calls?|calling)\b[^.?!\n]{0,60}\b(?:examples?|samples?|format|syntax|look(?:s|ing)?\slike|tokens?)\b
    |\b(?:show|give|write|print|provide|explain|describe|display|demonstrate|document|need|want|see)\b[^.?!\n]{0,40}
        \b(?:examples?|samples?)\b[^.?!\n]{0,40}\b(?:calls?|requests?|payloads?|json|body|bodies|invocations?|messages?)\b
    |\bwhat\s(?:does|do|would|did)\b[^.?!\n]{0,60}\b(?:call|request|payload|invocation)\b[^.?!\n]{0,30}\blooks?\slike\b
    |\bhow\s(?:do|does|would|should|can|could|is|are)\b[^.?!\n]{0,60}\b(?:call|invoke|format|encode|seriali[sz]e|written)
        [^.?!\n]{0,40}\b(?:tools?|functions?)\b
    |\b(?:without|instead\sof)\s(?:actually\s|really\s)?(?:calling|running|executing|invoking)\b
    |\b(?:do\snot|don['\u2019]?t|never)\s(?:actually\s|really\s)?(?:call|run|execute|use|invoke)\s(?:\w+\s){0,3}?(?:tools?|functions?|it|them|any)\b
    |\b(?:repeat|quote|echo|translate|proofread|decode)\b[^.?!\n]{0,40}\b(?:this|the\sfollowing|that|below|above)\b
    """,
    _FLAGS,
)
_WANTS_LAYOUT = re.compile(
    r"""
    \b(?:pretty|beautif|minif|format|reformat|fix|repair|correct|convert|transform|turn|rewrite|extract|pars|validat|lint)\w*
        \b[^?!\n]{0,80}(?:\b(?:json|yaml|object|request|payload|call)\b|[{\[])
    |\b(?:pretty[\s-]?print|minify|beautify|reformat)\b
    """,
    _FLAGS,
)
_WANTS_CODE = re.compile(
    r"\b(?:writ|giv|show|creat|draft|generat|mak)\w*\b[^?!\n]{0,80}\b(?:scripts?|one-?liners?|snippets?|code|python)\b"
)
_WANTS_JSON = re.compile(r"\bjson\b|\{|\bschema\b|\bstructured\b|\bobject\b|\byaml\b")


def asks_about_calls(last_user: str | None) -> bool:
    """Whether the user asked to see, explain or quote calls: then what looks like one is the answer."""
    return bool(_ASKS_ABOUT.search(_asked(last_user)))


def wanted_forms(last_user: str | None) -> frozenset[str]:
    """The dialects in which the user wants his answer: his JSON laid out anew, or code. There a call is in doubt."""
    asked = _asked(last_user)
    layout = frozenset({"json", "fenced_json"}) if _WANTS_LAYOUT.search(asked) else frozenset[str]()
    return layout | ({"call_notation"} if _WANTS_CODE.search(asked) else frozenset[str]())


def wants_json(last_user: str | None) -> bool:
    """Whether the user asked for JSON: then an object without a tool's name is an answer."""
    return bool(_WANTS_JSON.search(_asked(last_user)))


def _asked(last_user: str | None) -> str:
    return (last_user or "")[-LAST_USER:].lower()
