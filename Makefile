# `make` alone prints the targets. ARGS passes flags on: make embed ARGS="--model efficientnet-lite0"

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
ARGS ?=
IMG ?=

RUNTIME := onnxruntime-web/dist/ort.wasm.min.mjs onnxruntime-web/dist/ort-wasm-simd-threaded.mjs \
	onnxruntime-web/dist/ort-wasm-simd-threaded.wasm @techstark/opencv-js/dist/opencv.js \
	d3-dsv/dist/d3-dsv.min.mjs minisearch/dist/es/SearchableMap.js @huggingface/tokenizers/dist/tokenizers.min.mjs

NPM_CI := npm ci --prefix web --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
TSC := web/node_modules/.bin/tsc

.PHONY: help demo test test-long soak bench lint download embed build-all build export query web serve validate clean conda-cpu conda-gpu conda-mps

help:
	@grep -hE '^[a-z][a-z-]*:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:[^#]*## /\t/' | \
		while IFS="$$(printf '\t')" read -r target text; do printf '%-10s %s\n' "$$target" "$$text"; done
	@printf '%-10s %s\n' conda-cpu 'a conda environment; also conda-gpu and conda-mps'

demo: $(VENV)/.small  ## the whole pipeline on drawn cards, in about a minute
	$(RUN) scripts/demo.py

# One thread each, else the processes wait for each other a third of the time; three, as many tests wait. The order is
# that of tests/conftest.py.
test: $(VENV)/.installed  ## the tests and the linters
	@$(MAKE) --silent web/node_modules/.installed || echo 'Tests that need what npm brings will be skipped.' >&2
	@$(MAKE) --silent lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

test-long: $(VENV)/.installed  ## the tests that make test leaves out, in about five minutes
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m long

soak: $(VENV)/.installed  ## 20,000 pictures over a bad network, in about ten minutes
	$(RUN) benchmarks/soak.py $(ARGS)

bench: $(VENV)/.installed  ## the speeds, side by side with their bounds and with other tools
	$(RUN) benchmarks/bench.py $(ARGS)

lint: $(VENV)/.installed  ## ruff, mypy and, if make test has fetched it, TypeScript's checker
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	@if [ -x $(TSC) ]; then $(TSC) -p web && $(TSC) -p web/tsconfig.worker.json; \
		else echo 'The JavaScript is not checked: make test fetches TypeScript from npm.' >&2; fi

download: $(VENV)/.small  ## Scryfall's card pictures into image_cache/
	$(RUN) download_images.py $(ARGS)

embed: $(VENV)/.installed  ## the search index of these pictures, into index_out/
	$(RUN) build_embeddings.py $(ARGS)

build-all:  ## download everything, then embed
	$(MAKE) download
	$(MAKE) embed

build: $(VENV)/.installed  ## download and embed at the same time
	$(RUN) build_mtg_faiss.py $(ARGS)

export: $(VENV)/.small  ## the index as files for a browser
	$(RUN) export_for_browser.py $(ARGS)

query: $(VENV)/.small  ## name the cards in a photo: make query IMG=photo.jpg
	@test -n "$(IMG)" || { echo 'make query needs a picture: make query IMG=photo.jpg' >&2; exit 1; }
	@$(RUN) query_index.py $(ARGS) "$(IMG)"

validate: $(VENV)/.small  ## check every picture in the cache
	$(RUN) scripts/validate_cache.py $(ARGS)

# From npm, not in the repository: the programs that the page runs. Pages are deployed with web/vendor.
web: web/vendor/.installed  ## the programs that the page runs, from npm

web/vendor/.installed: web/package-lock.json
	@command -v npm >/dev/null || { echo 'make web needs npm, which comes with Node.js.' >&2; exit 1; }
	$(NPM_CI) --omit=dev
	mkdir -p web/vendor
	cp $(RUNTIME:%=web/node_modules/%) web/vendor/
	cp web/node_modules/idb/build/index.js web/vendor/idb.js
	cp web/node_modules/leven/index.js web/vendor/leven.js
	rm -rf web/node_modules
	@touch $@

# What the tests and the linter need besides: the types of those programs, TypeScript, wabt and axe-core.
web/node_modules/.installed: web/vendor/.installed
	$(NPM_CI)
	@touch $@

serve: $(VENV)/.small  ## the page that searches the index in a browser
	@$(MAKE) --silent web || echo 'The page will find cards by words without typos. It will name no pictures and keep no lists.' >&2
	$(RUN) scripts/serve.py $(ARGS)

# Pictures, the index and the environment stay: they cost hours. Remove those by hand.
clean:  ## remove what the demo, the tests and the measurements wrote
	rm -rf demo_out soak_out bench_out eval_out gallery_out explore_out build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache __pycache__ */__pycache__ */*/__pycache__

conda-cpu conda-gpu conda-mps: conda-%:
	conda env create -f environment-$*.yml

$(VENV)/.installed: requirements.txt requirements-dev.txt
	$(new_environment)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@touch $@

# Without PyTorch: a stranger sees cards named after a minute, not after gigabytes.
$(VENV)/.small: requirements-no-torch.txt
	@test -e $(VENV)/.installed || { $(new_environment) && \
		$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-no-torch.txt; }
	@touch $@

define new_environment
$(PYTHON) -c 'import sys; sys.version_info < (3, 10) and sys.exit("Python 3.10 or newer is needed: make PYTHON=/path/to/python3")' \
	&& $(PYTHON) -m venv $(VENV)
endef
