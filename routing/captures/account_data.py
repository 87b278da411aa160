"""Removes account data from the bodies of answers, without changing the answer that is judged. Pure.

Inside the answer itself (`choices`, `content`, `output` and the like) nothing changes, because it is judged, and a tool
may be asked about an organization. Around the answer, and everywhere in an error, ids of organizations, users, projects
and requests are replaced in place. So are e-mail and IP addresses, and masked keys. Every other byte is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from ..redaction import REDACTED
from ..wire.json_fields import children, first

_ANSWER = frozenset(
    {
        "choices",
        "content",
        "content_block",
        "delta",
        "failed_generation",
        "input",
        "model",
        "output",
        "provider",
        "urls",
    }
)
"""JSON members that are kept unchanged: they hold the model's output, or names that identify no account."""
_NAMES = re.compile(
    r"(?i)(?:x[-_])?(?:user|org|organi[sz]ation|account|acct|project|team|tenant|workspace|customer|client|billing)"
    r"(?:[-_ ]?(?:id|name|email|uuid|slug))?|(?:user|account)name|e?-?mail|(?:request|trace|correlation)[-_ ]?id|ip"
)
"""Pattern for names of JSON members whose value identifies the account or the request."""
_ID = r"[A-Za-z0-9](?=[A-Za-z0-9-]{0,63}\d)[A-Za-z0-9-]{7,}"
_VALUES = re.compile(
    rf"\b(?:org|user|usr|req|request|acct|account|proj|project|team|cus|ak|key|ws|wrkspc|tenant)[-_]{_ID}"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
    r"|\b(?:\d{1,3}\.){3}\d{1,3}\b"
    r"|\b(?:sk|gsk|r8|tgp|ak)[-_][\w-]{0,64}\*{2,}[\w*-]*"
)
_HANDLES = frozenset({"id", "object", "created", "system_fingerprint"})
"""Top-level JSON members that are kept: they identify only the exchange, and give no access without the key."""
_LINES = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r|\Z)")


def clean_body(body: bytes, status: int, content_type: str) -> bytes:
    """The body without account data: a JSON document, a stream of events, or any other text (an error page)."""
    if content_type.strip().lower().startswith("text/event-stream"):
        return b"".join(_event_line(line) for line in _LINES.findall(body))
    return _clean(body, plain=status != 200)


def _event_line(line: bytes) -> bytes:
    if line.startswith(b"data:"):
        return b"data:" + _clean(line[5:], plain=False)
    return _clean(line, plain=True) if line.startswith(b":") else line


def _clean(data: bytes, *, plain: bool) -> bytes:
    """Remove account data from a JSON object, member by member. Clean other data as text only if `plain` is set."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return without_ids(data.decode("latin-1")).encode("latin-1") if plain else data
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return without_ids(text).encode() if plain else data
    if not isinstance(document, dict):
        return without_ids(text).encode() if plain else data
    return _document(text).encode()


def _document(text: str) -> str:
    parts, done = [], 0
    for start, end, known in sorted(_spans(text)):
        parts += [text[done:start], f'"{REDACTED}"' if known else without_ids(text[start:end])]
        done = end
    return "".join([*parts, text[done:]])


def _spans(text: str) -> Iterator[tuple[int, int, bool]]:
    """Start and end of each JSON value outside the answer, and whether the name of its member requires its removal."""
    todo: list[tuple[int, str]] = [(first(text), "top")]
    while todo:
        at, where = todo.pop()
        for name, start, end in children(text, at):
            nested = text[start] in "{["
            if nested and name == "choices" and where == "top":
                todo.append((start, "choices"))
            elif where == "choices":  # inside a choice only an `error` is checked
                todo += [(start, "around" if name == "error" else where)] if nested and name in {"", "error"} else []
            elif name in _ANSWER or (where == "top" and name in _HANDLES):
                continue
            elif nested:
                todo.append((start, "around"))
            elif text[start] == '"' or _NAMES.fullmatch(name):
                known = bool(_NAMES.fullmatch(name)) and text[start:end] not in {"null", "true", "false", '""'}
                yield start, end, known


def without_ids(text: str) -> str:
    """The text with ids, e-mail addresses, IP addresses and masked keys replaced."""
    return _VALUES.sub(REDACTED, text)
