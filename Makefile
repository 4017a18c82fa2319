# Two commands matter: `make book` and `make test`. `make help` lists the rest. Without make: python -m tools COMMAND.
PYTHON ?= python3

.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: ## make .venv with the locked requirements and ncbook
	@$(PYTHON) -m tools setup

book: ## execute the chapters and write _build/html/index.html
	@$(PYTHON) -m tools book

serve: ## open the built book on http://localhost:8000 (this machine only)
	$(PYTHON) -m http.server 8000 --bind 127.0.0.1 --directory _build/html

offline: ## pack the built book into _build/neural-collapse.zip, with its checksum
	@$(PYTHON) -m tools offline

pdf: ## print the built book into _build/neural-collapse.pdf (needs Chromium, no TeX)
	@$(PYTHON) -m tools pdf

epub: ## pack the built book into _build/neural-collapse.epub (needs Chromium)
	@$(PYTHON) -m tools epub

test: ## check everything: style, types, units, a strict build, the pages in a browser, the course
	@$(PYTHON) -m tools test

test-colab: ## run every chapter alone, on the versions that Colab ships (makes .venv-colab)
	@$(PYTHON) -m tools test-colab

test-processor: ## run every chapter with the rounding of another processor (a quarter of an hour)
	@$(PYTHON) -m tools test-processor

fuzz: ## let the property tests look for new cases instead of the same ones
	@$(PYTHON) -m tools fuzz

notebooks: ## execute and clean every notebook in place
	@$(PYTHON) -m tools notebooks

assignments: ## test every assignment against its solution, write student and autograder folders
	@$(PYTHON) -m tools assignments

format: setup ## format the package, tools, tests and notebooks
	.venv/bin/ruff format . && .venv/bin/ruff check --fix .

benchmark: ## print how long the book takes to build and to rebuild here
	@$(PYTHON) -m tools benchmark

picture: ## train the small network behind the landing page's picture and draw it again
	@$(PYTHON) -m tools picture

lock: setup ## write requirements.txt from pyproject.toml (needs uv: pip install uv)
	uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-emit-index-url -o requirements.txt

repository: ## write the repository's address everywhere: make repository URL=https://github.com/OWNER/NAME
	@$(PYTHON) -m tools repository "$(URL)"

clean: ## remove what was built, keep .venv
	rm -rf _build build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache

.PHONY: help setup book serve offline pdf epub test test-colab test-processor fuzz notebooks assignments format benchmark picture lock repository clean
