"""The test's side of the engines: which there are, and a process of their environment that parses a batch."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOM = HERE.parents[1] / ".venv-engines"
needs_engines = pytest.mark.skipif(not (ROOM / ".ready").exists(), reason="no engines here: `make engines`")


@dataclass(frozen=True, slots=True)
class Engine:
    """A published tool parser: the package, its version, the file, and which of Kimi's formats it reads."""

    package: str
    version: str
    file: str
    child: str
    form: str
    early: bool = False

    @property
    def name(self) -> str:
        """As tables show it."""
        return f"{self.package} {self.version} {self.form.upper()}"


ENGINES = (
    Engine("sglang", "0.5.23", "sglang/srt/function_call/kimik2_detector.py", "sglang-k2", "k2"),
    Engine("sglang", "0.5.1", "sglang/srt/function_call/kimik2_detector.py", "sglang-k2", "k2", early=True),
    Engine("vllm-tpu", "0.21.0", "vllm/tool_parsers/kimi_k2_tool_parser.py", "vllm-k2", "k2"),
    Engine(
        "vllm-tpu",
        "0.10.1.1",
        "vllm/entrypoints/openai/tool_parsers/kimi_k2_tool_parser.py",
        "vllm-early-k2",
        "k2",
        early=True,
    ),
    Engine("mlx-lm", "0.32.2", "mlx_lm/tool_parsers/kimi_k2.py", "mlx-k2", "k2"),
    Engine("sglang", "0.5.23", "sglang/srt/function_call/kimik3_detector.py", "sglang-k3", "k3"),
    Engine("mlx-lm", "0.32.2", "mlx_lm/tool_parsers/kimi_k3.py", "mlx-k3", "k3"),
)


def parsed(engine: Engine, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the engine's parser makes of each row (engine_child.py says what a row holds)."""
    command = [str(ROOM / "bin" / "python"), "-B", str(HERE / "engine_child.py"), engine.child]
    command += [str(ROOM / "early")] if engine.early else []
    asked = "".join(json.dumps(row) + "\n" for row in rows)
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    said: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(rows), done.stderr[-2000:]
    return said


def installed(engine: Engine) -> tuple[str, bool]:
    """The version that lies in the environment, and whether the parser's file is there."""
    (found,) = ROOM.glob("early" if engine.early else "lib/python*/site-packages")
    name = engine.package.replace("-", "_")
    versions = [info.name.split("-")[1] for info in found.glob(f"{name}-*.dist-info")]
    return (versions or ["none"])[0].removesuffix(".dist"), (found / engine.file).is_file()
