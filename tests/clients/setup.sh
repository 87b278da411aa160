#!/usr/bin/env bash
# Install LangChain into a separate environment. One of its packages is a pytest plugin, which would be part of every
# other test.
set -euo pipefail
cd "$(dirname "$0")/../.."
room=${1:-.venv-clients}
"${PYTHON:-python3}" -m venv --clear "$room"
"$room/bin/python" -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all: -r tests/clients/langchain.txt
touch "$room/.ready"
