"""Does the answer, in its own voice, say that it is about to call a tool? Only then may what follows be a call.

Everything else that may stand before a call is somebody's description of it: a refusal, a report of what a page
holds, a heading, an artefact that was asked for. The lists are short on purpose: an announcement that is not known
here costs one retry.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Announced: TypeAlias = Literal["call", "artefact", "courtesy", ""]

_FLAGS = re.VERBOSE
"""All of them read sentences in lower case: IGNORECASE would cost four times as much."""
_CALLING = r"""(?:check|look|search|find|fetch|get|retriev|query|call|us|invok|run|execut|read|open|load|list|inspect
    |examin|explor|see|verif|test|try|start|begin|proceed|continu|help|do|process|analy[sz]|calculat|comput|determin
    |gather|collect|pull|grab|brows|visit|navigat|view|go|tak|consult|access|locat|research|investigat|handl|delet
    |remov|updat|send|book|schedul|order|cancel|play|deploy|install|review|scan|monitor|obtain|identif|confirm|compar)"""
_MAKING = r"""(?:writ|sav|creat|add|mak|draft|generat|produc|build|prepar|compos|put|fix|format|insert|append|edit
    |configur|defin|convert|stor|set|chang|modif|mov|renam|replac)"""
_ENDINGS = r"(?:e|y|s|es|t|ting|ning|ing|ying)?"
_WHO = re.compile(
    r"""
    \b(?:(?:i|we)(?:['\u2019](?:ll|m|re)\b|\s(?:will|shall|should|must|can\snow|need\sto|have\sto|want\sto|am|are)\b)
        |let\sme\b|let['\u2019]?s\b|let\sus\b|allow\sme\sto\b)
    |(?:^|[.!?:;,]\s|\n)(?:now\s|next,?\s|first,?\s|then\s|and\s|ok(?:ay)?,?\s|sure,?\s)?(?=[a-z]+ing\b)(?!(?:start|beginn|proceed|continu|help|do|go|tak|see|play|handl|look)ing\b(?!\s(?:up|for|into|at|in|through|it)\b))
    """,
    _FLAGS,
)
_BETWEEN = (
    r"(?:\s(?:now|just|currently))?(?:\s(?:going|about)\sto)?"
    r"(?:\s*(?:\b(?:now|first|also|just|quickly|then|next|please|try\sto|start\sby|begin\sby|go\sahead\sand|need\sto)\b)\s*){0,3}\s*\b"
)
_TO_SOMEBODY = r"(?!(?:(?<=read)|(?<=reading))\s(?:(?:it|this|them|that)\s)?(?:aloud|out|back|to\syou|you)\b)"
"""Who reads aloud, or to the user, is about to quote."""
_CALLS = re.compile(_BETWEEN + re.sub(r"\s+", "", _CALLING) + _ENDINGS + r"\b" + _TO_SOMEBODY)
_MAKES = re.compile(_BETWEEN + re.sub(r"\s+", "", _MAKING) + _ENDINGS + r"\b")
"""What follows `_WHO` where somebody is about to call a tool, or to make something."""
_ELSEWHERE = re.compile(
    r"""
    (?:\u6211\u6765|\u8ba9\u6211|\u6211\u5148|\u6211\u5c06|\u6211\u4f1a|\u6211\u9700\u8981|\u6211\u8981|\u6211\u53bb|\u6211\u5e2e\u60a8|\u6211\u5e2e\u4f60|\u6b63\u5728)[^\n]{0,8}
        (?:\u67e5|\u641c|\u770b|\u8c03\u7528|\u83b7\u53d6|\u8bfb|\u68c0\u67e5|\u4f7f\u7528|\u8fd0\u884c|\u6267\u884c)
    |\b(?:ich\s(?:pr\u00fcfe|suche|schaue|rufe|hole|frage)\b|ich\ssehe\s(?:\w+\s)?nach\b
        |(?:ich\swerde|lass(?:en\ssie)?\smich)\s[^\n]{0,60}?(?:pr\u00fcfen|suchen|rufen|holen|schauen|nachsehen|fragen|laden|f\u00fchren|nutzen|verwenden|ermitteln)\b
        |je\s(?:v\u00e9rifie|cherche|consulte|regarde|recherche)\b
        |(?:je\svais|laissez?-moi)\s(?:\w+\s)?(?:v\u00e9rifier|chercher|rechercher|consulter|regarder|appeler|utiliser|lancer|ex\u00e9cuter|r\u00e9cup\u00e9rer|obtenir|ouvrir|voir)\b
        |(?:voy\sa|d\u00e9jame|perm\u00edteme|vamos\sa)\s(?:buscar|consultar|verificar|comprobar|revisar|llamar|usar|utilizar|ejecutar|obtener|abrir|mirar|ver)(?:lo|la)?\b
        |(?<!,\s)\u044f\s\u043f\u0440\u043e\u0432\u0435\u0440\u044e\b|\u0441\u0435\u0439\u0447\u0430\u0441\s(?:\u043f\u0440\u043e\u0432\u0435\u0440\u044e|\u043f\u043e\u0441\u043c\u043e\u0442\u0440\u044e|\u043d\u0430\u0439\u0434\u0443|\u0443\u0437\u043d\u0430\u044e)\b)
    """,
    _FLAGS,
)
"""The same in Chinese, German, French, Spanish and Russian: `let me look`, `I will check`."""
_ELSEWHERE_NOT = re.compile(
    r"""
    \u5185\u5bb9|\u5982\u4e0b|\u683c\u5f0f|\u793a\u4f8b|\u5199|\u5305\u542b|\u4fdd\u5b58|\u811a\u672c|\u914d\u7f6e|\u6dfb\u52a0|\u8f93\u51fa|\u5c55\u793a|json|skript|schreib|speicher|zeig
    |\u00e9cri|enregistr|montr|escrib|guard|mostr|muestr|\u043f\u043e\u043a\u0430\u0437|\u043d\u0430\u043f\u0438\u0448|\u0437\u0430\u043f\u0438\u0448
    """,
    _FLAGS,
)
_WAITS = re.compile(r"\b(?:one|just\sa)\s(?:moment|second|sec|minute)\b|\bhold\son\b|\bplease\swait\b")
_COURTESY = re.compile(
    r"""(?:^|\n)(?:sure|ok|okay|certainly|of\scourse|alright|all\sright|right|got\sit|understood|great|yes|absolutely
        |perfect|gladly|no\sproblem|hello|hi)\b[\w\s,]{0,20}[.!,]?\s*$""",
    _FLAGS,
)
_NEXT = re.compile(r"(?:now|next|first|then|finally|so)\b[^:\n]{0,24}[:.]\Z")

_NEGATIVE = re.compile(
    r"""
    \b(?:(?:ignor|refus|declin|inject|malicious|suspicious|phish|attack|danger|harmful|unsafe|untrusted|jailbreak|reject
            |disregard|forbid|forbidden|prohibit|fraud|scam|hostile|exploit|compromis)
        |(?:never|warn(?:ing|s|ed)?|block(?:ed|ing|s)?|beware|caution|careful)\b
        |unable\sto\b|(?:page|file|mail|e-?mail|document|text|site|message|article|issue|comment|readme)\s
            (?:\w+\s){0,2}?(?:asks|says|demands|instructs|orders|tells|wants|reads|contains|claims|tries)\b
        |(?:nie|niemals|warnung)\b|ignorier|verweiger|b\u00f6sartig|gef\u00e4hrlich|verd\u00e4chtig
        |f\u00fchre\b[^.\n]{0,40}\bnicht\b|nicht\s(?:aus|ausf)
        |jamais\b|n['\u2019e]\s?ex\u00e9cut|(?:nunca|jam\u00e1s)\b|no\s(?:lo\s)?ejecut)
    |(?:won['\u2019]?t|do(?:es)?n['\u2019]?t|not|can['\u2019]?t|cannot|shouldn['\u2019]?t|mustn['\u2019]?t)\s(?:\w+\s){0,2}?
        (?:run|execut|follow|comply|obey|do|call|invok|act|trust|perform|send|be\s(?:run|executed|followed))
    |malveillant|dangereu|suspecte?\b|malicios|peligros|sospechos
    |\u043d\u0438\u043a\u043e\u0433\u0434\u0430|\u043d\u0435\s(?:\u0432\u044b\u043f\u043e\u043b\u043d|\u0437\u0430\u043f\u0443\u0441\u043a)|\u0432\u0440\u0435\u0434\u043e\u043d\u043e\u0441|\u043e\u043f\u0430\u0441\u043d|\u0438\u0433\u043d\u043e\u0440|\u043f\u043e\u0434\u043e\u0437\u0440\u0438\u0442|\u043e\u0442\u043a\u0430\u0437
    |\u4e0d\u8981|\u4e0d\u80fd|\u4e0d\u4f1a|\u4e0d\u5e94|\u52ff|\u7981\u6b62|\u5ffd\u7565|\u62d2\u7edd|\u6076\u610f|\u5371\u9669|\u53ef\u7591|\u8b66\u544a|\u6ce8\u5165|\u653b\u51fb|\u7edd\u4e0d|\u4ece\u4e0d
    |\u7121\u8996|\u62d2\u5426|\u5371\u967a|\u60aa\u610f|\u3057\u306a\u3044\u3067|\ub9c8\uc138\uc694|\ubb34\uc2dc|\uc545\uc131
    """,
    _FLAGS,
)
"""Words of somebody who refuses or reports an attack, or says what a page wants, in nine languages."""
_RELAYS = re.compile(
    r"\b(?:quot|past[ei]|repeat|cop[yi]|report|relay|forward|show|shar|demonstrat|illustrat|explain|describ|verbatim|flag)\w*"
    r"|\bcontents?\s(?:of|is|are)\b|\bas\sfollows\b",
)
_DESCRIBES = re.compile(
    r"""
    \b(?:summar\w*|contents?|pages?|files?|e?-?mails?|web\w*|articles?|readme|results?|logs?|errors?|examples?|thus|texts?
        |notes?|messages?|commands?|instructions?|prompts?|found|reads?|says?|said|asks?|wants?|demands?|follow\w*|this|that
        |these|those|below|above|here|outputs?|returned|shows?|contains?|wrote|written|marks?|tokens?|tags?|format|syntax)\b
    """,
    _FLAGS,
)
_ARTEFACT = re.compile(
    r"\b(?:scripts?|config\w*|snippets?|templates?|code|payload|manifest|webhook|json|yaml)\b"
    r"|\b[\w\-]+\.(?:json|jsonl|py|ya?ml|toml|sh|js|ts|md|txt|xml|ini|cfg|env|html|csv|sql)\b",
)
_STRUCTURE = re.compile(
    r"\A\s*(?:\#|>|\||[-+*\u2022]\s|\d+[.)]\s|[-+]\S|[*_]{2}|<)|</?\w|[\"\u201c\u201d\u00ab\u00bb\u300c\u300d\u300e\u300f]"
)
_PROGRESS = re.compile(
    r"""
    (?:(?:done|ready|finished|completed?|fixed|good|fine|nice|again|finally|before|help|reasoning|thinking|working)
        |(?:[a-z]+\s){0,3}(?:steps?|tests?|checks?|searche?s?|lookups?|quer(?:y|ies)|runs?|builds?|attempts?|tasks?|phases?)
        |no\s(?:results?|match(?:es)?|luck|errors?|data|files?|changes?|answer|prefix)(?:\syet|\sfound)?
        |the\s`[^`]+`\sis\s[a-z0-9]+)
    [.!]\Z
    """,
    _FLAGS,
)
"""Notes of progress: a word, the name of the step that comes, that nothing came of the last one, a value found."""
_NOT = re.compile(
    r"""
    \b(?:no|not|never|none|nothing|nobody|neither|nor|nope|without|stop|nicht|nichts|nie|niemals|nein|kein\w{0,2}|ohne
        |ne|n[a\u00e3]o|pas|rien|jamais|aucune?|sans|non|mai|niente|nessun\w?|senza|nada|nunca|jam[\u00e1a]s|ning[\u00fau]n\w?
        |sin|sem|nem|niet|niets|geen|nooit|zonder|nic|bez|de\u011fil|asla|kh\u00f4ng|\u0111\u1eebng|jangan|tidak
        |\u043d\u0435|\u043d\u0435\u0442|\u043d\u0438)\b
    |[\u4e0d\u6ca1\u522b\u52ff\u672a\u975e\u7121]|\u306a\u3044|\u307e\u305b\u3093|\uc54a|\ubabb|\ub9d0\uc544|\ub9c8\uc138
    |\b\u0644\u0627\b|\b\u0644\u0646\b|\u0928\u0939\u0940\u0902
    """,
    _FLAGS,
)
"""The words of denial: a closed class in every language, unlike the ways to refuse."""


def announces(sentence: str) -> Announced:
    """What a sentence in lower case announces: calling a tool, making an artefact, nothing but that somebody begins."""
    last = sentence.rpartition("\n")[2]
    if _STRUCTURE.search(last) or _RELAYS.search(sentence):
        return ""
    tails = [found.end() for found in _WHO.finditer(sentence)]
    if any(_CALLS.match(sentence, at) for at in tails):
        return "call"
    if _ELSEWHERE.search(sentence) and not _ELSEWHERE_NOT.search(sentence) and not _NOT.search(sentence):
        return "call"
    if any(_MAKES.match(sentence, at) for at in tails):
        return "artefact"
    if _WAITS.search(sentence):
        return "call"
    return "courtesy" if _COURTESY.search(sentence) else ""


def refuses(text: str) -> bool:
    """Whether somebody refuses or reports an attack anywhere in a text in lower case: more than any announcement."""
    return bool(_NEGATIVE.search(text))


def is_neutral(sentence: str, before: str) -> bool:
    """Whether a sentence only notes how the work goes on, and the text before it describes nothing.

    `sentence` and `before`, the text in which it stands, are in lower case.
    """
    if _DESCRIBES.search(sentence) or _STRUCTURE.search(sentence) or "\n" in sentence:
        return False
    return bool(_NEXT.match(sentence)) or (bool(_PROGRESS.match(sentence)) and not _DESCRIBES.search(before))


def names_artefact(sentence: str) -> bool:
    """Whether a file, a script or a configuration is the object: what follows may be its content."""
    return bool(_ARTEFACT.search(sentence))
