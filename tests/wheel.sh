#!/usr/bin/env bash
# Build the wheel, install it into an empty environment, and use it there as a newcomer would.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=$(cd "${BIN:-.venv/bin}" && pwd)
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

"$BIN/python" -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation --wheel-dir "$room" .
"$BIN/python" -m venv "$room/venv"
"$room/venv/bin/python" -m pip --disable-pip-version-check install --quiet "$room"/*.whl
mkdir "$room/project"
cd "$room/project"
cat > test_own.py <<'PY'
import sys


def test_without_the_option_nothing_of_ours_is_loaded():
    heavy = {"httpx", "httpx2", "jsonschema", "jsonschema_rs", "yaml", "click", "routing.router"}
    assert not heavy & set(sys.modules)
PY
"$room/venv/bin/python" -m pytest -q -p no:cacheprovider
"$room/venv/bin/python" -m pytest -q -p no:cacheprovider --kimiprobe --kimiprobe-source simulator:healthy
"$room/venv/bin/kimiprobe" --version
"$room/venv/bin/kimiprobe" cost
"$room/venv/bin/python" -c "
from routing import Router
with Router.load() as router:
    print(router.route(tools=[], user='123'))"
echo "wheel: works in an empty environment"
