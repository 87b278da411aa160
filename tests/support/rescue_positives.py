"""Answers in which a call leaked: what models say before it, and the forms in which it comes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rescue_negatives import FORMS, NATIVE, ONE_LINE, WRITTEN

LEADS = [
    "",
    "\n",
    "I'll check the weather.",
    "I'll check the weather now.\n",
    "Let me look that up for you:\n",
    "Sure! Let me check the current weather in Paris.\n\n",
    "Okay, I will use the weather tool.\n",
    "Checking the weather in Paris...\n",
    "I need to get the weather first.\n\n",
    "To answer this, I'll call the weather function.\n",
    "Now I'm going to look at the weather:\n\n",
    "Let's find out.\n",
    "First, I'll fetch the data.\n",
    "One moment.\n",
    "\u6211\u6765\u67e5\u4e00\u4e0b\u5929\u6c14\uff1a\n",
    "Great question! I'll look it up.\n",
    "The user wants the weather, so I should call the tool.\n",
]
NATIVE_LEADS = [
    "Help. ",
    "Let me check the file.",
    "I'll help you check the weather",
    "The search returned nothing, so I'll look at the weather: ",
    "Let me look at the project structure and the README: ",
    "I'll create an example file. ",
    "Both files look fine. Next step. ",
    "The `city` is Paris. ",
    "```python\nprint(1)\n```\n",
    "Done with A.\n\nNow B:\n\n",
    "It's 5 o'clock, let me see. ",
]
DOUBTED_LEADS = [
    "This is a content:",
    "Weather in Paris \u2014 ",
    'He asked for "weather". ',
    "- item one\n- item two\n",
]
"""Nobody says here that he is about to call a tool: one retry rather than a wrong call."""
TRAILS = ["", "\n", " After tools.", "\nI'll report back."]


def positives() -> Iterator[tuple[str, str, str]]:
    """Name, text and form of every generated answer whose calls must be found."""
    for (index, lead), name in itertools.product(enumerate([*LEADS, *NATIVE_LEADS]), sorted(NATIVE)):
        for trail in TRAILS:
            yield f"native {index} {name} {trail!r}", f"{lead}{FORMS[name]}{trail}", name
    for (index, lead), name in itertools.product(enumerate(LEADS), sorted(WRITTEN)):
        if lead.strip() and not lead.endswith("\n") and name not in ONE_LINE:
            continue
        broken = lead if not lead or lead.endswith("\n") else lead + "\n"
        yield f"written {index} {name}", f"{broken}{FORMS[name]}", name
        if name.startswith("json"):
            yield f"fenced {index} {name}", f"{broken}```json\n{FORMS[name]}\n```\n", name
