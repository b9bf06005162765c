# Needs make and Python 3.11 to 3.13; everything else is set up in .venv. ARGS=… goes to the command of the target.
.DEFAULT_GOAL := help
.PHONY: help up test examples check lock bench soak pictures clean setup
MAKEFLAGS += --no-print-directory
# Another virtual environment may be active: it is none of ours.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

up: setup ## Start everything on this machine: PostgreSQL, example data, worker, Dagster; Ctrl-C ends it
	@exec .venv/bin/headrace up $(ARGS)

# HEADRACE_TEST_SERVER_URL=postgresql://… runs those that are about the server on that one.
PYTEST = env -u HEADRACE_DATABASE_URL -u HEADRACE_SOURCE_SCHEMA -u HEADRACE_HOME -u DAGSTER_PG_URL -u DAGSTER_HOME \
	.venv/bin/python -m pytest -n logical --maxprocesses 4 --dist worksteal
test: setup ## Run the tests on an embedded PostgreSQL of their own; ARGS='-k fold' picks some
	@exec $(PYTEST) $(ARGS)

examples: setup ## Run the property tests for long, with 1,000 examples each; ARGS='-k any_life'
	@HEADRACE_TEST_EXAMPLES=$${HEADRACE_TEST_EXAMPLES:-1000} exec $(PYTEST) -m hypothesis -o faulthandler_timeout=0 $(ARGS)

check: setup ## Check style, types and SQL: ruff, mypy, sqlfluff
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/python -m sqlfluff lint --disable-progress-bar dbt_like_sql

bench: setup ## Run the benchmarks; figures and what they mean are in benchmarks/README.md
	@exec .venv/bin/python -m benchmarks $(ARGS)

soak: setup ## Ten minutes of traffic while workers are killed and the server restarts; ARGS='--seconds 120'
	@exec .venv/bin/python -m benchmarks.soak $(ARGS)

pictures: setup ## Take the pictures in docs/pictures anew, with the Chromium that is on the PATH; look at them
	@exec .venv/bin/python -m tests.browser.screenshots

lock: ## Write requirements.lock from pyproject.toml; ARGS=--upgrade takes newer versions
	@sh .ci/setup lock $(ARGS)

clean: ## Remove .venv, caches and built files; var/, the data of `make up`, stays
	@sh .ci/setup clean

setup: ## Only make .venv, with the commands headrace and dagster in .venv/bin
	@sh .ci/setup
