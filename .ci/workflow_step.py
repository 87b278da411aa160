"""Print the shell text of a workflow's step: `workflow_step.py FILE JOB STEP`.

CI runs the commands of the workflow, so that no copy can differ.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml


def main(path: str, job: str, name: str) -> None:
    """Print the commands of a step. Raises SystemExit if no step of that name runs a command."""
    steps = yaml.safe_load(Path(path).read_text("utf-8"))["jobs"][job]["steps"]
    found = [step["run"] for step in steps if step.get("name") == name and "run" in step]
    if len(found) != 1:
        raise SystemExit(f"{path}: the job {job} has {len(found)} steps named {name!r} that run a command")
    print(found[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
