"""Marks of Kimi's native formats, of thoughts and of chat templates: data, and the patterns made of it."""

# ruff: noqa: RUF001 - signs of all scripts are meant as they are

from __future__ import annotations

import re

K2_SECTION_BEGIN = ("<|tool_calls_section_begin|>", "<|tool_call_section_begin|>")
K2_SECTION_END = ("<|tool_calls_section_end|>", "<|tool_call_section_end|>")
K2_CALL_BEGIN = "<|tool_call_begin|>"
K2_CALL_END = "<|tool_call_end|>"
K2_ARGUMENT_BEGIN = ("<|tool_call_argument_begin|>", "<|tool_call_arguments_begin|>")
K2_ARGUMENT_END = ("<|tool_call_argument_end|>", "<|tool_call_arguments_end|>")
"""Not a token of Kimi's: some proxies write it."""
K2 = (
    *K2_SECTION_BEGIN,
    *K2_SECTION_END,
    K2_CALL_BEGIN,
    K2_CALL_END,
    *K2_ARGUMENT_BEGIN,
    *K2_ARGUMENT_END,
)
K3_OPEN, K3_CLOSE, K3_SEP, K3_END = "<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"
K3 = (K3_OPEN, K3_CLOSE, K3_SEP, K3_END)
TURN = (*(f"<|im_{name}|>" for name in ("end", "start", "middle", "system", "user", "assistant")), "[EOS]", "[EOT]")
"""Kimi's marks of turns. A host that parses the template removes them, and stops at the end of the turn."""


def _any_of(marks: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, marks))


SPACE = r"[ \t\r\n]*+"
K2_MARK = re.compile(_any_of(K2))
NATIVE_MARK = re.compile(_any_of((*K2, *K3, *TURN)))
NATIVE_TEXT = re.compile(_any_of((*K2, *K3)))
K3_ROLE = re.compile(r'<\|open\|>[ \t]*message[^<>\n]{0,80}\brole="(?!assistant")')
"""The begin of a message that is not the assistant's."""
STRIPPED = re.compile(_any_of((*TURN, K3_END)))
"""Marks that a host removes. They say nothing about calls."""
THOUGHTS = "think|thinking|thought|reasoning|reflection|scratchpad"
THINK_TAG = re.compile(
    rf"<[ \t]*(?P<close>/?)[ \t]*(?P<name>{THOUGHTS})(?:\s[^<>\n]{{0,100}})?>|◁(?P<wide_close>/?)think▷"
    r"|<\|(?P<channel>open|close)\|>[ \t]*(?:think|analysis|reason)[a-z]*+(?:[ \t][^<>\n]{0,100})?(?:<\|sep\|>)?",
    re.IGNORECASE,
)
"""The tags of a thought, and K3's channel of that name."""

_SPEAKERS = (
    "user human assistant system developer bot chatbot ai observation gpt client customer instruction response question q",
    "benutzer nutzer anwender assistent mensch kunde ki frage",
    "utilisateur utilisatrice assistante humain système systeme ia",
    "usuario usuaria asistente humano sistema cliente pregunta usuário assistente pergunta utente umano domanda",
    "gebruiker vraag użytkownik asystent pytanie kullanıcı kullanici asistan soru pengguna",
    "пользователь ассистент помощник система человек клиент ии вопрос користувач",
    "用户 用戶 助手 助理 系统 系統 人类 人類 客户 客戶 问 問 问题 問題 提问",
    "ユーザー ユーザ アシスタント システム 人間 質問 お客様 사용자 어시스턴트 시스템 유저 고객 질문",
    "المستخدم المساعد النظام سؤال العميل उपयोगकर्ता सहायक प्रश्न ग्राहक người_dùng trợ_lý hệ_thống",
)
"""Names of the speakers of a conversation, as its text forms write them before a turn, by language."""
_SPEAKER = "(?:" + "|".join(re.escape(name).replace("_", " ") for names in _SPEAKERS for name in names.split()) + ")"
_ROLE_LINE = (
    r"[ \t]*+(?:"
    rf"#{{1,6}}[ \t]*+(?:{_SPEAKER}|input|tool|function)[ \t]*+(?:[:：]|(?=[\r\n]|\Z))"
    rf"|[*_>\[(<]{{0,4}}(?:GPT4 Correct )?{_SPEAKER}(?:[ \t]*(?:\d{{1,3}}|\([^()\n]{{0,40}}\)))?[*_\])}}]{{0,4}}[ \t\u00a0]*+[:：>]"
    rf"|[\[<(]{{1,2}}/?(?:{_SPEAKER}|inst|sys|tool)[\])>]{{1,2}}"
    rf"|(?:{_SPEAKER}|tool)[ \t]*+(?=[\r\n]|\Z)"
    r")"
)
_ANGLED = (
    r"[|｜](?!(?:open|close|sep|tool_calls?_[a-z_]{3,16})[|｜]>)[\w▁./\- ]{1,40}[|｜]>"
    r"|(?:start|end)_of_turn>|</?SYS>>|/?s>|extra_id_\d>|/?(?:user|assistant|human|tool_response|function_results|im_[a-z]{3,9})>"
)
_BRACKETED = r"/?INST\]|(?:EOS|EOT|BOS)\]|e~\["
"""Special tokens of chat templates without their first character: whatever has their form, and some of other forms."""
_BARE_BODY = rf"\d{{1,9}}+{SPACE}(?:(?:{_any_of(K2_ARGUMENT_BEGIN)}){SPACE})?\{{"
ANCHOR = re.compile(
    rf"<(?:(?P<call>{_any_of(tuple(mark[1:] for mark in (*K2, K3_OPEN, K3_CLOSE, K3_SEP)))})"
    rf"|(?P<think>[ \t]*/?[ \t]*(?:{THOUGHTS})(?:\s[^<>\n]{{0,100}})?>)|(?P<token>{_ANGLED}))"
    rf"|\n(?=[ \t]*+[#*_>\[(<\w])(?P<role>{_ROLE_LINE})|:(?P<bare>{_BARE_BODY})|◁(?P<wide>/?think▷)|\[(?P<bracket>{_BRACKETED})",
    re.IGNORECASE,
)
"""Where something begins that decides what an answer is: a mark of a call, a thought, another turn, a bare call's body."""
BARE_HEAD = re.compile(r"[\w.\-]{1,160}\Z", re.ASCII)
BARE_CUT = re.compile(rf"(?<![A-Za-z0-9_\-])functions\.([\w.\-]{{1,160}}):\d*+{SPACE}\Z")
"""The id of a call at the end of an answer, cut before the arguments."""
_SPACES = re.compile(r"\s*+")


def skip_space(text: str, at: int) -> int:
    """The next position that holds no white space."""
    found = _SPACES.match(text, at)
    return found.end() if found else at
