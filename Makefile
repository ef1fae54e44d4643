# Every task of a developer: `make help` lists them.
.POSIX:
.SUFFIXES:
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := $(CURDIR)/.demo
# Nothing is written into the person's home, unless it is where their settings put pip's cache.
PIP_CACHE := $(shell [ -n "$$PIP_CACHE_DIR" ] || grep -qs '^ *cache-dir' "$${PIP_CONFIG_FILE:-/dev/null}" "$$HOME/.config/pip/pip.conf" \
    "$$HOME/.pip/pip.conf" /etc/pip.conf || echo "--cache-dir $(DEMO)/cache/pip")
DEBIAN_PACKAGES := acl aardvark-dns chromium chromium-driver containernetworking-plugins debootstrap fonts-dejavu-core git \
    iptables make netavark openssh-client openssh-server pgbouncer php-cli php-pgsql php-vlucas-phpdotenv podman \
    postgresql procps python3 python3-venv ruby \
    ruby-activerecord ruby-dotenv ruby-pg runc shellcheck util-linux

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' Makefile | sed -E 's/^([a-z0-9-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-24s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	@$(PYTHON) scripts/preflight.py
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/controller.installed: requirements/controller.txt requirements/sandbox.txt | $(VENV)/bin/python
	@echo "Installing what the controller and the sandbox need into $(VENV)"
	@$(BIN)/python -m pip install $(PIP_CACHE) --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements/controller.txt -r requirements/sandbox.txt
	@touch $@

$(VENV)/development.installed: $(VENV)/controller.installed requirements/development.txt
	@echo "Installing what lint and tests need into $(VENV)"
	@$(BIN)/python -m pip install $(PIP_CACHE) --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements/development.txt
	@touch $@

# The newest ansible-core needs Python 3.12 or newer; without one its tests are skipped, and say so.
NEWEST := .venv-newest
$(NEWEST)/controller.installed: requirements/controller-newest.txt
	@if python=$$(scripts/find-python 3.14 3.13 3.12); then \
	    echo "Installing the newest ansible-core into $(NEWEST)"; \
	    "$$python" -m venv $(NEWEST) && \
	    $(NEWEST)/bin/python -m pip install $(PIP_CACHE) --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements/controller-newest.txt; \
	else \
	    echo "There is no Python 3.12 or newer: the newest ansible-core is not tested (pyenv install 3.13 gives one)"; \
	    mkdir -p $(NEWEST); \
	fi
	@touch $@

# Ansible's own folder, which is otherwise made in the person's home.
lint test-unit test-integration test-commands test-package acceptance acceptance-sweep test-contract test-clients test-projects docs build execution-environment: export ANSIBLE_HOME := $(CURDIR)/.ansible

.PHONY: install
install: $(VENV)/controller.installed ## install the controller's packages into .venv

.PHONY: demo
demo: $(VENV)/controller.installed ## connect a scratch home to local stand-in clusters, with real drivers
	@mkdir -p $(DEMO)/home
	@CRDB_DEMO=$(DEMO) CRDB_DEMO_REAL_HOME="$$HOME" HOME=$(DEMO)/home ANSIBLE_CONFIG=$(CURDIR)/ansible.cfg \
	    $(BIN)/ansible-playbook -i inventories/sandbox playbooks/demo.yml

.PHONY: demo-down
demo-down: $(VENV)/controller.installed ## stop the stand-in clusters and remove what the demo wrote
	@$(BIN)/python -m sandbox down --remove
	@rm -rf $(DEMO)

.PHONY: test
test: $(VENV)/development.installed ## run everything that CI runs
	@MAKE="$(MAKE)" scripts/at-once lint test-unit
	@$(MAKE) test-integration
	@MAKE="$(MAKE)" scripts/at-once sanity test-molecule-machine acceptance

# Tests mostly wait for servers and programs, so one worker more than a small machine has processors. The files are in
# the order of tests/conftest.py.
PARALLEL := --numprocesses 3 --dist loadfile --no-loadscope-reorder
# About a hundred runs of playbooks: for a change of documentation, and before a release.
COMMANDS := tests/integration/test_commands.py
# Builds of whole projects, for minutes: for a change of the catalogue, and before a release.
PROJECTS := tests/clients/skeletons
SUITES := tests/integration tests/contract tests/clients tests/acceptance

.PHONY: test-unit
test-unit: $(VENV)/development.installed $(NEWEST)/controller.installed ## run the tests that need no sandbox
	$(BIN)/python -m pytest $(PARALLEL) tests/unit tests/faults

.PHONY: test-integration
test-integration: $(VENV)/development.installed $(NEWEST)/controller.installed ## run tests against the sandbox, with real drivers
	$(BIN)/python -m pytest $(PARALLEL) -m "not thorough" --ignore $(COMMANDS) --ignore $(PROJECTS) $(SUITES)

.PHONY: test-thorough
test-thorough: $(VENV)/development.installed $(NEWEST)/controller.installed ## run what CI leaves out of test-integration: variants of what other tests hold
	$(BIN)/python -m pytest $(PARALLEL) -m thorough $(SUITES)

.PHONY: test-commands
test-commands: $(VENV)/development.installed ## run every command that README and docs print, as text, against the sandbox
	$(BIN)/python -m pytest --numprocesses 3 $(COMMANDS)

.PHONY: test-package
test-package: $(VENV)/development.installed ## install the package under every Python that it supports, and run it, the demo too
	CRDB_PACKAGE_ALL=1 $(BIN)/python -m pytest tests/integration/test_package.py

# YES=1 allows a cluster that is not new. ARGS are more options: python -m tests.acceptance --help.
ACCEPTANCE = PYTHONPATH=collections $(BIN)/python -m tests.acceptance

.PHONY: acceptance
acceptance: $(VENV)/development.installed ## check README's claims against a cluster: CLUSTER=NAME (COCKROACH_API_KEY), or the sandbox
	$(ACCEPTANCE) run $(if $(CLUSTER),--cluster "$(CLUSTER)") $(if $(YES),--yes) $(ARGS)

.PHONY: acceptance-sweep
acceptance-sweep: $(VENV)/development.installed ## remove what a killed acceptance run left: CLUSTER=NAME
	$(ACCEPTANCE) sweep $(if $(CLUSTER),--cluster "$(CLUSTER)") $(ARGS)

.PHONY: test-contract
test-contract: $(VENV)/development.installed ## compare API requests and responses with a specification: SPEC=FILE (OpenAPI, JSON)
	CRDB_CONTRACT_SPEC="$(SPEC)" $(BIN)/python -m pytest tests/contract

.PHONY: test-clients
test-clients: $(VENV)/development.installed ## prove every framework, version, deployment and form with the real drivers, try 10,000 hostile values, print the matrix
	rm -f build/clients.json
	CRDB_CLIENTS_ALL=1 $(BIN)/python -m pytest --ignore $(PROJECTS) tests/clients
	PYTHONPATH=collections $(BIN)/python -m tests.clients.report

.PHONY: outdated
outdated: $(VENV)/development.installed ## say which tested versions of the catalogue have newer releases: LANGUAGES="go java"
	$(BIN)/python scripts/outdated $(LANGUAGES)

.PHONY: client-locks
client-locks: $(VENV)/development.installed ## lock the drivers of test-clients again, with hashes (needs pip-compile)
	$(BIN)/python scripts/install-clients --lock

.PHONY: docs-frameworks
docs-frameworks: ## write docs/frameworks.md from the last run of test-clients
	PYTHONPATH=collections $(BIN)/python -m tests.clients.report --write

.PHONY: test-projects
test-projects: $(VENV)/development.installed ## put the written files into real projects, and run their own commands
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(PROJECTS) tests/clients/test_env_shapes*.py
	PYTHONPATH=collections $(BIN)/python -m tests.clients.report --projects

.PHONY: test-molecule-debian-12
test-molecule-debian-12: $(VENV)/development.installed ## run every scenario in a container of Debian 12
	scripts/molecule bookworm

.PHONY: test-molecule-machine
test-molecule-machine: $(VENV)/development.installed ## run dev_machine.yml in containers of Debian 11 and 13, and for several users on 12
	scripts/molecule bullseye dev_machine
	scripts/molecule bookworm dev_machine_users
	scripts/molecule trixie dev_machine

.PHONY: test-molecule
test-molecule: $(VENV)/development.installed ## run every scenario in containers of Debian 11, 12 and 13 (Python 3.9, 3.11, 3.13)
	for suite in bullseye bookworm trixie; do scripts/molecule $$suite || exit 1; done

.PHONY: test-molecule-fleet
test-molecule-fleet: $(VENV)/development.installed ## run app_servers.yml on containers of three Debian releases with systemd
	scripts/molecule fleet

.PHONY: lint
lint: $(VENV)/development.installed ## run ruff, mypy, yamllint, ansible-lint (also on the YAML in docs), check imports between rooms, look for phrases to avoid
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy sandbox package/crdb_onboard collections/ansible_collections/crdb/onboard/plugins/module_utils collections/ansible_collections/crdb/onboard/plugins/plugin_utils
	$(BIN)/python scripts/layers.py
	$(BIN)/yamllint --strict .
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/ansible-lint --offline --strict
	$(BIN)/python scripts/plain_english.py
	$(BIN)/python scripts/lint_docs.py

.PHONY: sanity
sanity: $(VENV)/development.installed ## run ansible-test sanity in an exported copy
	scripts/sanity

.PHONY: bench
bench: $(VENV)/development.installed ## measure against bare ssh, in one run (as root): PARTS=files,check SIZES=1,10 ROUNDS=1, BASE=FOLDER (an older checkout)
	PYTHONPATH=collections $(BIN)/python -m tests.bench $(if $(PARTS),--parts $(PARTS)) $(if $(SIZES),--sizes $(SIZES)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(BASE),--base $(BASE))

.PHONY: docs-performance
docs-performance: ## write docs/performance.md from the last run of bench
	PYTHONPATH=collections $(BIN)/python -m tests.bench.report

.PHONY: docs-screenshot
docs-screenshot: $(VENV)/development.installed ## write the picture of the report page in the docs (needs chromium)
	PYTHONPATH=collections $(BIN)/python -m tests.screenshot

.PHONY: build
build: $(VENV)/controller.installed ## build the collection's artifact in build/
	@mkdir -p build
	$(BIN)/ansible-galaxy collection build --force --output-path build

.PHONY: package
package: $(VENV)/controller.installed ## build the package crdb-onboard, for pipx and uvx, in build/
	scripts/build-package build

.PHONY: execution-environment
execution-environment: build $(VENV)/development.installed ## create the build context of an image with the collection in build/
	$(BIN)/ansible-builder create --file execution-environment.yml --context build/execution-environment

.PHONY: releases
releases: $(VENV)/development.installed ## write the list of CockroachDB releases: DOCS=FOLDER, a checkout of cockroachdb/docs
	$(BIN)/python scripts/releases.py "$(DOCS)"

.PHONY: docs
docs: $(VENV)/development.installed ## write the generated parts of the docs
	$(BIN)/python scripts/docs.py

.PHONY: requirements
requirements: ## compile requirements/*.in again, with hashes (needs pip-compile)
	for name in controller sandbox development drivers package; do \
	    CUSTOM_COMPILE_COMMAND="make requirements" pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe \
	        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o requirements/$$name.txt requirements/$$name.in || exit 1; \
	done

# Node.js from elsewhere brings an npm that Debian's package conflicts with.
NODE_PACKAGES = $$(command -v npm >/dev/null || echo nodejs npm)

.PHONY: system-deps
system-deps: ## install the system packages that the tests use (Debian, Ubuntu; as root)
	@if ! command -v apt-get >/dev/null; then echo "These packages are needed: $(DEBIAN_PACKAGES) $(NODE_PACKAGES)"; exit 1; fi
	@if [ "$$(id -u)" != 0 ]; then echo "Run as root: apt-get install $(DEBIAN_PACKAGES) $(NODE_PACKAGES)"; exit 1; fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN_PACKAGES) $(NODE_PACKAGES)

.PHONY: clean
clean: ## stop the sandbox and remove what the other targets made
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m sandbox down --remove; fi
	rm -rf $(VENV) $(NEWEST) $(DEMO) .sandbox .ansible build .mypy_cache .ruff_cache .pytest_cache .hypothesis
