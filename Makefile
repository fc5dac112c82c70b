# make install: set up. make run: set up and run the whole workflow, in a fresh clone too. make test: all checks. make docs: the site.
# make clean: deletes .venv and all that the workflow made.
.PHONY: install run test check-code tests format docs apertium chromium clean
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

install: .venv/run apertium

run: install
	@$(BIN)/snakemake --cores all

test: check-code tests

check-code: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check workflow

tests: .venv/dev apertium chromium
	$(BIN)/pytest -n $${PYTEST_WORKERS:-auto} --dist worksteal

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt workflow

docs: .venv/docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --doctree-dir work/doctrees docs work/docs
	@echo "Open work/docs/index.html"

.venv/run: pyproject.toml constraints.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv \
	|| { echo "Python's venv module is missing (Debian, Ubuntu: sudo apt-get install python3-venv)"; exit 1; }
	@echo "Installing the pinned dependencies into .venv (minutes, the first time)"
	@$(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt --editable ".[workflow]"
	@touch $@

.venv/dev: .venv/run
	@$(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt --editable ".[workflow,serve,export,chinese,dev,docs]"
	@touch $@

.venv/docs: .venv/run
	@$(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt --editable ".[docs]"
	@touch $@

# Programs from outside Python, installed where that is possible; without them the workflow and the tests go on and say so.
# $(call program,COMMAND,PACKAGES,WHAT IS LOST WITHOUT IT)
define program
	@if command -v $(1) >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing $(2)"; apt="env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq"; \
		{ $$apt $(2) || { apt-get update -qq && $$apt $(2); }; } </dev/null >/dev/null 2>&1 \
		|| echo "$(1) could not be installed (apt-get install $(2)); going on without $(3)"; \
	else echo "$(1) is missing (Debian, Ubuntu: sudo apt-get install $(2)); going on without $(3)"; fi
endef

apertium:
	$(call program,apertium,apertium apertium-eo-en apertium-eng-spa,back-translation)

chromium:
	$(call program,chromium,chromium,the test of the report in a browser)

clean:
	rm -rf .venv work logs .snakemake data/raw data/examples data/shards data/models data/predictions data/results data/report data/records data/race data/tune/* data/audit/*
