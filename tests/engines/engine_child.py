"""Runs in the environment of the engines, one process each: raw model text in, what the engine's parser makes of it out.

One JSON object a line. In: `text` as the model wrote it, `tools`, `pieces` (the text in parts, where it is streamed),
`earlier` (calls in the history). Out: `content`, `calls` (`id`, `name`, `arguments`) and `finish`, or `deltas`, each with
`content` or `calls` (`index` and what is new of the call), and `finish`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine_shims import Record, Unused, definitions, enter, load, quiet, stand

Asked = dict[str, Any]
Answer = dict[str, Any]
SPECIAL = (
    "<|tool_calls_section_begin|>",
    "<|tool_calls_section_end|>",
    "<|tool_call_begin|>",
    "<|tool_call_end|>",
    "<|tool_call_argument_begin|>",
)


def _root(package: str) -> Path:
    """The folder that holds a package; packages are not run to find out."""
    return next(Path(entry) for entry in sys.path if (Path(entry) / package).is_dir())


class SGLang:
    """A detector, with the methods of sglang's parser and server that stand between it and the client."""

    def __init__(self, module: str, name: str) -> None:
        from pydantic import BaseModel

        function = type(
            "Function",
            (BaseModel,),
            {"__annotations__": {"name": str, "description": str, "parameters": Any, "strict": bool}}
            | {"description": "", "parameters": None, "strict": False},
        )
        tool = type("Tool", (BaseModel,), {"__annotations__": {"type": str, "function": function}, "type": "function"})
        root = _root("sglang")
        for package in ("sglang", "sglang.srt", "sglang.srt.function_call"):
            enter(package, root)
        stand("xgrammar", "xgrammar.structural_tag")
        stand("sglang.srt.entrypoints", "sglang.srt.entrypoints.openai")
        stand("sglang.srt.entrypoints.openai.protocol", Tool=tool)
        self._tool: Any = tool
        self._detector = getattr(load(f"sglang.srt.function_call.{module}"), name)
        self._k3 = "k3" in module
        self._between(root / "sglang" / "srt")

    def _between(self, srt: Path) -> None:
        """Take the methods that lead from the detector to the client out of their files."""
        parser = definitions(
            srt / "function_call" / "function_call_parser.py",
            "FunctionCallParser.has_tool_call",
            "FunctionCallParser.parse_non_stream",
            "FunctionCallParser.parse_stream_chunk",
            ResponseTemplateToolDetector=Unused,
        )
        self._has, self._whole = parser["has_tool_call"], parser["parse_non_stream"]
        self._chunk = parser["parse_stream_chunk"]
        words = ("ToolCall", "FunctionResponse", "DeltaMessage")
        chunks = ("ChatCompletionResponseStreamChoice", "ChatCompletionStreamResponse")
        server = definitions(
            srt / "entrypoints" / "openai" / "serving_chat.py",
            "OpenAIServingChat._check_for_unstreamed_tool_args",
            json=json,
            time=time,
            **dict.fromkeys((*words, *chunks), Record),
        )
        self._unstreamed = server["_check_for_unstreamed_tool_args"]

    def __call__(self, asked: Asked) -> Answer:
        tools = [self._tool(**tool) for tool in asked["tools"]]
        if not tools:
            return _whole(asked["text"], [], "stop", asked)
        parser = Record(detector=self._detector(), tools=tools)
        if asked["pieces"] is not None:
            return self._streamed(parser, asked)
        if not self._has(parser, asked["text"]):
            return {"content": asked["text"], "calls": [], "finish": "stop"}
        content, found = self._whole(parser, asked["text"])
        calls = [{**self._named(call, asked), "arguments": call.parameters} for call in found]
        # `_process_tool_calls`: the early server goes by the marker, today's by the calls.
        return {"content": content, "calls": calls, "finish": "tool_calls" if calls or asked["early"] else "stop"}

    def _named(self, call: Any, asked: Asked) -> dict[str, Any]:
        number = asked["earlier"] + call.tool_index
        own = f"{call.name}:{number}" if self._k3 else f"functions.{call.name}:{number}"
        return {"id": f"call_{call.tool_index}" if asked["early"] else own, "name": call.name}

    def _streamed(self, parser: Any, asked: Asked) -> Answer:
        parts = [self._chunk(parser, piece) for piece in asked["pieces"]]
        if hasattr(parser.detector, "finish"):  # today's `parse_stream_end`
            last = parser.detector.finish(parser.tools)
            parts.append((last.normal_text, last.calls))
        deltas = list(_joined((text, [self._delta(call, asked) for call in calls]) for text, calls in parts))
        made = any("calls" in delta for delta in deltas)
        told = {"parser": parser, "content": {"meta_info": {"id": ""}}, "request": Record(), "index": 0}
        left = self._unstreamed(None, **told, **({} if asked["early"] else {"created": 0}))
        if left:
            row = json.loads(left.removeprefix("data: "))["choices"][0]["delta"]["tool_calls"][0]
            deltas.append({"calls": [{"index": row["index"], "arguments": row["function"]["arguments"]}]})
        return {"deltas": deltas, "finish": "tool_calls" if made else "stop"}

    def _delta(self, call: Any, asked: Asked) -> dict[str, Any]:
        named = self._named(call, asked) if call.name else {}
        return {"index": call.tool_index, **named, "arguments": call.parameters}


class VLLM:
    """A tool parser of vLLM, and the finish reason that its server gives."""

    def __init__(self, folder: str) -> None:
        root = _root("vllm")
        enter("vllm", root)
        parts = folder.split(".")
        for end in range(2, len(parts) + 1):
            enter(".".join(parts[:end]), root)
        named = ("DeltaMessage", "DeltaToolCall", "DeltaFunctionCall", "ExtractedToolCallInformation")
        records = {name: type(name, (Record,), {}) for name in (*named, "FunctionCall", "ToolCall")}
        openai = "vllm.entrypoints.openai"
        stand(f"{openai}.protocol", f"{openai}.engine", f"{openai}.engine.protocol", **records)
        for group in ("chat_completion", "responses"):
            stand(f"{openai}.{group}", f"{openai}.{group}.protocol")
        stand("openai", "openai.types", "openai.types.responses")
        stand("openai.types.responses.function_tool", "openai.types.responses.tool")
        stand("vllm.logger", init_logger=lambda _: Record(debug=_nothing, exception=_nothing, error=_nothing))
        stand("vllm.envs", "vllm.sampling_params", "vllm.tokenizers", "vllm.transformers_utils")
        stand("vllm.transformers_utils.tokenizer", "vllm.utils.import_utils")
        stand("vllm.utils", "vllm.utils.collection_utils", is_list_of=lambda value, _: isinstance(value, list))
        self._parser = load(f"{folder}.kimi_k2_tool_parser").KimiK2ToolParser

    def __call__(self, asked: Asked) -> Answer:
        if not asked["tools"]:
            return _whole(asked["text"], [], "stop", asked)
        parser = self._parser(_Tokenizer())
        if asked["pieces"] is not None:
            return self._streamed(parser, asked["pieces"])
        found = parser.extract_tool_calls(asked["text"], Unused())
        calls = [
            {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
            for call in found.tool_calls
        ]
        return {
            "content": found.content or "",
            "calls": calls,
            "finish": "tool_calls" if calls or (asked["early"] and found.tools_called) else "stop",
        }

    @staticmethod
    def _streamed(parser: Any, pieces: list[str]) -> Answer:
        text = ""
        ids: list[int] = []
        parts = []
        for piece in pieces:
            token = [SPECIAL.index(piece) + 1 if piece in SPECIAL else 0]
            found = parser.extract_tool_calls_streaming(
                text, text + piece, piece, tuple(ids), (*ids, *token), tuple(token), Unused()
            )
            text, ids = text + piece, [*ids, *token]
            if found is not None:
                parts.append((found.content or "", [_vllm_delta(call) for call in found.tool_calls or ()]))
        finish = "tool_calls" if parser.prev_tool_call_arr else "stop"
        return {"deltas": list(_joined(parts)), "finish": finish}


class _Tokenizer:
    """Kimi's special tokens, which are whole tokens in every stream; other text is nobody's concern here."""

    @staticmethod
    def get_vocab() -> dict[str, int]:
        return {token: number for number, token in enumerate(SPECIAL, 1)}


def _nothing(*_: object, **__: object) -> None:
    return None


def _vllm_delta(call: Any) -> dict[str, Any]:
    function = call.function if isinstance(call.function, dict) else call.function.model_dump()
    return {"index": call.index, **({"id": call.id} if call.id else {}), **function}


class MLX:
    """A parser of mlx-lm, with the text machine and the formatter of its server."""

    def __init__(self, module: str) -> None:
        import logging
        import uuid
        from collections import deque

        root = _root("mlx_lm")
        enter("mlx_lm", root)
        enter("mlx_lm.tool_parsers", root)
        self._parser = load(f"mlx_lm.tool_parsers.{module}")
        machine = definitions(root / "mlx_lm" / "generate.py", "TextStateMachine", "_build_trie", deque=deque)
        self._machine: Any = machine["TextStateMachine"]
        server = definitions(root / "mlx_lm" / "server.py", "ToolCallFormatter", json=json, uuid=uuid, logging=logging)
        self._formatter: Any = server["ToolCallFormatter"]
        # What mlx_lm/tokenizer_utils.py finds for a vocabulary of K3.
        wrappers = ("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>")
        self._markers = wrappers if module == "kimi_k3" else ()

    def __call__(self, asked: Asked) -> Answer:
        if not asked["tools"]:
            return _whole(asked["text"], [], "stop", asked)
        streamed = asked["pieces"] is not None
        formatter = self._formatter(self._parser.parse_tool_call, asked["tools"], streamed)
        segments = list(self._segments(asked))
        finish = "tool_calls" if any(sections for _, sections in segments) else "stop"
        told = [(text, list(map(_mlx_call, formatter(sections)))) for text, sections in segments]
        if streamed:
            return {"deltas": list(_joined(told)), "finish": finish}
        calls = [call for _, made in told for call in made]
        return {"content": "".join(text for text, _ in told), "calls": calls, "finish": finish}

    def _segments(self, asked: Asked) -> Iterator[tuple[str, list[str]]]:
        """Text and the inside of tool sections, as the loop of `mlx_lm.server` collects them."""
        normal = [(self._parser.tool_call_start, "tool"), *((marker, "normal") for marker in self._markers)]
        edges = {"normal": normal, "tool": [(self._parser.tool_call_end, "normal")]}
        state = self._machine(edges).make_state("normal")
        previous, inside = "normal", ""
        for piece in asked["pieces"] if asked["pieces"] is not None else [asked["text"]]:
            state, segments = self._machine.split(state, piece)
            for name, clean in segments:
                if name == "tool":
                    inside += clean
                elif previous == "tool":
                    yield clean, [inside]
                    inside = ""
                else:
                    yield clean, []
                previous = name
        if previous == "tool" and inside:
            yield "", [inside]


def _mlx_call(call: dict[str, Any]) -> dict[str, Any]:
    index = {"index": call["index"]} if "index" in call else {}
    return {**index, "id": call["id"], "name": call["function"]["name"], "arguments": call["function"]["arguments"]}


def _whole(text: str, calls: list[Any], finish: str, asked: Asked) -> Answer:
    """Where no tools are offered, servers do not parse at all."""
    if asked["pieces"] is None:
        return {"content": text, "calls": calls, "finish": finish}
    return {"deltas": [{"content": piece} for piece in asked["pieces"]], "finish": finish}


def _joined(parts: Any) -> Iterator[dict[str, Any]]:
    for text, calls in parts:
        if text:
            yield {"content": text}
        if calls:
            yield {"calls": calls}


ENGINES: dict[str, Callable[[], Callable[[Asked], Answer]]] = {
    "sglang-k2": lambda: SGLang("kimik2_detector", "KimiK2Detector"),
    "sglang-k3": lambda: SGLang("kimik3_detector", "KimiK3Detector"),
    "vllm-k2": lambda: VLLM("vllm.tool_parsers"),
    "vllm-early-k2": lambda: VLLM("vllm.entrypoints.openai.tool_parsers"),
    "mlx-k2": lambda: MLX("kimi_k2"),
    "mlx-k3": lambda: MLX("kimi_k3"),
}


def main(engine: str, *, early: bool) -> None:
    quiet()
    parse = ENGINES[engine]()
    for line in sys.stdin:
        asked = {**json.loads(line), "early": early}
        try:
            said = parse(asked)
        except Exception as error:  # noqa: BLE001 - a server would answer 500: told as such
            said = {"broken": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    sys.path[:0] = sys.argv[2:]
    main(sys.argv[1], early=bool(sys.argv[2:]))
