#!/usr/bin/env bash
# Install the plugins of plugins.in into a folder that tests put on the path of a pytest process. pytest itself, and what
# requirements/test.txt has anyway, come from .venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
room=${1:-.venv-plugins}
rm -rf "$room"
"${BIN:-.venv/bin}/python" -m pip --disable-pip-version-check --quiet install --no-deps --no-compile --require-hashes \
  --only-binary :all: --target "$room" -r tests/plugins/plugins.txt
touch "$room/.ready"
