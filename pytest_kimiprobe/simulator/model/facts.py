"""What a message says: paths, places, numbers, dates, contents ... found by shape and by the words before them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from .words import ACTING, QUOTED, knowledge, quoted, word_set

_PATH = re.compile(
    r"(?<![\w/@.])(?:[~.]{0,2}/[\w.@+-]+(?:/[\w.@+-]*)*|[\w@+-]+(?:[/.][\w@+-]+)*\.[A-Za-z][A-Za-z0-9]{0,7})(?![\w/@])"
)
_URL = re.compile(r"\bhttps?://[^\s\"'<>)]+[^\s\"'<>).,;!?]")
_EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+(?:Z|[+-]\d{2}:\d{2})?)?\b")
_MONTHS = str(knowledge()["months"]).split()
_LONG_DATE = re.compile(
    rf"\b(?:({'|'.join(_MONTHS)})\s+(\d{{1,2}})(?:st|nd|rd|th)?|(\d{{1,2}})(?:st|nd|rd|th)?(?:\s+of)?\s+({'|'.join(_MONTHS)}))(?:,?\s+(\d{{4}}))?",
    re.IGNORECASE,
)
_DAY_WORD = re.compile(
    r"\b(?:today|tomorrow|tonight|yesterday|(?:next |this )?(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday|week|weekend))\b",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\b(?:[01]?\d|2[0-3]):[0-5]\d(?:\s?[ap]m)?\b|\b\d{1,2}\s?[ap]m\b", re.IGNORECASE)
_ZONE = re.compile(
    r"\b[A-Z][A-Za-z]+/[A-Z][A-Za-z_]+(?:/[A-Z][A-Za-z_]+)?\b|\b(?:UTC|GMT)(?:[+-]\d{1,2}(?::\d{2})?)?\b|\b(?:EST|EDT|CST|CDT|MST|PST|PDT|CET|CEST|BST|IST|JST)\b"
)
_NUMBER = re.compile(
    r"(?<![\w.,/:-])[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?\b|(?<![\w.])(?<!\d[-:/])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\d:]*[:/]\d|-\d{2}-)(?!\w*\.[A-Za-z])"
)
_NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
_SUM = re.compile(r"(?<![\w.])[(\d][\d\s().+*/^%\u00d7÷-]{0,200}[\d)](?!\w)")
_HASH = re.compile(r"#(\w+)|\b([A-Z]{2,}-\d+|[A-Za-z]*\d[\w-]*\d\w*|[0-9a-f]{8}-[0-9a-f-]{27,})\b")

_NO_NAME = word_set("not_a_name")
_JOINING = ("de", "of", "la", "del", "da", "do", "den", "der", "am", "upon", "the", "le", "el", "sur")
_NAME_WORD = r"[^\W\d_][\w'\u2019.-]*"
_TOKEN = re.compile(rf"{_NAME_WORD}|[^\s\w]|\d\S*", re.UNICODE)


def _is_name(word: str) -> bool:
    return (
        word[:1].isalpha()
        and (word[0].isupper() or word[0].lower() == word[0].upper())
        and word not in _NO_NAME
        and word.lower() not in ACTING
    )


def names(text: str) -> list[str]:
    """Capitalised phrases (and words of scripts without capitals), with `Rio de Janeiro` as one."""
    found: list[str] = []
    run: list[str] = []
    for match in _TOKEN.finditer(QUOTED.sub(" , ", text) + " ."):
        word = match.group().rstrip(".'\u2019-").removesuffix("'s").removesuffix("\u2019s")
        ended = match.group().endswith(".") and len(word) > 2
        if _is_name(word) or (run and word in _JOINING):
            run.append(word)
            if not ended:
                continue
        while run and run[-1] in _JOINING:
            run.pop()
        if run:
            found.append(" ".join(run))
        run = []
    return found


def numbers(text: str) -> list[int | float]:
    """Numbers in order, in digits or small words; not parts of dates, times, versions or file names."""
    bare = _CLOCK.sub(" ", _LONG_DATE.sub(" ", _DATE.sub(" ", _URL.sub(" ", text))))
    spots: list[tuple[int, int | float]] = []
    for match in _NUMBER.finditer(bare):
        digits = match.group().replace(",", "")
        spots.append((match.start(), int(digits) if re.fullmatch(r"[-+]?\d+", digits) else float(digits)))
    found = re.finditer(r"\b[a-z]+\b", bare.lower())
    spots += [(word.start(), _NUMBER_WORDS[word.group()]) for word in found if word.group() in _NUMBER_WORDS]
    return [value for _, value in sorted(spots)]


def paths(text: str) -> list[str]:
    """File and folder names."""
    bare = _EMAIL.sub(" ", _URL.sub(" ", text))
    return [match.group().rstrip(".") for match in _PATH.finditer(bare) if len(match.group().rstrip(".")) > 1]


def places(text: str) -> list[str]:
    """Names after a preposition of place, else any names, else a lower-case word after such a preposition."""
    listed = names(text)
    after = [
        name
        for name in listed
        if re.search(
            rf"\b(?:in|for|at|of|near|around|to|from|outside|à|en|nach)\s+(?:the\s+)?(?:(?:city|town|country|region)\s+(?:of\s+)?)?{re.escape(name)}",
            text,
        )
    ]
    if after:
        first = listed.index(after[0])
        return [name for name in listed[first:] if name in after or follows_in_list(name, text)]
    lower = re.findall(r"\b(?:in|for|at|near)\s+([a-z\u00e0-\u024f]{3,})\b", text)
    return listed or [word for word in lower if word not in _NOT_A_PLACE]


_NOT_A_PLACE = word_set("not_a_place")


def follows_in_list(name: str, text: str) -> bool:
    """Whether a name stands after a comma, `and` or `or`."""
    return bool(re.search(rf"(?:,|\band\b|\bor\b|&)\s*{re.escape(name)}", text))


def qualified(name: str, text: str) -> str:
    """`Florence, Italy` for `Florence` where the text says so."""
    match = re.search(rf"{re.escape(name)},\s?((?:[A-Z][\w'-]*)(?: [A-Z][\w'-]*)*)(?!\s*(?:,|and\b)\s*[A-Z])", text)
    return f"{name}, {match.group(1)}" if match else name


def is_qualifier(name: str, text: str) -> bool:
    """Whether a name only says where another one lies: the last of exactly two, joined by a comma."""
    found = re.search(rf"([A-Z][\w' -]*),\s?{re.escape(name)}\b", text)
    return bool(found) and not re.search(
        rf"(?:,[^,]*,|\band\b)\s*{re.escape(name)}|{re.escape(name)}\s*(?:,|and\b)\s*[A-Z]", text
    )


def dates(text: str) -> list[str]:
    """Dates: ISO ones as they stand, `March 5, 2027` as ISO where the year is told, day words as they stand."""
    found = [(match.start(), match.group()) for match in _DATE.finditer(text)]
    found += [(match.start(), _iso(match)) for match in _LONG_DATE.finditer(text)]
    found += [(match.start(), match.group()) for match in _DAY_WORD.finditer(text)]
    return [value for _, value in sorted(found)]


def _iso(match: re.Match[str]) -> str:
    month, day = match.group(1) or match.group(4), int(match.group(2) or match.group(3))
    if not match.group(5):
        return match.group()
    try:
        return date(int(match.group(5)), _MONTHS.index(month.capitalize()) + 1, day).isoformat()
    except ValueError:
        return match.group()


def today() -> date:
    """Today in UTC, for dates that a schema demands and nobody told."""
    return datetime.now(UTC).date()


def clocks(text: str) -> list[str]:
    """Times of day, as they stand."""
    return [match.group() for match in _CLOCK.finditer(text)]


def zones(text: str) -> list[str]:
    """Time zones, and those of well-known cities."""
    known: dict[str, str] = knowledge()["zones"]
    return [match.group() for match in _ZONE.finditer(text)] + [known[name] for name in names(text) if name in known]


def urls(text: str) -> list[str]:
    """Links."""
    return [match.group() for match in _URL.finditer(text)]


def emails(text: str) -> list[str]:
    """Mail addresses."""
    return [match.group() for match in _EMAIL.finditer(text)]


def sums(text: str) -> list[str]:
    """Arithmetic expressions: at least two numbers with an operator between."""
    bare = _DATE.sub(" ", text)
    found = [match.group().strip() for match in _SUM.finditer(bare)]
    return [value for value in found if re.search(r"\d\s*[)]?\s*[+*/^%\u00d7÷-]\s*[(]?\s*\d", value)]


def codes(text: str) -> list[str]:
    """Identifiers: `#42`, `ORD-123`, `A1B2`."""
    return [
        next(filter(None, match.groups()))
        for match in _HASH.finditer(QUOTED.sub(lambda found: f" {found.group()[1:-1]} ", text))
    ]


_OPEN = r"(?:\s*[:=]\s*|\s+)"
_STOP = r"(?=\s*$|[;\n]|[.!?](?:\s|$)|,\s+(?:and|then)\b)"
_CONTENT = (
    re.compile(
        rf"\bwith\s+(?:the\s+)?(?:contents?|text|body|message){_OPEN}(?:of\s+)?(?!and\b)(.+?){_STOP}", re.IGNORECASE
    ),
    re.compile(
        rf"\b(?:containing|contains?|saying|says|reading|whose contents? (?:is|are)|contents?|body|message|text){_OPEN}"
        rf"(?:is\s+|the\s+(?:text|words?|line|string)\s+)?(?!(?:and|to|in|into|of|from|for)\b)(.+?){_STOP}",
        re.IGNORECASE,
    ),
    re.compile(
        r"\bwith\s+(?:the\s+(?:text\s+|words?\s+)?)?(.+?)\s+(?:as\s+(?:its\s+|the\s+)?)?(?:contents?|text|inside|in it|body)\b",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?:write|put|save|insert|append|add|echo)\s+(?:the\s+(?:text|words?|line|string)\s+)?(.+?)\s+(?:to|into|in|inside)\s+",
        re.IGNORECASE,
    ),
)
_REMINDED = re.compile(
    r"\bremind\w*\b.*?\bto\s+(.+?)(?=\s+(?:at|on|in|by|tomorrow|tonight|every)\b|[.;\n]|$)", re.IGNORECASE
)
_POINTING = re.compile(r"(?:its|it|that|this|them|those|the (?:result|content|output|answer))\b.{0,24}", re.IGNORECASE)


def contents(text: str) -> list[str]:
    """What shall stand in a file or message: after `containing`, before `content`, between `write` and `to`."""
    masked, held = _mask(text)
    for pattern in (*_CONTENT, _REMINDED):
        match = pattern.search(masked)
        if match and match.group(1).strip() and not _POINTING.fullmatch(match.group(1).strip()):
            return [_unmask(_only_quoted(match.group(1).strip().strip(",")), held)]
    return [value for value in quoted(text) if value not in paths(text)]


def _only_quoted(masked: str) -> str:
    """Of `"Hi" to Carol` the quotation: what follows says where to."""
    quotation = re.match("\ue000\\d+\ue001(?=\\s+(?:to|in|into|for|as|from|on)\\b)", masked)
    return quotation.group() if quotation else masked


def after(words: str, text: str) -> list[str]:
    """What follows one of the words (a regular expression) up to the next pause: a quotation, a path or a few words."""
    masked, held = _mask(text)
    found = re.findall(
        rf"\b(?:{words}){_OPEN}(?:is\s+|as\s+|of\s+|to\s+|be\s+|the\s+)?(\ue000\d+\ue001|[^\s,;!?]+(?:\s+(?!(?:with|and|to|in|on|at|for|from|by|about|containing|that|as)\b)[^\s,;!?]+)*)",
        masked,
        re.IGNORECASE,
    )
    return [_unmask(value.strip().rstrip("."), held) for value in found]


def _mask(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Replace quotations by a sign each, so that no pattern cuts through one."""
    held: list[tuple[str, str]] = []

    def hold(match: re.Match[str]) -> str:
        held.append((match.group(), next(filter(None, match.groups()), "")))
        return f"\ue000{len(held) - 1}\ue001"

    return QUOTED.sub(hold, text), held


def _unmask(text: str, held: list[tuple[str, str]]) -> str:
    """Put quotations back: bare where one is the whole, with their marks inside other text."""
    whole = re.fullmatch("\ue000(\\d+)\ue001", text)
    if whole:
        return held[int(whole.group(1))][1]
    return re.sub("\ue000(\\d+)\ue001", lambda match: held[int(match.group(1))][0], text)
