#!/usr/bin/env bash
# What `make test`, `make test-long` and `make nightly` run (docs/testing.md):
#   run.sh           style, types, the quick tests, and the built wheel in an empty environment
#   run.sh long      quick and long tests with more generated examples, under branch coverage
#   run.sh nightly   tests without a bound on their time, and generated tests with the most examples
# Two halves run concurrently, one on each core. They are balanced by measured CPU time; types and wheel are in the first.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}
MODE=${1:-quick}
RUN=("$BIN/python")
SECOND=(tests/engines tests/faults tests/plugins tests/pytest_kimiprobe)
case $MODE in
  quick) MARKS="not long and not nightly" ;;
  long) MARKS="not nightly" RUN=("$BIN/coverage" run) ;;
  nightly) MARKS="nightly or hypothesis or generated" ;;
  *) echo "usage: tests/run.sh [long | nightly]" >&2 && exit 2 ;;
esac

tests() {
  "${RUN[@]}" -m pytest -q -m "$MARKS" --hypothesis-profile="$MODE" --durations=15 --junitxml=".coverage-tests-$1.xml" "${@:2}"
}

first() {
  if test "$MODE" = quick; then
    "$BIN/mypy"
    for conftest in tests/*/conftest.py; do "$BIN/mypy" "$conftest"; done
    ./tests/wheel.sh
  fi
  tests first tests "${SECOND[@]/#/--ignore=}"
}

if test "$MODE" = quick; then
  "$BIN/ruff" format --check .
  "$BIN/ruff" check .
fi
rm -f .coverage .coverage.* .coverage-tests-*.xml
set -m # with job control the background half has Ctrl-C as usual: some tests send it
first >.coverage-first.log 2>&1 &
half=$!
set +m
trap 'kill -- -"$half" 2>/dev/null' EXIT
code=0
tests second "${SECOND[@]}" || code=$?
wait "$half" || code=$?
trap - EXIT
cat .coverage-first.log
test "$code" -eq 0 || exit "$code"

"$BIN/python" tests/check_skips.py .coverage-tests-*.xml
if test "$MODE" = long; then
  "$BIN/coverage" combine -q
  "$BIN/coverage" report --format=total | sed 's/^/branch coverage in %: /'
fi
