# Needs make and Python 3.11 to 3.13; everything else is set up in .venv. ARGS=… is passed to the target's command.
.DEFAULT_GOAL := help
.PHONY: help up test examples check lock bench soak pictures clean setup
MAKEFLAGS += --no-print-directory
# Another virtual environment may be active: ignore it.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

up: setup ## Start everything on this machine: PostgreSQL, example data, worker, Dagster; Ctrl-C ends it
	@exec .venv/bin/headrace up $(ARGS)

PYTEST = env -u HEADRACE_DATABASE_URL -u HEADRACE_SOURCE_SCHEMA -u HEADRACE_HOME -u DAGSTER_PG_URL -u DAGSTER_HOME \
	.venv/bin/python -m pytest -n logical --maxprocesses 4 --dist worksteal
# HEADRACE_TEST_SERVER_URL=postgresql://… runs the tests that depend on the server's version on that server.
test: setup ## Run the tests on a separate embedded PostgreSQL; ARGS='-k fold' selects some
	@exec $(PYTEST) $(ARGS)

examples: setup ## Run the property tests with 1,000 examples each; ARGS='-k any_life' selects some
	@HEADRACE_TEST_EXAMPLES=$${HEADRACE_TEST_EXAMPLES:-1000} exec $(PYTEST) -m hypothesis -o faulthandler_timeout=0 $(ARGS)

check: setup ## Check style, types and SQL: ruff, mypy, sqlfluff
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/python -m sqlfluff lint --disable-progress-bar dbt_like_sql

bench: setup ## Run the benchmarks; benchmarks/README.md has the results and what they mean
	@exec .venv/bin/python -m benchmarks $(ARGS)

soak: setup ## Ten minutes of traffic while workers are killed and the server restarts; ARGS='--seconds 120'
	@exec .venv/bin/python -m benchmarks.soak $(ARGS)

pictures: setup ## Retake the pictures in docs/pictures, with the Chromium on the PATH; look at them before you commit
	@exec .venv/bin/python -m tests.browser.screenshots

lock: ## Write requirements.lock from pyproject.toml; ARGS=--upgrade takes newer versions
	@sh .ci/setup lock $(ARGS)

clean: ## Remove .venv, caches and built files; var/, the data of `make up`, stays
	@sh .ci/setup clean

setup: ## Only make .venv, with the commands headrace and dagster in .venv/bin
	@sh .ci/setup
