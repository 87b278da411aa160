#!/usr/bin/env bash
# What `make test` runs: style, types, tests with branch coverage, then the built wheel in an empty environment.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}

"$BIN/ruff" format --check .
"$BIN/ruff" check .
"$BIN/mypy"
for conftest in tests/*/conftest.py; do "$BIN/mypy" "$conftest"; done
"$BIN/coverage" erase
"$BIN/coverage" run -m pytest -q --junitxml=.coverage-tests.xml "$@"
"$BIN/coverage" combine -q
"$BIN/coverage" report --format=total | sed 's/^/branch coverage in %: /'
"$BIN/python" tests/check_skips.py .coverage-tests.xml
./tests/wheel.sh
