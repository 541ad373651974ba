# Every target sets itself up: a virtual environment in .venv, pinned by constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all:

.PHONY: help demo docs release test test-slow check lint soak nightly kills bytes cluster bench compare figures weights cards stress alarms picture pictures wall-pictures pages lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# Wheels alone, each of a pinned SHA-256; then torch, by its version (see pyproject.toml), and this.
$(READY): pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes --no-deps -r requirements.lock
	PIP_CONSTRAINT=constraints.txt $(INSTALL) --no-build-isolation -e '.[dev,train]'
	touch $(READY)

demo: $(READY) ## See the live monitor on the bundled record (Ctrl-C ends it); PORT=P, if 5570 is taken
	$(BIN)/monitor replay demo --speed 2 $(if $(PORT),--port $(PORT))

docs: $(READY) ## Build the documents as a site in build/site
	$(BIN)/mkdocs build --strict

# What a user gets: the wheel, in an environment with nothing but what it needs in the pinned versions,
# and a list of all that is in it (CycloneDX), the weights included. The Dockerfile is linted, not built.
release: $(READY) ## Build the wheel, and the list of all that it brings, in dist
	rm -rf dist build/lib build/plain
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(PYTHON) -m venv build/plain
	PIP_CONSTRAINT=constraints.txt $(subst $(BIN),build/plain/bin,$(INSTALL)) dist/*.whl
	build/plain/bin/monitor scan demo
	$(BIN)/cyclonedx-py environment build/plain --pyproject pyproject.toml --output-file dist/sbom.json
	$(BIN)/python -m models.measure.sbom dist/sbom.json
	cd dist && sha256sum *.whl sbom.json > SHA256SUMS

# Two processes, each with a test file at a time: many tests wait for processes of their own.
WORKERS ?= 2
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: $(READY) ## Run the tests, in WORKERS processes (2)
	$(BIN)/python -m pytest $(PARALLEL)

test-slow: $(READY) ## Run the tests that take minutes
	$(BIN)/python -m pytest -m slow

# Of the soak and of each campaign.
MINUTES_EACH = $(or $(MINUTES),10)

soak: $(READY) ## Run fifty streams for MINUTES (10; 480 for a night), write docs/reliability.md
	$(BIN)/monitor evaluate soak --minutes $(MINUTES_EACH) --report docs/reliability.md

nightly: export HYPOTHESIS_PROFILE := nightly
nightly: test test-slow soak kills bytes cluster ## All tests, the soak and the campaigns, MINUTES (10) each

kills: $(READY) ## Kill processes of replays for MINUTES (10), compare the alerts, write docs/reliability.md
	$(BIN)/python -m tests.nightly kills --minutes $(MINUTES_EACH) --report docs/reliability.md

bytes: $(READY) ## Give hostile bytes to all that reads for MINUTES (10), write docs/reliability.md
	$(BIN)/python -m tests.nightly bytes --minutes $(MINUTES_EACH) --report docs/reliability.md

cluster: $(READY) ## Strike at a cluster at random for MINUTES (10), compare the alerts, write docs/scale.md
	$(BIN)/python -m tests.nightly cluster --minutes $(MINUTES_EACH) --report docs/scale.md

lint: $(READY) ## Run the gate: style, format, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/project/test_architecture.py

check: lint ## Run the gate and the tests that take no processes: for every change
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not system"

bench: $(READY) ## Measure kernels, student, latency and throughput; a table and bench.json
	$(BIN)/monitor bench --json-file bench.json

# BASE is checked out as a worktree of its own, which goes whatever happens. Of one that is there
# already git says so: two comparisons at a time would measure each other.
OPTIONS ?= --core
COMPARED := build/compare

compare: $(READY) ## Measure commit BASE and this checkout in turns, by monitor bench OPTIONS (--core); print ratios
	$(if $(BASE),,$(error name a commit: make compare BASE=COMMIT))
	@git worktree add --quiet --detach $(COMPARED) "$(BASE)" || exit 1; \
	trap 'git worktree remove --force $(COMPARED)' EXIT; trap 'exit 130' INT TERM; \
	$(BIN)/monitor bench $(OPTIONS) --beside $(COMPARED)

figures: $(READY) ## Write docs/benchmarks.md
	$(BIN)/monitor bench --report docs/benchmarks.md

# Two trainings at a time, one thread each: `make -j2 weights`. Each goes on where it stopped.
# On patients whose other beats were seen a student gains by its neighbours and by more epochs, on new
# ones it does not: see docs/models/trials.md.
SPLITS := ds1 ds1a ds1b 0 1 2 3 4
STUDENTS := $(SPLITS:%=runs/student-%/student.json)
WEIGHTS := models/weights

weights: $(STUDENTS) runs/classifier/classifier.json runs/ds1/classifier.json ## Train all that ships, some two hours: make -j2 weights
	for fold in 0 1 2 3 4; do for kind in json safetensors; do \
		cp runs/student-$$fold/student.$$kind $(WEIGHTS)/folds/student-$$fold.$$kind || exit 1; done; done
	cp runs/student-ds1/student.json runs/student-ds1/student.safetensors $(WEIGHTS)/
	for part in classifier beat_trees; do for kind in json safetensors; do \
		cp runs/classifier/$$part.$$kind $(WEIGHTS)/ && cp runs/ds1/$$part.$$kind $(WEIGHTS)/ds1/ || exit 1; done; done
	$(BIN)/python -m models.files.model_file
	$(BIN)/monitor train calibration --half-a runs/student-ds1a/student.json --half-b runs/student-ds1b/student.json

runs/student-%/student.json: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/monitor train student --split $* --out $(@D) \
		$(if $(filter ds%,$*),--target beat --latent 8 --epochs 10,--epochs 20)

runs/classifier/classifier.json: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/monitor train classifier --out $(@D)

runs/ds1/classifier.json: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/monitor train classifier --ds1 --out $(@D)

runs/teacher-%/best.safetensors: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/monitor train teacher --member $* --out $(@D)

cards: $(READY) ## Measure what ships, and classifiers of patients left out; write docs/models
	mkdir -p runs/beats
	$(BIN)/monitor evaluate beats --json > runs/beats/beats.json
	cp runs/beats/beats.json docs/models/
	$(BIN)/monitor evaluate cards $(addprefix --teacher ,$(wildcard runs/teacher-*/best.safetensors))

stress: $(READY) ## Measure noise, troubled leads and faults of streams; write docs/detector.md
	$(BIN)/monitor evaluate noise --pictures docs --report docs/detector.md
	$(BIN)/monitor evaluate leads --report docs/detector.md
	$(BIN)/monitor evaluate faults --report docs/detector.md

alarms: $(READY) ## Measure the alarms on every database that is there; write docs/alarms.md
	$(BIN)/monitor evaluate alarms --pictures docs --report docs/alarms.md

# As root: CHROMIUM='chromium --no-sandbox'.
CHROMIUM ?= chromium

picture: $(READY) ## Draw the README's picture of the dashboard
	$(BIN)/python -m monitor.measure.picture 1 docs/dashboard.svg

pictures: picture $(READY) ## Draw the dashboard of 1, 16 and 64 patients as SVG, and with CHROMIUM as PNG
	$(BIN)/python -m monitor.measure.picture 16 docs/ward_16.svg
	$(BIN)/python -m monitor.measure.picture 64 docs/ward_64.svg
	for name in dashboard ward_16 ward_64; do \
		size=$$(sed -nE 's/.*viewBox="0 0 ([0-9]+)[.0-9]* ([0-9]+)[.0-9]*".*/\1,\2/p' docs/$$name.svg | head -1); \
		$(CHROMIUM) --headless --disable-gpu --hide-scrollbars --window-size=$$size \
			--screenshot=docs/$$name.png docs/$$name.svg || exit 1; done

wall-pictures: $(READY) ## Draw the pictures of docs/wall.md, with /usr/bin/chromium; print its frames a second
	$(BIN)/python -m tests.support.wall_pictures docs

# Needs poppler's pdftoppm as well.
pages: $(READY) ## Draw two pages of the report of the demo record
	mkdir -p build
	$(BIN)/monitor report demo --out build/demo.html
	$(CHROMIUM) --headless --disable-gpu --no-pdf-header-footer \
		--print-to-pdf=build/demo.pdf file://$(CURDIR)/build/demo.html
	pdftoppm -r 100 -l 2 -png build/demo.pdf docs/report

lock: ## Write requirements.lock again, after a change of dependencies or constraints.txt; needs uv
	uv pip compile pyproject.toml --all-extras --constraint constraints.txt \
		--universal --python-version 3.11 --only-binary :all: --generate-hashes \
		--no-emit-package torch --no-header --no-annotate --quiet --output-file requirements.lock

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
