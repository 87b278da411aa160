# Two commands on a fresh machine: `make probe` and `make test`. Both install into .venv once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

RUN := $(VENV)/probe.json

.PHONY: probe live-check test test-long nightly engines clients plugins check lock clean

# Exit codes 0 and 1 are results: some simulated hosts are broken on purpose. A pytest that dies while it is configured
# may also exit with 1, so only a complete run counts.
probe: $(VENV)/.probe  ## run the suite against the embedded simulator: no key, no network
	@rm -f $(RUN)
	@$(BIN)/python -m pytest --kimiprobe --kimiprobe-source simulator --kimiprobe-json $(RUN); code=$$?; \
	  test $$code -le 1 || exit $$code; \
	  grep -qF '"complete": true' $(RUN) || { echo "make probe: the run is not complete" >&2; exit 2; }

live-check: $(VENV)/.probe  ## compare real hosts with the simulator: needs a key, costs at most $0.05
	@$(BIN)/kimiprobe live-check $(ARGS)

test: $(VENV)/.test  ## style, types, the quick tests, the built wheel in an empty environment
	@BIN=$(BIN) ./tests/run.sh

# In CI no test may be skipped. So what tests/engines and tests/clients need is installed there.
test-long: $(VENV)/.test .venv-plugins/.ready $(if $(CI),.venv-engines/.ready clients)  ## quick and long tests with branch coverage
	@BIN=$(BIN) ./tests/run.sh long

nightly: $(VENV)/.test  ## tests without a bound on their time
	@BIN=$(BIN) ./tests/run.sh nightly

engines: .venv-engines/.ready  ## published engines, for tests/engines: their parsers only, in a separate environment

.venv-engines/.ready: tests/engines/setup.sh tests/engines/current.txt tests/engines/early.txt
	@echo "installing into .venv-engines (once, about 55 MB)"
	@PYTHON=$(PYTHON) ./tests/engines/setup.sh .venv-engines

plugins: .venv-plugins/.ready  ## pytest plugins that users have, for tests/plugins, in a separate folder

.venv-plugins/.ready: tests/plugins/setup.sh tests/plugins/plugins.txt | $(VENV)/.test
	@echo "installing into .venv-plugins (once, about 10 MB)"
	@BIN=$(BIN) ./tests/plugins/setup.sh .venv-plugins

clients: .venv-clients/.ready tests/clients/node_modules/.ready  ## official clients, for tests/clients: LangChain and npm packages

.venv-clients/.ready: tests/clients/setup.sh tests/clients/langchain.txt
	@echo "installing into .venv-clients (once, about 60 MB)"
	@PYTHON=$(PYTHON) ./tests/clients/setup.sh .venv-clients

tests/clients/node_modules/.ready: tests/clients/package-lock.json
	@npm ci --prefix tests/clients --no-audit --no-fund --loglevel=error
	@touch $@

# Without --system-site-packages, so that only the libraries of the lock files are used.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.probe: pyproject.toml requirements/probe.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (once)"
	@$(PIP) install --require-hashes -r requirements/probe.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: pyproject.toml requirements/test.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (once)"
	@$(PIP) install --require-hashes -r requirements/test.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.probe

lock:  ## renew requirements/*.txt (needs uv)
	uv pip compile pyproject.toml --group probe --universal --generate-hashes --no-header --no-emit-index-url -q -o requirements/probe.txt
	uv pip compile pyproject.toml --extra all --group test --group probe --universal --generate-hashes --no-header --no-emit-index-url -q -o requirements/test.txt
	uv pip compile pyproject.toml --extra github --group probe --universal --generate-hashes --no-header --no-emit-index-url -q -c requirements/test.txt -o requirements/monitor.txt
	uv pip compile --group runtime --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -q -c requirements/test.txt -o requirements/runtime.txt
	uv pip compile tests/clients/langchain.in --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -q -o tests/clients/langchain.txt
	for set in current early; do uv pip compile tests/engines/$$set.in --no-deps --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -q -o tests/engines/$$set.txt; done
	uv pip compile tests/plugins/plugins.in -c requirements/test.txt --no-deps --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -q -o tests/plugins/plugins.txt

clean:
	rm -rf $(VENV) .venv-engines .venv-clients .venv-plugins tests/clients/node_modules .pytest_cache .kimiprobe .mypy_cache .ruff_cache .coverage* dist
