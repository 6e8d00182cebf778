.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
GCP := $(VENV)/.gcp-complete
DEV := $(VENV)/.dev-complete
CHECKOV := .checkov/.complete
# A lock names every dependency, so pip resolves nothing. Pip before 23.3 fails when it resolves hashed pins and a
# newer release exists of a pinned package that another requires with an extra.
PIP := -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --no-deps --require-hashes -r
CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "PromptForge needs Python 3.11 or newer: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12")'

.PHONY: help setup setup-gcp demo serve lint format check-infra test test-cloud cost serve-cloud cloud-smoke simulate chaos fuzz mutate package deploy lock

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with the promptforge command; the developers' tools are added by the targets that use them

$(STAMP): pyproject.toml requirements/local.txt
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) requirements/local.txt
	$(BIN)/python $(PIP) install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python $(PIP) check
	@touch $@

setup-gcp: $(GCP)  ## add Google's libraries: for the API keys of a deployment, and serve --backend gcp

$(GCP): $(STAMP) requirements/runtime.txt
	$(BIN)/python $(INSTALL) requirements/runtime.txt
	$(BIN)/python $(PIP) check
	@touch $@

$(DEV): $(STAMP) requirements/dev.txt
	$(BIN)/python $(INSTALL) requirements/dev.txt
	$(BIN)/python $(PIP) check
	@touch $@

demo: $(STAMP)  ## run the three example prompts on this machine and print the results
	@rm -rf .promptforge/demo
	@$(BIN)/promptforge run examples/prompts.jsonl --provider echo --model echo-1 --output .promptforge/demo/results --data-dir .promptforge/demo/data
	@cat .promptforge/demo/results/results_part_*.jsonl

serve: $(STAMP)  ## run every function on this machine
	@$(BIN)/promptforge serve

lint: $(DEV)  ## check format, lint, types, imports, sizes, test files, words and prose
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=shared $(BIN)/lint-imports
	$(BIN)/python -m tools.check_sizes
	$(BIN)/python -m tools.check_mirror
	$(BIN)/python -m tools.check_words
	$(BIN)/python -m tools.check_prose

format: $(DEV)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check-infra: $(CHECKOV)  ## look over the Terraform: its format (without terraform only where CI is not set), and with checkov
	@if [ -n "$$CI" ] || command -v terraform >/dev/null; then terraform fmt -check -diff -recursive infra; fi
	$(dir $(CHECKOV))bin/checkov --directory infra --framework terraform --quiet --compact --skip-download

$(CHECKOV): requirements/checkov.txt
	$(PYTHON) -m venv $(dir $@)
	$(dir $@)bin/python $(INSTALL) requirements/checkov.txt
	$(dir $@)bin/python $(PIP) check
	@touch $@

test: $(DEV)  ## run the tests
	$(BIN)/pytest -n 2 --dist loadfile --ignore tests/engine --ignore tests/chaos
	$(BIN)/pytest tests/engine tests/chaos  # these look at the clock while real processes work

test-cloud: $(DEV)  ## run the tests on the emulators of Google's services (needs Java and the Cloud SDK's emulators)
	$(BIN)/pytest -n 2 --dist loadfile -m cloud

cost: $(DEV)  ## count what a million prompts cost on Google Cloud, over the emulators (about 3 minutes)
	$(BIN)/python -m benchmarks.cost

serve-cloud: $(DEV)  ## run every function, each its own process, over the emulators until Ctrl-C
	@$(BIN)/python -m tests.harness.cloud_stack

cloud-smoke: $(DEV)  ## check a deployment at URL=… from outside; docs/google-cloud.md says how
	@$(BIN)/python -m tests.smoke --url "$(URL)" $(if $(FUNCTION_URL),--function-url '$(FUNCTION_URL)') $(foreach bucket,$(BUCKETS),--bucket $(bucket)) $(if $(EXPIRY),--expiry)

SEEDS ?= 2000
FIRST ?= 0
simulate: $(DEV)  ## simulate faults: SEEDS=2000 runs from FIRST=0, or one with its trace by SEED=…
	PYTHONPATH=. $(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --first $(FIRST))

chaos: $(DEV)  ## kill, freeze and end real processes for real (Linux, about 20 minutes)
	$(BIN)/python -m tests.chaos --kills 100 --stops 20 --terms 20

FUZZ_FACTOR ?= 40
fuzz: $(DEV)  ## fuzz for long: FUZZ_FACTOR=40 times what `make test` does
	FUZZ_FACTOR=$(FUZZ_FACTOR) $(BIN)/pytest tests/fuzz

MUTANTS ?=
mutate: $(DEV)  ## break the code on purpose, see which tests notice: all, or MUTANTS='promptforge.worker.lease.*'
	@rm -rf .mutate && mkdir .mutate
	@ln -s ../shared .mutate/src
	@ln -s ../tests ../functions ../pyproject.toml .mutate
	cd .mutate && nice -n 10 ../$(BIN)/mutmut run --max-children 2 $(MUTANTS)
	@cd .mutate && ../$(BIN)/mutmut results

package:  ## make build/NAME.zip of every function, the same bytes from the same tree
	@$(CHECK_PYTHON)
	@$(PYTHON) -m infra.package

deploy: package  ## put it into a Google Cloud project: PROJECT=… REGION=… [VARS=env/prod.tfvars]; infra/README.md says more
	@infra/deploy.sh

PIN = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock"
LIKE_DEV = $(PIN) --constraints requirements/dev.txt
FOR_FUNCTIONS = api events worker
lock: $(DEV)  ## pin every dependency again, with hashes, for Python 3.11 and later: all at the versions that the tests run on
	$(PIN) pyproject.toml --extra gcp --group dev -o requirements/dev.txt
	$(LIKE_DEV) pyproject.toml --extra gcp -o requirements/runtime.txt
	$(LIKE_DEV) pyproject.toml --group build -o requirements/local.txt
	$(foreach kind,$(FOR_FUNCTIONS),$(LIKE_DEV) --group $(kind) -o requirements/functions/$(kind).txt &&) true
	$(PIN) requirements/checkov.in -o requirements/checkov.txt

# Documentation, checks before a commit, and releases

DOCS := .docs/.complete
.PHONY: check docs lock-docs release

check: lint  ## lint and run the fast unit tests (under 90 seconds)
	$(BIN)/pytest -n 2 tests/unit tests/tools

docs: $(STAMP) $(DOCS)  ## build the documentation site into build/docs; a broken link fails the build
	$(BIN)/python -m tools.docs
	$(dir $(DOCS))bin/zensical build --clean --strict

$(DOCS): requirements/docs.txt
	$(PYTHON) -m venv $(dir $@)
	$(dir $@)bin/python $(INSTALL) requirements/docs.txt
	$(dir $@)bin/python $(PIP) check
	@touch $@

lock: lock-docs
lock-docs: $(DEV)  ## pin the documentation tools again, with hashes
	$(PIN) requirements/docs.in -o requirements/docs.txt

release: $(STAMP)  ## build wheel and sdist, write the notes and tag the version; a dirty tree is rejected
	$(BIN)/python -m tools.release
