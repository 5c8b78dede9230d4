# Every target is one line that may be typed by hand; `setup` comes first by itself.
# Needs Python 3.11 or newer and make. uv is taken from the PATH, or put into .venv.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UV := $(shell command -v uv || echo .venv/bin/uv)
PARTS := '.[server,oidc,mdns,rules,geo]' 'plugins/prism_sklearn[lz4,skops,optimize]' 'plugins/prism_oip[grpc]' plugins/prism_onnx plugins/prism_podman plugins/prism_redis_cache plugins/prism_tunnel examples/prism_lookup
GROUPS := --group dev --group sweep
COMPILE := pip compile -q --upgrade --universal --no-header --no-annotate --no-emit-package prism-core

.PHONY: setup demo test test-all check fix bench constraints

setup: .venv/.ready

demo: setup
	DEMO_EXIT=$(DEMO_EXIT) .venv/bin/python examples/demo.py

test: setup
	.venv/bin/python -m pytest -q -n auto --dist loadfile

test-all: setup
	.venv/bin/python -m pytest -q -n auto --dist loadfile -m ""

check: setup
	.venv/bin/ruff format --check && .venv/bin/ruff check && .venv/bin/mypy && .venv/bin/lint-imports

fix: setup
	.venv/bin/ruff check --fix && .venv/bin/ruff format

bench: setup
	.venv/bin/python -m bench.run $(ASK)

constraints: setup
	printf '%s\n' $(PARTS:%=-e' '%) uv hatchling | $(UV) $(COMPILE) $(GROUPS) - -o constraints.new
	grep -v '^-e' constraints.new > constraints.txt && rm constraints.new

.venv/.ready: Makefile constraints.txt pyproject.toml $(wildcard plugins/*/pyproject.toml examples/*/pyproject.toml)
	test -n "$(PYTHON)" || { echo "PRISM needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }
	test -x .venv/bin/python || uv venv -q --python $(PYTHON) .venv 2>/dev/null || $(PYTHON) -m venv .venv
	test -x "$(UV)" || .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt uv
	$(UV) pip install -q --compile-bytecode -p .venv -c constraints.txt -b constraints.txt $(GROUPS) $(PARTS:%=-e %)
	touch .venv/.ready
