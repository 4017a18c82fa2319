# Two commands matter: `make book` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONHASHSEED := 0

.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with the locked requirements and ncbook
$(STAMP): requirements.txt pyproject.toml
	$(PYTHON) -m tools.setup_check
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

book: $(STAMP) ## execute the chapters and write _build/html/index.html
	$(BIN)/python -m tools.build

serve: ## open the built book on http://localhost:8000 (this machine only)
	$(PYTHON) -m http.server 8000 --bind 127.0.0.1 --directory _build/html

test: $(STAMP) ## check everything: style, types, units, chapters, a strict build, the pages in a browser
	$(BIN)/python -m tools.stages all

test-colab: $(STAMP) ## run every chapter alone, on the versions that Colab ships (makes .venv-colab)
	$(BIN)/python -m tools.stages colab

notebooks: $(STAMP) ## execute and clean every notebook in place
	$(BIN)/python -m tools.notebooks run

assignments: $(STAMP) ## test every assignment against its solution, write student and autograder folders
	$(BIN)/python -m assignments.release

format: $(STAMP) ## format the package, tools, tests and notebooks
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

benchmark: $(STAMP) ## print how long the book takes to build and to rebuild here
	$(BIN)/python benchmarks/book.py

picture: $(STAMP) ## train the small network behind the landing page's picture and draw it again
	$(BIN)/python -m tools.landing_picture _static/hero.webp

lock: $(STAMP) ## write requirements.txt from pyproject.toml (needs uv: pip install uv)
	uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-emit-index-url -o requirements.txt

repository: $(STAMP) ## write the repository's address everywhere: make repository URL=https://github.com/OWNER/NAME
	$(BIN)/python -m tools.repository --write "$(URL)"

clean: ## remove what was built, keep .venv
	rm -rf _build build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache


.PHONY: help setup book serve test test-colab notebooks assignments format benchmark picture lock repository clean
