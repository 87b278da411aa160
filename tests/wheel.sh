#!/usr/bin/env bash
# Build the wheel and use it as the README says: with all dependencies, with the runtime alone, and without an index.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=$(cd "${BIN:-.venv/bin}" && pwd)
folder=$(mktemp -d)
simulator=
trap 'rm -rf "$folder"; test -z "$simulator" || kill "$simulator"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1

# Lines of the README between two marks, without the code fence.
block() { sed -n "/<!-- $1/,/<!-- end of/p" README.md | sed '/^<!--/d; /^```/d'; }

echo "wheel: with all dependencies"
"$BIN/python" -m pip wheel --no-deps --no-build-isolation --wheel-dir "$folder" .
"$BIN/python" -m venv "$folder/all"
"$folder/all/bin/python" -m pip install "$folder"/*.whl
mkdir "$folder/project"
cd "$folder/project"
cat > test_own.py <<'PY'
import sys


def test_without_the_option_our_modules_are_not_loaded():
    heavy = {"httpx", "httpx2", "jsonschema", "jsonschema_rs", "yaml", "click", "routing.router"}
    assert not heavy & set(sys.modules)
PY
"$folder/all/bin/python" -m pytest -q -p no:cacheprovider
"$folder/all/bin/python" -m pytest -q -p no:cacheprovider --kimiprobe --kimiprobe-source simulator:healthy
"$folder/all/bin/kimiprobe" --version
"$folder/all/bin/kimiprobe" cost
"$folder/all/bin/kimiprobe" simulate --scenario healthy > hosts.env &
simulator=$!
cd - >/dev/null

echo "wheel: the runtime alone, installed from a folder as the README says"
"$BIN/python" -m venv "$folder/runtime"
block "without an index" | sed "s#\bwheels\b#$folder/wheels#g" |
  PIP_NO_BUILD_ISOLATION=1 PATH="$folder/runtime/bin:$PATH" bash -euo pipefail
installed=$("$folder/runtime/bin/python" -m pip list --format=freeze | cut -d= -f1 | tr '\n' ' ')
for package in pytest click jsonschema pygithub vcrpy; do
  case " $installed " in *" $package "*) echo "the runtime alone has $package" >&2; exit 1 ;; esac
done
if said=$("$folder/runtime/bin/kimiprobe" status 2>&1); then echo "kimiprobe ran without click" >&2; exit 1; fi
case $said in *"only the runtime is installed"*) ;; *) echo "$said" >&2; exit 1 ;; esac
until [ -s "$folder/project/hosts.env" ]; do kill -0 "$simulator"; sleep 0.1; done
block "router example" > "$folder/project/example.py"
(
  cd "$folder/project"
  set -a
  . ./hosts.env
  "$folder/runtime/bin/python" example.py | tee example.txt
  grep -q "name='get_weather'" example.txt
)
echo "wheel: works with all dependencies, and routes a request with the runtime alone"
