#!/usr/bin/env bash
# What `make test` runs: style, types, tests with branch coverage, then the built wheel in an empty environment.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}

types() {
  "$BIN/mypy" || return
  for conftest in tests/*/conftest.py; do "$BIN/mypy" "$conftest" || return; done
}

"$BIN/ruff" format --check .
"$BIN/ruff" check .
types & checking=$!   # beside the tests, which mostly wait
trap 'kill "$checking" 2>/dev/null || true' EXIT
"$BIN/coverage" erase
"$BIN/coverage" run -m pytest -q --junitxml=.coverage-tests.xml "$@"
wait "$checking"
"$BIN/coverage" combine -q
"$BIN/coverage" report --format=total | sed 's/^/branch coverage in %: /'
"$BIN/python" tests/check_skips.py .coverage-tests.xml
./tests/wheel.sh
