# Every target sets up .venv by itself first, from hashed locks. Needs make and Python 3.11 or newer.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
BENCH := PYTHONPATH=.:tests $(BIN)/python -m bench
UV_VERSION := 0.13.9
HELM_SDK_VERSION := 0.2.2
KUBERNETES := 1.29 1.37  # the oldest with native sidecars, and the newest that is known
COMPILE := $(BIN)/uv --quiet pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-header $(if $(UPGRADE),--upgrade)

# A registry's host, or a path that exists on one machine only. Neither belongs in a repository.
FOREIGN := (p[y]pi|pytho[n]hosted|npm[j]s|crat[e]s|rubyg[e]ms)[.](org|com|io)|(^|[^A-Za-z0-9_.~-])/(work|root|home|Users|tmp/scratch|opt/(pypi|wheels))/

.DEFAULT_GOAL := help
.PHONY: help demo run test leaks check manifests chart faults streams soak lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile

demo: $(RUN) ## watch a prompt get better against a simulated provider (no key, no network)
	@$(BIN)/sidecar demo $(ARGS)

run: $(RUN) ## serve with sidecar.toml and the environment; ARGS='--port 9000' adds flags
	@$(BIN)/sidecar serve $(ARGS)

test: $(DEV) ## all tests; ARGS='-k name' picks some
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

leaks: $(DEV) ## all tests, each searched for secrets and content in logs, metrics and stores
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --leaks $(ARGS)

check: $(DEV) ## format, lint, types, layers, dependencies, dead code, deploy/, foreign addresses
	@echo "ruff format" && $(BIN)/ruff format --check --quiet . \
		|| { echo "run: $(BIN)/ruff format ."; exit 1; }
	@echo "ruff check" && $(BIN)/ruff check --quiet .
	@echo "mypy" && $(BIN)/mypy --no-error-summary
	@echo "import-linter" && $(BIN)/lint-imports > $(VENV)/lint-imports.log \
		|| { cat $(VENV)/lint-imports.log; exit 1; }
	@echo "deptry" && $(BIN)/deptry --no-ansi . 2> $(VENV)/deptry.log \
		|| { cat $(VENV)/deptry.log; exit 1; }
	@echo "vulture" && $(BIN)/vulture
	@echo "hadolint" && $(BIN)/hadolint Dockerfile
	@$(MAKE) --no-print-directory manifests
	@echo "foreign addresses"
	@if git grep --no-index --exclude-standard -nIE '$(FOREIGN)' -- .; then \
		echo "The lines above name a package registry or a path of one machine."; exit 1; \
	elif test $$? -gt 1; then exit 1; fi

manifests: $(DEV)  # any output of kubernetes-validate is a complaint: it warns of unknown kinds
	@command -v kubectl > /dev/null || { echo "manifests: SKIPPED, kubectl is not here"; exit 0; }; \
	for overlay in deployment native-sidecar; do \
		kubectl kustomize deploy/kustomize/overlays/$$overlay > $(VENV)/$$overlay.yaml || exit 1; \
		for version in $(KUBERNETES); do echo "kubernetes-validate $$overlay $$version"; \
			if $(BIN)/kubernetes-validate --strict --quiet -k $$version $(VENV)/$$overlay.yaml \
				2>&1 | grep .; then exit 1; fi; \
		done; \
	done

chart: $(DEV) ## hold the Helm chart against the manifests, with a real Helm (fetched for it)
	@$(PIP) install helm-python-sdk==$(HELM_SDK_VERSION)
	@$(BIN)/python -m pytest -q -p no:randomly tests/unit/test_deploy_chart.py -k "not held"
	@LC_ALL=C; export LC_ALL; find deploy/chart deploy/kustomize -type f ! -name compared.sha256 \
		| sort | xargs sha256sum > deploy/chart/compared.sha256

faults: $(DEV) ## what calls go through when backend, Redis or provider break, measured (2 minutes)
	@$(BENCH).faults $(ARGS)

streams: $(DEV) ## 2,000 streams at once through one sidecar: memory and CPU (1 minute)
	@$(BENCH).streams $(ARGS)

soak: $(DEV) ## users under random faults, then the books are checked; ARGS='--seconds 180'
	@$(BENCH).soak $(ARGS)

lock: | $(BIN)/python ## write the lock files anew; UPGRADE=1 takes newer versions
	@$(PIP) install uv==$(UV_VERSION)
	@$(COMPILE) --group build --output-file requirements.lock > /dev/null
	@$(COMPILE) --group build --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock > /dev/null
	@if grep -nE '://|^/|@ ' requirements*.lock; then echo "A lock names an address."; exit 1; fi

clean: ## remove what was built here, .venv too; never the database
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
		echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not that." >&2; \
		echo "Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python's venv module is missing (on Debian: apt install python3-venv)." >&2; exit 1; }

$(RUN): requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing what the sidecar needs into $(VENV)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing what the sidecar and its tests need into $(VENV)"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(RUN)
