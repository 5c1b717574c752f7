# Two commands for a newcomer: `make run` (environment, dataset, training, scorecard) and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The environment alone on the newest gymnasium; d3rlpy pins an older one, so it has to stay outside.
LANE := .venv-gymnasium
LANE_STAMP := $(LANE)/.installed
LANE_GYMNASIUM := 1.4.0
LANE_PACKAGES := gymnasium minari[hdf5] h5py pillow matplotlib pandas pyarrow filelock jaxtyping rich typer \
	pytest pytest-timeout scipy scikit-learn threadpoolctl fairlearn jinja2 joblib hypothesis
LANE_TESTS := $(addprefix tests/frl_env/,test_env.py test_vector.py simulator/test_rendering.py datasets/test_datasets.py)

# What only the documentation and a release need.
PUBLISHING := $(VENV)/.publishing

# What only the tasks of DM Control need.
CONTROL := $(VENV)/.control

.PHONY: run report test test-suite test-gymnasium test-long test-install control test-control test-slow lint figures \
	confirm pages wording docs dist typecheck bench paper-scale clean install

run: $(STAMP)
	$(BIN)/python benchmarks/run.py --algo factored_awr

report: $(STAMP)
	$(BIN)/python benchmarks/report.py results -o report.html

test: test-suite test-gymnasium

# A file's tests stay together, because they share what takes long to make; one thread of torch each.
test-suite: $(STAMP) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

test-gymnasium: $(LANE_STAMP)
	$(LANE)/bin/python -m pytest $(LANE_TESTS)

# What takes seconds a test: whole commands in processes of their own, pages' code, many draws. CI runs it.
test-long: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m 'long and not slow'

# Ways of installing, in virtual environments of their own: takes minutes and the package index; CI runs it.
test-install: $(PUBLISHING)
	$(BIN)/python -m pytest -m slow tests/test_minari_load.py tests/test_distribution.py

# Tasks of DM Control, an optional part of benchmarks/elsewhere.py: what they need, and their tests.
control: $(CONTROL)

test-control: $(CONTROL)
	$(BIN)/python -m pytest -m 'not slow' tests/benchmarks/worlds/test_dm_control_tasks.py

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python benchmarks/docs_pages/fill.py --check
	$(BIN)/python benchmarks/docs_pages/rooms.py --check
	$(BIN)/python benchmarks/docs_pages/picture.py --check
	$(BIN)/python benchmarks/docs_pages/wording.py --check

# Every figure of benchmarks/figures/commands.toml that is missing or of other code; hours, and it resumes.
figures: $(STAMP)
	$(BIN)/python benchmarks/docs_pages/measure.py

# After a change of code that should move no number: shorter runs on earlier code and on today's, digit by digit.
confirm: $(STAMP)
	$(BIN)/python benchmarks/docs_pages/confirm.py

# Numbers of studies (benchmarks/figures) and the table of rooms into the pages.
pages: $(STAMP)
	$(BIN)/python benchmarks/docs_pages/fill.py
	$(BIN)/python benchmarks/docs_pages/rooms.py
	$(BIN)/python benchmarks/docs_pages/picture.py

# Length of sentences, width of lines, words used before they are explained.
wording: $(STAMP)
	$(BIN)/python benchmarks/docs_pages/wording.py

# The documentation as pages with search, in build/site; a link that leads nowhere is an error.
docs: $(PUBLISHING)
	$(BIN)/python packaging/site.py

# Source distribution and wheel, in dist, checked as the package index checks them.
dist: $(PUBLISHING)
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

typecheck: $(STAMP)
	$(BIN)/pyright --level error --pythonpath $(BIN)/python

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py --algo factored_awr --seeds 5

# 50 epochs over 4.8 million weeks: about an hour; stopped, it goes on where it was.
paper-scale: $(STAMP)
	$(BIN)/python benchmarks/studies/paper_scale.py

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

$(PUBLISHING): $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[publishing]'
	touch $(PUBLISHING)

$(CONTROL): $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[control]'
	touch $(CONTROL)

$(LANE_STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(LANE)
	sed 's/^gymnasium==.*/gymnasium==$(LANE_GYMNASIUM)/' constraints.txt > $(LANE)/constraints.txt
	$(LANE)/bin/python -m pip install --quiet -c $(LANE)/constraints.txt $(LANE_PACKAGES)
	$(LANE)/bin/python -m pip install --quiet --no-deps -e .
	touch $(LANE_STAMP)

clean:
	rm -rf $(VENV) $(LANE) results d3rlpy_logs build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
