"""The simulated model: which tools a message asks for, with which arguments, and what it answers in prose."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_kimiprobe.simulator.conversation import Call, Draft, OfferedTool, Prompt, PromptTurn
from pytest_kimiprobe.simulator.model import answer

SCHEMAS = Path(__file__).resolve().parents[4] / "shared" / "data" / "schemas" / "validator_cases"


def tool(name: str, description: str, required: list[str], **members: Any) -> OfferedTool:
    """A tool; a member is a type's name or a schema."""
    properties = {key: {"type": value} if isinstance(value, str) else value for key, value in members.items()}
    return OfferedTool(name, description, {"type": "object", "properties": properties, "required": required})


UNIT = {"type": "string", "enum": ["celsius", "fahrenheit"]}
TEXTS = {"type": "array", "items": {"type": "string"}}
DAY = {"type": "string", "format": "date"}
LINES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "quantity": {"type": "integer"}},
        "required": ["name", "quantity"],
    },
}
ADDRESS = {
    "type": "object",
    "properties": {"street": {"type": "string"}, "city": {"type": "string"}, "zip": {"type": "string"}},
    "required": ["street", "city"],
}
ROOM = {"type": "string", "enum": ["kitchen", "bedroom", "living_room"]}
TOOLS = {
    one.name: one
    for one in (
        tool("get_weather", "Get the current weather for a city", ["city"], city="string", unit=UNIT),
        tool("get_forecast", "Get the forecast for the next days", ["city", "days"], city="string", days="integer"),
        tool("create_file", "Create a file", ["path", "content"], path="string", content="string"),
        tool("read_file", "Read a file", ["path"], path="string"),
        tool("list_directory", "List the files in a directory", ["path"], path="string"),
        tool("delete_file", "Delete a file", ["path"], path="string"),
        tool("get_time", "Get the current time", [], timezone="string"),
        tool("add", "Add two numbers", ["a", "b"], a="integer", b="integer"),
        tool("multiply", "Multiply two numbers", ["a", "b"], a="integer", b="integer"),
        tool("calculate", "Evaluate an arithmetic expression", ["expression"], expression="string"),
        tool("send_email", "Send an email", ["to", "subject", "body"], to="string", subject="string", body="string"),
        tool("search_web", "Search the web", ["query"], query="string", limit="integer"),
        tool(
            "book_flight",
            "Book a flight",
            ["origin", "destination", "date"],
            origin="string",
            destination="string",
            date=DAY,
            passengers="integer",
        ),
        tool("create_event", "Create a calendar event", ["title", "date"], title="string", date=DAY, attendees=TEXTS),
        tool("place_order", "Place an order", ["items"], items=LINES),
        tool("get_stock_price", "Get the price of a stock", ["symbol"], symbol="string"),
        tool("translate_text", "Translate text", ["text", "target_language"], text="string", target_language="string"),
        tool("set_reminder", "Set a reminder", ["text", "time"], text="string", time="string"),
        tool(
            "control_light",
            "Turn a light on or off",
            ["room", "state"],
            room=ROOM,
            state={"type": "string", "enum": ["on", "off"]},
            brightness={"type": "integer", "minimum": 0, "maximum": 100},
        ),
        tool(
            "create_user",
            "Create a user account",
            ["full_name", "email", "address"],
            full_name="string",
            email={"type": "string", "format": "email"},
            age="integer",
            address=ADDRESS,
            tags=TEXTS,
        ),
    )
}
FILES = "create_file read_file list_directory delete_file"


def ask(message: str, tools: str, **more: Any) -> Draft:
    offered = tuple(TOOLS[name] for name in tools.split())
    return answer(Prompt((PromptTurn("user", message),), offered, **more))


def calls(message: str, tools: str, **more: Any) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in ask(message, tools, **more).calls]


ASKED: list[tuple[str, str, list[tuple[str, dict[str, Any]]]]] = [
    ("What is the weather in Paris?", "get_weather", [("get_weather", {"city": "Paris"})]),
    (
        "What is the weather in Paris in Celsius?",
        "get_weather get_time create_file",
        [("get_weather", {"city": "Paris", "unit": "celsius"})],
    ),
    ("Is it raining in São Paulo?", "get_weather get_time", [("get_weather", {"city": "São Paulo"})]),
    ("Wie ist das Wetter in Berlin?", "get_weather", [("get_weather", {"city": "Berlin"})]),
    (
        "Create a file called test.js with Hello World content and tell me what time it is",
        "create_file get_time get_weather",
        [("create_file", {"path": "test.js", "content": "Hello World"}), ("get_time", {})],
    ),
    (
        'Create a file called test.js with the content "Hello World", and get the current time.',
        "create_file get_time",
        [("create_file", {"path": "test.js", "content": "Hello World"}), ("get_time", {})],
    ),
    ("Write 'Hi' to greeting.txt", FILES, [("create_file", {"path": "greeting.txt", "content": "Hi"})]),
    (
        "Create hello.py containing print('hi')",
        FILES,
        [("create_file", {"path": "hello.py", "content": "print('hi')"})],
    ),
    (
        "What is the weather in Paris, London and Tokyo?",
        "get_weather get_time",
        [("get_weather", {"city": city}) for city in ("Paris", "London", "Tokyo")],
    ),
    (
        "Read /etc/hosts and notes.txt",
        FILES,
        [("read_file", {"path": "/etc/hosts"}), ("read_file", {"path": "notes.txt"})],
    ),
    ("Show me what is in config.json", FILES, [("read_file", {"path": "config.json"})]),
    ("List the files in /tmp", FILES, [("list_directory", {"path": "/tmp"})]),
    ("Delete the file old.log", FILES, [("delete_file", {"path": "old.log"})]),
    (
        "Add and multiply the number 2 and 3",
        "add multiply",
        [("add", {"a": 2, "b": 3}), ("multiply", {"a": 2, "b": 3})],
    ),
    (
        "Add 2 and 3, then multiply 4 by 5",
        "add multiply",
        [("add", {"a": 2, "b": 3}), ("multiply", {"a": 4, "b": 5})],
    ),
    ("What is 17 * 23?", "calculate get_weather", [("calculate", {"expression": "17 * 23"})]),
    (
        'Send an email to bob@example.com with subject "Lunch" and body "Are you free?"',
        "send_email get_weather",
        [("send_email", {"to": "bob@example.com", "subject": "Lunch", "body": "Are you free?"})],
    ),
    (
        "Search the web for the best pizza in Naples, limit 5",
        "search_web get_weather",
        [("search_web", {"query": "the best pizza in Naples", "limit": 5})],
    ),
    (
        "Book a flight from Berlin to Madrid on March 5, 2027 for 2 passengers",
        "book_flight get_weather",
        [("book_flight", {"origin": "Berlin", "destination": "Madrid", "date": "2027-03-05", "passengers": 2})],
    ),
    (
        "Schedule a meeting called Standup on 2026-12-03 with Alice and Bob",
        "create_event send_email",
        [("create_event", {"title": "Standup", "date": "2026-12-03", "attendees": ["Alice", "Bob"]})],
    ),
    (
        "Order 2 apples and 3 pears",
        "place_order get_weather",
        [("place_order", {"items": [{"name": "apples", "quantity": 2}, {"name": "pears", "quantity": 3}]})],
    ),
    (
        "What are the stock prices of AAPL and MSFT?",
        "get_stock_price",
        [("get_stock_price", {"symbol": "AAPL"}), ("get_stock_price", {"symbol": "MSFT"})],
    ),
    (
        "Translate 'good morning' to French",
        "translate_text get_weather",
        [("translate_text", {"text": "good morning", "target_language": "French"})],
    ),
    ("Remind me to call mom at 18:00", "set_reminder", [("set_reminder", {"text": "call mom", "time": "18:00"})]),
    (
        "Turn on the kitchen light at 40 percent brightness",
        "control_light",
        [("control_light", {"room": "kitchen", "state": "on", "brightness": 40})],
    ),
    (
        "Turn off the light in the living room",
        "control_light get_weather",
        [("control_light", {"room": "living_room", "state": "off"})],
    ),
    ("What time is it in Tokyo?", "get_time", [("get_time", {"timezone": "Asia/Tokyo"})]),
    (
        "Give me the forecast for Paris for the next 3 days",
        "get_weather get_forecast",
        [("get_forecast", {"city": "Paris", "days": 3})],
    ),
    (
        (
            'Create a user named Alice Smith with email alice@example.com, age 30, living at street "Main St 5" '
            "in the city of Berlin, zip 10115, tags admin and editor"
        ),
        "create_user create_file",
        [
            (
                "create_user",
                {
                    "full_name": "Alice Smith",
                    "email": "alice@example.com",
                    "age": 30,
                    "address": {"street": "Main St 5", "city": "Berlin", "zip": "10115"},
                    "tags": ["admin", "editor"],
                },
            )
        ],
    ),
    (
        "My name is Bob. I live in Berlin. What's the weather where I live?",
        "get_weather",
        [("get_weather", {"city": "Berlin"})],
    ),
    ("北京今天天气怎么样？", "get_weather get_time", [("get_weather", {"city": "北京"})]),
    ("北京和上海的天气怎么样？", "get_weather", [("get_weather", {"city": "北京"}), ("get_weather", {"city": "上海"})]),
    ("东京现在几点？", "get_weather get_time", [("get_time", {"timezone": "Asia/Tokyo"})]),
    (
        "创建一个名为 test.js 的文件，内容为“Hello World”。",
        "create_file get_time",
        [("create_file", {"path": "test.js", "content": "Hello World"})],
    ),
    (
        "查询伦敦的天气，然后创建文件 a.txt，内容“完成”",
        "get_weather create_file",
        [("get_weather", {"city": "伦敦"}), ("create_file", {"path": "a.txt", "content": "完成"})],
    ),
    ("请把文件 old.log 删除", FILES, [("delete_file", {"path": "old.log"})]),
    ("What's the weather in Paris? Don't use fahrenheit.", "get_weather", [("get_weather", {"city": "Paris"})]),
]


@pytest.mark.parametrize(("message", "tools", "expected"), ASKED, ids=[row[0][:40] for row in ASKED])
def test_calls_what_is_asked_for(message: str, tools: str, expected: list[tuple[str, Any]]) -> None:
    """The tools asked for, in order, with arguments taken from the message, all valid."""
    got = calls(message, tools)
    assert got == expected
    for name, arguments in got:
        jsonschema.validate(arguments, TOOLS[name].schema)


EVERYTHING = " ".join(TOOLS)
WORDS = [
    "Hello, how are you?",
    "Tell me a joke.",
    "Thanks!",
    "What is the capital of France?",
    "I feel great today!",
    "Explain what a file system is.",
    "How do I write a for loop in Python?",
    "Translate the idea of freedom",
    "Do not call any tool. Just say hello.",
    "Do this one at a time, please.",
    "你好，请简单介绍一下你自己。你不应使用任何工具。",
]


@pytest.mark.parametrize("message", WORDS)
def test_answers_in_prose_without_a_request_for_a_tool(message: str) -> None:
    """Without a request for a tool there is no call, also if many tools are offered."""
    draft = ask(message, "get_weather create_file get_time search_web")
    assert (draft.calls, bool(draft.text), draft.finish) == ((), True, "stop")


SAID = [
    ("What is the capital of France?", "Paris"),
    ("What is 2+2?", "4"),
    ("What is 12 times 12?", "144"),
    ("What is 7 / 0?", "No tool"),
    ("Reply with the single word PONG.", "PONG"),
    ("Please answer with exactly 'all good'", "all good"),
    ("What's the weather?", "Which city"),
]


@pytest.mark.parametrize(("message", "word"), SAID)
def test_says_the_obvious(message: str, word: str) -> None:
    """It knows small facts, sums and dictated texts, and asks for an argument that it cannot know."""
    assert word in ask(message, "get_weather get_time").text


def test_the_right_one_of_many() -> None:
    """One tool among sixty distractors is found."""
    many = [tool(f"tool_{number}", f"Does thing number {number}", ["x"], x="string") for number in range(60)]
    offered = (*many[:30], TOOLS["get_weather"], *many[30:])
    draft = answer(Prompt((PromptTurn("user", "What is the weather in Oslo?"),), offered))
    assert [(call.name, call.arguments) for call in draft.calls] == [("get_weather", '{"city": "Oslo"}')]


def test_choice() -> None:
    """`none` makes no call, `required` makes one, and a named tool is called, independent of the message."""
    assert calls("What is the weather in Paris?", "get_weather", choice="none") == []
    assert [name for name, _ in calls("hm", "get_weather get_time", choice="required")] == ["get_weather"]
    assert calls("hm", "get_weather get_time", choice="get_time", named=True) == [("get_time", {})]


def result(call: Call, text: str) -> PromptTurn:
    return PromptTurn("tool", text, call_id=call.id)


def test_results_are_quoted() -> None:
    """After the results it answers with a text that quotes each of them."""
    asked = PromptTurn("user", "What is the weather in Paris and London?")
    first = answer(Prompt((asked,), (TOOLS["get_weather"],)))
    turns = (
        asked,
        PromptTurn("assistant", "", first.calls),
        result(first.calls[0], "18"),
        result(first.calls[1], "11"),
    )
    second = answer(Prompt(turns, (TOOLS["get_weather"],)))
    assert second.text == "Result of get_weather: 18 Result of get_weather: 11"
    assert [call.id for call in first.calls] == ["functions.get_weather:0", "functions.get_weather:1"]


def test_one_after_the_other() -> None:
    """Without parallel calls the second call follows the first result. A call that needs a result follows it."""
    offered = (TOOLS["read_file"], TOOLS["create_file"])
    asked = PromptTurn("user", "Read config.json, then write its content to copy.json")
    first = answer(Prompt((asked,), offered))
    assert [call.name for call in first.calls] == ["read_file"]
    turns = (asked, PromptTurn("assistant", "", first.calls), result(first.calls[0], "{port: 80}"))
    second = answer(Prompt(turns, offered))
    assert [json.loads(call.arguments) for call in second.calls] == [{"path": "copy.json", "content": "{port: 80}"}]
    assert second.calls[0].id == "functions.create_file:1"
    done = (*turns, PromptTurn("assistant", "", second.calls), result(second.calls[0], "written"))
    assert answer(Prompt(done, offered)).text == "Result of read_file: {port: 80} Result of create_file: written"


def test_reasoning_only_if_it_thinks() -> None:
    """A thinking model writes its plan into the reasoning."""
    assert "get_weather" in ask("Weather in Rome", "get_weather", thinks=True).reasoning
    assert ask("Weather in Rome", "get_weather").reasoning == ""


FUNCTION = {"name": "get_weather", "description": "Get weather", "parameters": TOOLS["get_weather"].schema}
FILE = {"name": "create_file", "description": "Create a file", "parameters": TOOLS["create_file"].schema}
TOLD = [
    f'Tools: {json.dumps([FUNCTION, FILE])}\nAnswer only with JSON {{"name": ..., "arguments": ...}}.',
    (
        f"You may call:\n{json.dumps({'type': 'function', 'function': FUNCTION})}\n"
        'Reply with a JSON object like {"name": "<tool>", "arguments": {}}'
    ),
    'Tools:\n- get_weather(city: string, unit?: string): Get weather\nReply as JSON: {"name": ..., "arguments": ...}',
    "Functions:\n```json\n" + json.dumps([FUNCTION], indent=2) + '\n```\nUse JSON with "name": and "arguments":',
]


@pytest.mark.parametrize("system", TOLD)
def test_tools_described_in_the_prompt(system: str) -> None:
    """Without native tools, but with tools described in the prompt, it answers only with the call as JSON."""
    draft = answer(Prompt((PromptTurn("system", system), PromptTurn("user", "What is the weather in Paris?"))))
    assert (draft.calls, json.loads(draft.text)) == ((), {"name": "get_weather", "arguments": {"city": "Paris"}})


def test_several_described_tools() -> None:
    """Several calls are a list, or `tool_calls` if the prompt says so. Results return as a user turn."""
    asked = "What is the weather in Paris? Create a file called a.txt with x content"
    both = answer(Prompt((PromptTurn("system", TOLD[0]), PromptTurn("user", asked))))
    assert [call["name"] for call in json.loads(both.text)] == ["get_weather", "create_file"]
    wrapped = TOLD[0].replace('{"name": ..., "arguments": ...}', '{"tool_calls": [{"name": ..., "arguments": ...}]}')
    told = answer(Prompt((PromptTurn("system", wrapped), PromptTurn("user", asked))))
    assert len(json.loads(told.text)["tool_calls"]) == 2
    back = PromptTurn("user", "Tool result: 18 degrees")
    turns = (PromptTurn("system", TOLD[0]), PromptTurn("user", asked), PromptTurn("assistant", both.text), back)
    assert "18 degrees" in answer(Prompt(turns)).text


def test_described_tools_are_not_called_for_small_talk() -> None:
    """A described tool alone does not lead to an answer in JSON."""
    assert ask_system(TOLD[0], "Hello!") == "Hello! How can I help you?"


def ask_system(system: str, message: str) -> str:
    return answer(Prompt((PromptTurn("system", system), PromptTurn("user", message)))).text


NODE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
            "additionalProperties": False,
        }
    },
    "type": "object",
    "properties": {"list": {"$ref": "#/$defs/node"}},
    "required": ["list"],
}


def one(member: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"value": member}, "required": ["value"]}


HARD = [
    {},
    NODE,
    one({"type": "string", "minLength": 20, "maxLength": 25}),
    one({"type": "string", "format": "date-time"}),
    one({"type": "integer", "multipleOf": 7, "exclusiveMinimum": 20, "maximum": 30}),
    one({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1}),
    one({"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True}),
    one({"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 2, "uniqueItems": True}),
    one({"type": ["string", "null"], "enum": [None, "x"]}),
    one({"oneOf": [{"type": "object", **one({"const": 4})}, {"type": "integer", "minimum": 10}]}),
    one({"allOf": [{"type": "object", **one({"type": "boolean"})}, {"properties": {"b": {"type": "integer"}}}]}),
    one({"const": {"deep": [1, 2]}}),
    one({"type": "number", "enum": [1, 2.5], "default": 7}),
    one({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2}),
    {"anyOf": [{"type": "array"}, one({"type": "integer"})]},
    *(one({key: [branch]}) for key in ("anyOf", "oneOf", "allOf") for branch in ({"enum": ["a"]}, {"const": 4})),
    one({"anyOf": [{"type": "string", "enum": ["red", "green"]}]}),
    one({"type": "array", "minItems": 1, "items": {"oneOf": [{"enum": [3, 5]}]}}),
    one({"anyOf": [one({"anyOf": [{"const": "deep"}]})]}),
]


@pytest.mark.parametrize("schema", HARD)
@pytest.mark.parametrize("message", ["Please call it.", "Use 3 and 'abc', name Paris, count 5, tags red and blue"])
def test_made_up_arguments_are_valid(schema: dict[str, Any], message: str) -> None:
    """Values that the message does not give are made up by type, and the result satisfies the schema."""
    draft = answer(Prompt((PromptTurn("user", message),), (OfferedTool("it", "", schema),), "required"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(draft.calls[0].arguments))


@pytest.mark.skipif(not SCHEMAS.exists(), reason="shared data is absent")
def test_moonshots_own_schemas() -> None:
    """Each of Moonshot's valid tool schemas that an object can satisfy is satisfied."""
    seen = 0
    for file in sorted(SCHEMAS.glob("*/valid.jsonl")):
        for line in filter(None, file.read_text(encoding="utf-8").splitlines()):
            schema = json.loads(line)
            if schema.get("type", "object") != "object" or ("properties" not in schema and "$ref" not in schema):
                continue
            offered = (OfferedTool("generate", "", schema),)
            draft = answer(Prompt((PromptTurn("user", "Use 3, 'abc' and 5"),), offered, "generate", named=True))
            arguments = json.loads(draft.calls[0].arguments)
            assert list(jsonschema.Draft202012Validator(schema).iter_errors(arguments)) == [], line
            seen += 1
    assert seen > 90


NO_SCHEMAS: list[Any] = [
    {"type": 5},
    {"type": "object", "properties": []},
    {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}, "required": ["a"]},
    {"$ref": "#"},
    {"type": "object", "properties": {"a": {"$ref": "https://example.invalid/x.json"}}},
]


@pytest.mark.parametrize("schema", NO_SCHEMAS)
def test_unsound_schemas_do_no_harm(schema: Any) -> None:
    """An invalid schema, or one with unresolvable references, still leads to a call with an object."""
    draft = answer(Prompt((PromptTurn("user", "a is 5"),), (OfferedTool("it", "", schema),), "required"))
    assert isinstance(json.loads(draft.calls[0].arguments), dict)


LONG = ["(", "[", "in ", '"', "a", "1 + ", "{"]


@pytest.mark.parametrize("piece", [LONG[0], *(pytest.param(piece, marks=pytest.mark.long) for piece in LONG[1:])])
def test_long_messages_take_no_more_than_their_length(piece: str) -> None:
    """Four times the length takes far less than sixteen times the work."""

    def work_s(pieces: int) -> float:
        message = piece * pieces + "json name:"
        start = time.process_time()
        ask(message, EVERYTHING)
        answer(Prompt((PromptTurn("user", message),)))
        return time.process_time() - start

    assert work_s(50_000) < 6 * work_s(12_500) + 1
