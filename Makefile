SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON_OF_VENV := .venv/bin/python
MANAGE := $(PYTHON_OF_VENV) manage.py
# What the caller's shell says about databases and brokers is not the suite's business. Where it forbids
# Python to keep what it has compiled, each of a thousand processes would compile everything anew.
PLAIN := env -u DATABASE_URL -u REDIS_URL -u DJANGO_SETTINGS_MODULE -u PYTHONDONTWRITEBYTECODE LC_ALL=C.UTF-8
PYTEST := $(PYTHON_OF_VENV) -m pytest
# Which IAM actions the simulated AWS was asked for, by all runs of the suite; the last run compares.
PERMISSIONS := .pytest_cache/aws-permissions
RECORDED := $(PLAIN) N2W_SIMULATED_AWS_PERMISSIONS="$(CURDIR)/$(PERMISSIONS)"

# The tests of the parts, which start no server; those of the whole system stand in tests/system.
TESTS_OF_PARTS := tests/guards tests/bench tests/n2wbackup tests/policies tests/scripts_admin
# What `make test` and CI run, in this order, each whatever became of the others: docs/adr/0032-*.md.
STAGES := test-parts test-system test-last
# Scripts by their name or by their first line.
WITH_SCRIPTS := .ci n2w $(wildcard tools docs n2wbackup scripts_admin tests)
SHELL_SCRIPTS = $(shell { find $(WITH_SCRIPTS) -name '*.sh'; grep -rlE \
	--exclude='*.py' --exclude='*.pyc' --exclude='*.md' '^\#!.*[/ ](ba|da)?sh( |$$)' $(WITH_SCRIPTS); } | sort -u)

.PHONY: help setup packages demo test test-fast coverage ci check bench profile faults soak servers lock system-packages \
	check-and-compile compiled $(STAGES) test-sqlite test-postgresql

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The server's processes keep nothing that they compile, as its place may be on a frozen disk.
setup: .venv/.installed ## Make .venv with the pinned packages of the server, and compile the server
	@$(PYTHON_OF_VENV) -m compileall -q n2wbackup policies scripts_admin manage.py

# The stamps lie inside .venv: without .venv they are gone too, and nothing is done twice.
.venv/.installed: requirements.txt tools/setup.sh
	@tools/setup.sh
	@touch $@

# What the demo, the tests and the checks need besides.
packages: .venv/.installed-all

.venv/.installed-all: requirements.txt requirements-dev.txt tools/setup.sh
	@tools/setup.sh all
	@touch .venv/.installed $@

demo: packages ## The whole product on this machine, no root, no AWS; ARGS=--once for one backup
	@$(MANAGE) demo $(ARGS)

test: packages ## The whole suite on SQLite and PostgreSQL; installs missing system packages
	tools/stages.sh $(STAGES)

test-fast: packages ## The tests of the parts on SQLite, in under three minutes: before each commit
	$(PLAIN) $(PYTEST) -n 2 $(TESTS_OF_PARTS) $(ARGS)

coverage: packages ## Which lines the tests of the parts do not reach; htmlcov/ shows them
	$(PLAIN) $(PYTEST) -n 2 -p pytest_cov.plugin --cov --cov-report=term --cov-report=html \
		$(TESTS_OF_PARTS) tests/contract $(ARGS)

ci: ## What .ci/run judges by: set-up, checks and the whole suite
	tools/stages.sh setup check-and-compile $(STAGES)

# The checks leave a core idle. Without what this compiles, each process of the suite would compile it.
check-and-compile: packages
	$(MAKE) --no-print-directory --keep-going --output-sync=target -j 2 check compiled

compiled: packages
	$(PLAIN) $(PYTEST) --quiet --collect-only --no-summary tests >/dev/null

# Half of their time the tests of the parts wait, so both databases have their turn at the same time.
test-parts: system-packages
	mkdir -p $(dir $(PERMISSIONS)) && rm -f $(PERMISSIONS)
	$(MAKE) --no-print-directory --keep-going --output-sync=target -j 2 test-sqlite test-postgresql

test-sqlite: packages
	$(RECORDED) tools/again.sh sqlite $(PYTEST) -n 3 --thorough $(TESTS_OF_PARTS) tests/contract

test-postgresql: system-packages
	$(RECORDED) tools/with-postgresql.sh tools/again.sh postgresql $(PYTEST) -n 2 --only-rows $(TESTS_OF_PARTS)

# What a file sets up is set up once, so a worker takes whole files, the longest first: the faults and
# the soak, which mostly wait, beside all others. There are more workers than cores.
test-system: system-packages
	$(RECORDED) tools/again.sh system $(PYTEST) -n 4 --dist loadfile --no-loadscope-reorder \
		tests/browser tests/system

test-last: packages
	$(RECORDED) $(PYTEST) tests/last

system-packages: packages
	tools/system-packages.sh

check: packages ## Everything that reads the code without running it
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/djlint --check --lint templates
	.venv/bin/deptry .
	DJANGO_SETTINGS_MODULE=n2wbackup.settings.test $(MANAGE) check
	DJANGO_SETTINGS_MODULE=n2wbackup.settings.test $(MANAGE) makemigrations --check --dry-run
	@.venv/bin/shellcheck --external-sources --source-path=SCRIPTDIR $(SHELL_SCRIPTS)
	@$(PYTHON_OF_VENV) -c 'from scripts_admin.runners import far; print(far.source().decode())' | \
		.venv/bin/shellcheck --shell=sh -

bench: packages ## Measure hold, load, calls, memory, instances; writes docs/benchmarks.md; ARGS="--only de" for parts
	tools/system-packages.sh
	$(PYTHON_OF_VENV) -m tests.bench $(ARGS)

profile: packages ## What one run costs by step and place: statements, commits, calls, CPU; ARGS="--functions freeze"
	$(PYTHON_OF_VENV) -m tests.bench.profile $(ARGS)

faults: packages ## Strike at runs with every fault in every moment; writes docs/reliability.md
	tools/system-packages.sh
	$(PLAIN) $(PYTHON_OF_VENV) -m tests.system.faults $(ARGS)

soak: packages ## Half an hour of many policies and a fault every ten seconds; writes docs/soak.md; ARGS="--seed 7"
	$(PLAIN) $(PYTHON_OF_VENV) -m tests.system.soak $(ARGS)

servers: packages ## Two servers on one database, 100 policies due at once, kills on both sides; ARGS="--policies 40"
	tools/system-packages.sh
	$(PLAIN) $(PYTHON_OF_VENV) -m tests.system.servers $(ARGS)

lock: packages ## Pin the newest fitting versions of requirements*.in, with hashes
	@tools/lock.sh
