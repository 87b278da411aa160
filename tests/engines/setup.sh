#!/usr/bin/env bash
# Install published inference engines, without what they depend on, into an environment of its own: only their tool
# parsers are run there (engine_child.py). What hosts ran in 2025 lies beside it, in a folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
room=${1:-.venv-engines}
pip="$room/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-compile --require-hashes --only-binary :all:"
"${PYTHON:-python3}" -m venv --clear "$room"
$pip -r tests/engines/current.txt
$pip --target "$room/early" -r tests/engines/early.txt
touch "$room/.ready"
