# make demo          installs the requirements and runs everything on the built-in corpus
# make install       only installs, into .venv
# make test          runs the tests but the slow ones (kills, clusters, sweeps)
# make test-all      runs all tests
# make published     installs a package with published networks, which some tests convert
# make test-newest   runs the tests on the newest TensorFlow, in a separate environment
# make test-browser  opens the report and TensorBoard in headless Chromium
# make lint          checks style and types
# make docs          builds the documentation into site/
# make tour          executes docs/tour.ipynb
# make package       builds the wheel and source distribution and tries the wheel in an empty environment
# make demo-train    retrains the shipped checkpoints (takes hours)
# make clean         removes .venv and all runs
# PYTHON=...         chooses the interpreter (3.11 or 3.12; 3.13 for test-newest)

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.docs_installed
NEWEST := build/newest
# setuptools warns about every editable installation.
QUIETLY := PYTHONWARNINGS='ignore:Editable installation'

.PHONY: demo demo-train published test test-all test-newest test-browser lint docs tour package install clean

demo: $(INSTALLED)
	$(RUN) -m svdam.demo

# Retrains the shipped checkpoints within hours. When stopped and started again, it resumes.
demo-train: $(INSTALLED)
	$(RUN) -m svdam.prepare_data --flagfile=flags/demo/train_data.cfg
	$(RUN) -m svdam.train_classifier --flagfile=flags/demo/train_classifier_plain.cfg
	$(RUN) -m svdam.train_classifier --flagfile=flags/demo/train_classifier.cfg
	cp runs/demo-train/classifier/classifier.keras checkpoints/demo_svdnet.keras
	for stretch in 1 2 3 4; do \
		$(RUN) -m svdam.train_gan --flagfile=flags/demo/train_generator_$$stretch.cfg || exit 1; done
	cp runs/demo-train/gan_4/generator.keras checkpoints/demo_generator.keras

# A worker for each core, up to four. The slow tests time and kill processes, so they run one by one.
test: $(INSTALLED)
	$(RUN) -m pytest -m 'not slow' --numprocesses=auto --maxprocesses=4 --dist=loadfile

test-all: test
	$(RUN) -m pytest -m slow

# The package musicnn pins a NumPy of 2019, so it cannot be an extra; only its weights are read.
published: $(INSTALLED)
	$(RUN) -m pip install --quiet --no-deps musicnn==0.1.0

# The newest of everything, where tensorflow-io does not load; tests that need it are skipped.
# Python 3.13 is welcome here, too.
test-newest:
	$(PYTHON) -m venv $(NEWEST)
	$(QUIETLY) $(NEWEST)/bin/python -m pip install --quiet --upgrade --editable '.[test]'
	$(NEWEST)/bin/python -m pytest

# Screenshots go to build/browser. SVDAM_RUNS=runs/demo makes it open existing runs.
test-browser: $(INSTALLED)
	$(RUN) -m pytest -o python_files='browse_*.py' -o timeout=900 tests/browser

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 TF_CPP_MIN_LOG_LEVEL=3 $(RUN) -m mkdocs build --strict

# Executes docs/tour.ipynb and keeps its pictures.
tour: $(INSTALLED)
	$(RUN) tools/run_tour.py

package: $(INSTALLED)
	$(RUN) tools/check_package.py

install: $(INSTALLED)

$(INSTALLED): setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or 3.12 is required; specify it with make PYTHON=/path/to/python"; exit 1; }
	@echo "installing into $(VENV): 3.5 GB, takes a few minutes"
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(QUIETLY) $(RUN) -m pip install --quiet --constraint constraints.txt --editable '.[test,object-stores]'
	touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	$(QUIETLY) $(RUN) -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) runs build dist *.egg-info
