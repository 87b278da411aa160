"""What it costs to have `routing` around: import, load and route, a first answer, and the answer after that.

    python bench/imports.py [ROUNDS]

Each figure comes from fresh interpreters: milliseconds of CPU of the row's last statement alone, medians, with the
spread, beside the import of two peers.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from steady_server import running

BANNED = ("pytest", "click", "github", "requests", "jsonschema", "httpx", "httpx2")
LOAD = "from routing import Router; router = Router.load()"
TOOL = "{'type': 'function', 'function': {'name': 'f'}}"
ASK = f"router.complete('Call f.', tools=[{TOOL}])"
ROWS = (
    ("import routing", "pass", "import routing"),
    ("Router.load()", "from routing import Router", "router = Router.load()"),
    ("first route()", LOAD, "router.route('hi', tools=[], user='1')"),
    ("first complete()", LOAD, ASK),
    ("second complete()", f"{LOAD}; {ASK}", ASK),
    ("complete() after warm()", f"{LOAD}; router.warm()", ASK),
    ("import httpx2", "pass", "import httpx2"),
    ("import openai", "pass", "import openai"),
)


def spent(before: str, code: str, environment: dict[str, str]) -> float:
    """Milliseconds of CPU of `code` in a fresh interpreter, after `before`."""
    script = f"import time\n{before}\nbegan = time.process_time()\n{code}\nprint((time.process_time() - began) * 1000)"
    done = subprocess.run([sys.executable, "-c", script], check=True, env=environment, capture_output=True, text=True)
    return float(done.stdout)


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
        times: dict[str, list[float]] = {name: [] for name, _, _ in ROWS}
        for _ in range(rounds + 1):  # the first round warms the caches of the machine
            for name, before, code in ROWS:
                times[name].append(spent(before, code, environment))
        peer = statistics.median(times["import httpx2"][1:])
        print(f"ms of CPU, {rounds} rounds")
        print(f"{'':<28}{'median':>8}{'min':>8}{'max':>8}{'x import httpx2':>17}  heavy modules loaded")
        for name, before, code in ROWS:
            found = times[name][1:]
            middle, loaded = statistics.median(found), banned(f"{before}\n{code}", environment)
            print(f"{name:<28}{middle:>8.1f}{min(found):>8.1f}{max(found):>8.1f}{middle / peer:>17.2f}  {loaded}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
