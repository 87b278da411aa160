#!/usr/bin/env bash
# What `make test` runs: style, types, tests with branch coverage, then the built wheel in an empty environment.
# The tests are run as two halves at once, of about the same length: one core each.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}
SENDING=(tests/engines tests/faults tests/pytest_kimiprobe)

# `run.sh long` and `run.sh nightly` run the folder of that name only.
if test $# -gt 0; then
  test -d "tests/$1" || { echo "there is no folder tests/$1: nothing to run"; exit 0; }
  exec "$BIN/python" -m pytest -q --junitxml=".coverage-tests-$1.xml" "tests/$1"
fi

half() { "$BIN/coverage" run -m pytest -q --junitxml=".coverage-tests-$1.xml" "${@:2}"; }

"$BIN/ruff" format --check .
"$BIN/ruff" check .
"$BIN/mypy"
for conftest in tests/*/conftest.py; do "$BIN/mypy" "$conftest"; done

"$BIN/coverage" erase
half other tests "${SENDING[@]/#/--ignore=}" >.coverage-other.log 2>&1 &
other=$!
code=0
half sending "${SENDING[@]}" || code=$?
wait "$other" || code=$?
cat .coverage-other.log
test "$code" -eq 0 || exit "$code"

"$BIN/coverage" combine -q
"$BIN/coverage" report --format=total | sed 's/^/branch coverage in %: /'
"$BIN/python" tests/check_skips.py .coverage-tests-*.xml
./tests/wheel.sh
