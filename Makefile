PYTHON ?= python3
BIN = .venv/bin

.PHONY: install test test-all coverage lint format bench bench-quick docs ci clean

install: ## the library, its command and every tool, in .venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -e '.[test,dev]'

test: ## tests and doctests, without the slow ones
	$(BIN)/python -m pytest

test-all: ## the slow ones too
	$(BIN)/python -m pytest -m ""

coverage: ## branch coverage, with the kernels as plain Python: coverage sees no compiled line
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest --cov --cov-report=term-missing

lint: ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: ## put the code in its one layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: ## speed and memory beside peers, about half an hour; DATA=folder with train.txt and test.txt, plain or .gz
	$(BIN)/python -m benchmarks.side_by_side $(DATA)

bench-quick: ## the same in little, to see that it works; on generated data unless DATA is given
	$(BIN)/python -m benchmarks.side_by_side --quick $(DATA)

docs: ## the site of the documents, in site/; runs the notebooks, and a warning is an error
	$(BIN)/pip install -q -e '.[docs]'
	$(BIN)/mkdocs build --strict

ci: ## everything that has to hold before a change lands
	.ci/run

clean: ## remove what the tools leave behind, compiled kernels included
	rm -rf build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
	find sparserec_np cli tests -name __pycache__ -type d -prune -exec rm -rf {} +
