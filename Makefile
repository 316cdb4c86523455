# `make` alone prints the targets. ARGS passes flags on: make embed ARGS="--model efficientnet-lite0"

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
ARGS ?=
IMG ?=

RUNTIME := ort.wasm.min.mjs ort-wasm-simd-threaded.mjs ort-wasm-simd-threaded.wasm

.PHONY: help demo test soak bench lint download embed build-all build export query web serve validate clean conda-cpu conda-gpu conda-mps

help:
	@grep -hE '^[a-z][a-z-]*:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:[^#]*## /\t/' | \
		while IFS="$$(printf '\t')" read -r target text; do printf '%-10s %s\n' "$$target" "$$text"; done
	@printf '%-10s %s\n' conda-cpu 'a conda environment; also conda-gpu and conda-mps'

demo: $(VENV)/.small  ## the whole pipeline on drawn cards, in about a minute
	$(RUN) scripts/demo.py

# One thread each, else the processes wait for each other a third of the time; three, as many tests wait. The order is
# that of tests/conftest.py.
test: $(VENV)/.installed  ## the tests and the linters
	@$(MAKE) --silent web || echo 'Tests of picture search in the browser will be skipped.' >&2
	@$(MAKE) --silent lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

soak: $(VENV)/.installed  ## 20,000 pictures over a bad network, in about ten minutes
	$(RUN) benchmarks/soak.py $(ARGS)

bench: $(VENV)/.installed  ## the speeds, side by side with their bounds and with other tools
	$(RUN) benchmarks/bench.py $(ARGS)

lint: $(VENV)/.installed  ## ruff and mypy
	$(RUN) -m ruff check .
	$(RUN) -m mypy

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

# From npm: the program that runs the model in the page, and wabt, with which a test assembles web/scores.wat. Neither
# is in the repository. wabt stays in web/node_modules, because pages are deployed with web/vendor.
web: web/vendor/.installed  ## what the page needs to run the model, from npm

web/vendor/.installed: web/package-lock.json
	@command -v npm >/dev/null || { echo 'make web needs npm, which comes with Node.js.' >&2; exit 1; }
	npm ci --prefix web --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	mkdir -p web/vendor
	cp $(RUNTIME:%=web/node_modules/onnxruntime-web/dist/%) web/vendor/
	find web/node_modules -mindepth 1 -maxdepth 1 ! -name wabt -exec rm -rf {} +
	@touch $@

serve: $(VENV)/.small  ## the page that searches the index in a browser
	@$(MAKE) --silent web || echo 'The page will search names, not pictures.' >&2
	$(RUN) scripts/serve.py $(ARGS)

# Pictures, the index and the environment stay: they cost hours. Remove those by hand.
clean:  ## remove what the demo, the tests and the measurements wrote
	rm -rf demo_out soak_out bench_out eval_out gallery_out build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache __pycache__ */__pycache__ */*/__pycache__

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
