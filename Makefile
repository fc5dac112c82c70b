# make run: the whole workflow in a fresh clone. make test: all checks. make clean: back to a fresh clone, but for what git holds.
.PHONY: run test check-code tests apertium format clean
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

run: .venv/run apertium
	@$(BIN)/snakemake --cores all

test: check-code tests

check-code: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check workflow

tests: .venv/dev
	$(BIN)/pytest -n $${PYTEST_WORKERS:-auto}

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt workflow

.venv/run: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned dependencies into .venv (minutes, the first time)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/dev: .venv/run
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

# Back-translation's engine. Without it the workflow goes on and the report says so.
APERTIUM := apertium apertium-eo-en apertium-eng-spa
apertium:
	@if command -v apertium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing $(APERTIUM)"; \
		{ apt-get install -y -qq $(APERTIUM) || { apt-get update -qq && apt-get install -y -qq $(APERTIUM); }; } >/dev/null 2>&1 \
		|| echo "Apertium could not be installed (apt-get install $(APERTIUM)); going on without back-translation"; \
	else echo "Back-translation needs Apertium (Debian, Ubuntu: sudo apt-get install $(APERTIUM)); going on without it"; fi

clean:
	rm -rf .venv work logs .snakemake data/raw data/examples data/shards data/models data/predictions data/results data/report data/records
