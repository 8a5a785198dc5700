# Every target sets up what it needs: on a fresh machine `make demo` or `make test` is the only command.

.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)

ifeq ($(shell uname -s),Linux)
# Rendering needs no screen. Set another value (osmesa, glfw) where EGL does not work.
export MUJOCO_GL ?= egl
# Training steps free and ask again for the same hundreds of megabytes; without these two, glibc gives them back to the
# kernel each time, and about half of a step is spent on page faults.
export MALLOC_MMAP_THRESHOLD_ ?= 1073741824
export MALLOC_TRIM_THRESHOLD_ ?= 17179869184
# Huge pages for the same memory: a training step took 0.5 s with them and 2 to 5 s without on a virtual machine.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
endif

STAMP := .venv/.setup-stamp

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS=$$'\t' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## create .venv with pinned packages, or say what the machine lacks

demo: $(STAMP) ## ask the real server about simulated episodes, before and after a round of games; runs/demo/index.html
	robo-dialog demo $(DEMO_ARGS)

test: $(STAMP) ## run every test
	pytest $(TEST_ARGS)

check: $(STAMP) ## style, types, network contract, generated code, import order, README, documentation
	ruff check .
	ruff format --check .
	mypy
	buf lint protos
	NO_MKDOCS_2_WARNING=1 mkdocs build --quiet
	pytest tests/test_repo_*.py tests/test_protos_*.py

docs: $(STAMP) ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 mkdocs build

sbom: $(STAMP) ## what .venv is made of (CycloneDX), in build/sbom.cdx.json
	mkdir -p build
	cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible -o build/sbom.cdx.json .venv/bin/python

bench: $(STAMP) ## measure the embedded model anew, write benchmarks/results/
	python benchmarks/tiny.py

tiny: $(STAMP) ## train the embedded model from scratch into runs/tiny (about two hours on two cores)
	robo-dialog pretrain --out runs/tiny

format: $(STAMP) ## let ruff mend style
	ruff check --fix .
	ruff format .

clean: ## remove .venv and caches; recordings, pools and runs stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

$(STAMP): pyproject.toml constraints.txt deploy/setup.sh
	@deploy/setup.sh

.PHONY: help setup demo test check docs sbom bench tiny format clean
