"""What it costs to have `routing` around: import, then load and route, then a first answer, beside two peers.

    python bench/imports.py [ROUNDS]

Each row is a fresh interpreter; milliseconds above that of an empty one, medians, with the spread.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from steady_server import running

BANNED = ("pytest", "click", "github", "requests", "jsonschema", "httpx", "httpx2")
LOAD = "from routing import Router; router = Router.load()"
ROUTE = f"{LOAD}; router.route('hi', tools=[], user='1')"
TOOL = "{'type': 'function', 'function': {'name': 'f'}}"
ROWS = (
    ("import routing", "import routing"),
    ("Router.load() and route()", ROUTE),
    ("first complete()", f"{LOAD}; router.complete('Call f.', tools=[{TOOL}]); router.close()"),
    ("import httpx2", "import httpx2"),
    ("import openai", "import openai"),
)


def spent(code: str, environment: dict[str, str]) -> float:
    """Milliseconds of a fresh interpreter that runs `code`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - started) * 1000


def banned(code: str, environment: dict[str, str]) -> str:
    """Names of banned modules that `code` loads."""
    script = f"{code}\nimport sys; print(*(name for name in {BANNED!r} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], check=True, env=environment, capture_output=True, text=True)
    return found.stdout.strip() or "none"


def main(rounds: int) -> None:
    with running(0.0) as url:
        # Installed packages have their bytecode written; an environment that forbids it would measure the compiler.
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment = {**kept, "KIMIPROBE_BASE_URL_MOONSHOT": url, "MOONSHOT_API_KEY": "bench-key-of-no-account"}
        times: dict[str, list[float]] = {name: [] for name, _ in ROWS}
        empty: list[float] = []
        for _ in range(rounds + 1):  # the first round warms the caches of the machine
            empty.append(spent("pass", environment))
            for name, code in ROWS:
                times[name].append(spent(code, environment))
        base = statistics.median(empty[1:])
        peer = statistics.median(times["import openai"][1:]) - base
        print(f"ms above an empty interpreter ({base:.0f} ms), {rounds} rounds")
        print(f"{'':<28}{'median':>8}{'min':>8}{'max':>8}{'x import openai':>17}  heavy modules loaded")
        for name, code in ROWS:
            above = [value - base for value in times[name][1:]]
            middle = statistics.median(above)
            loaded = banned(code, environment)
            print(f"{name:<28}{middle:>8.0f}{min(above):>8.0f}{max(above):>8.0f}{middle / peer:>17.2f}  {loaded}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
