SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench faults soak lock

PYTHON_OF_VENV := .venv/bin/python
MANAGE := $(PYTHON_OF_VENV) manage.py
# What the caller's shell says about databases and brokers is not the suite's business.
PLAIN := env -u DATABASE_URL -u REDIS_URL
PYTEST := $(PYTHON_OF_VENV) -m pytest
# Which IAM actions the simulated AWS was asked for, by all runs of the suite; the last run compares.
PERMISSIONS := $(CURDIR)/.pytest_cache/aws-permissions
RECORDED := $(PLAIN) N2W_SIMULATED_AWS_PERMISSIONS=$(PERMISSIONS)

# Touch the database, so they run on each that is supported; two at a time. Those of the whole system mostly
# wait, so there are three, a file each: what a file sets up is set up once.
TESTS_ON_EACH_DATABASE := tests/n2wbackup/lib tests/n2wbackup/processes tests/policies/api tests/policies/services tests/policies/test_visibility.py tests/policies/views
# Scripts by their name or by their first line.
WITH_SCRIPTS := .ci $(wildcard tools docs n2wbackup tests)
SHELL_SCRIPTS = $(shell { find $(WITH_SCRIPTS) -name '*.sh'; grep -rlE \
	--exclude='*.py' --exclude='*.md' '^\#!.*[/ ](ba|da)?sh( |$$)' $(WITH_SCRIPTS); } | sort -u)

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.installed ## Make .venv with the pinned Python packages; nothing else is touched

# The stamp lies inside .venv: without .venv it is gone too, and nothing is done twice.
.venv/.installed: requirements.txt requirements-dev.txt tools/setup.sh
	@tools/setup.sh
	@touch $@

demo: setup ## The whole product on this machine, no root, no AWS; ARGS=--once for one backup
	@$(MANAGE) demo $(ARGS)

test: setup ## The whole suite on SQLite and PostgreSQL; installs missing system packages
	tools/system-packages.sh
	mkdir -p $(dir $(PERMISSIONS)) && rm -f $(PERMISSIONS)
	$(RECORDED) $(PYTEST) -n 2 tests/guards tests/contract tests/bench tests/n2wbackup tests/policies tests/scripts_admin
	$(RECORDED) tools/with-postgresql.sh $(PYTEST) -n 2 $(TESTS_ON_EACH_DATABASE)
	$(RECORDED) $(PYTEST) -n 3 --dist loadfile tests/system --ignore=tests/system/faults --ignore=tests/system/soak
	$(RECORDED) $(PYTEST) -n 2 --dist loadfile tests/system/faults tests/system/soak
	$(RECORDED) $(PYTEST) tests/last

check: setup ## Everything that reads the code without running it
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/djlint --check --lint templates
	.venv/bin/deptry .
	DJANGO_SETTINGS_MODULE=n2wbackup.settings.test $(MANAGE) check
	DJANGO_SETTINGS_MODULE=n2wbackup.settings.test $(MANAGE) makemigrations --check --dry-run
	.venv/bin/shellcheck --external-sources --source-path=SCRIPTDIR $(SHELL_SCRIPTS)

bench: setup ## Measure hold, load, calls, memory; writes docs/benchmarks.md; ARGS="--only de" for parts
	$(PYTHON_OF_VENV) -m tests.bench $(ARGS)

faults: setup ## Strike at runs with every fault in every moment; writes docs/reliability.md
	tools/system-packages.sh
	$(PLAIN) $(PYTHON_OF_VENV) -m tests.system.faults $(ARGS)

soak: setup ## Half an hour of many policies and a fault every ten seconds; writes docs/soak.md; ARGS="--seed 7"
	$(PLAIN) $(PYTHON_OF_VENV) -m tests.system.soak $(ARGS)

lock: setup ## Pin the newest fitting versions of requirements*.in, with hashes
	@tools/lock.sh
