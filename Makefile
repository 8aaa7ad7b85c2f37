# Everything runs in .venv, which is made on first use: only git, Python 3.11 to 3.13 and make are needed.

PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13,$(shell command -v python$(v) 2>/dev/null)) python3)
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-engines test-deploy test-faults check format bench bench-peers clean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

demo: $(VENV)/installed ## Run the main job on real order lines, and say where the report is.
	$(BIN)/recon demo recon-demo

test: $(VENV)/installed-dev ## Run the tests.
	$(BIN)/python -m pytest -n auto --dist loadscope -q

# Engines are no Python packages: Prism is built by Go, Flink's job server is a jar of Maven's.
ENGINES := $(CURDIR)/$(VENV)/engines
BEAM = $(shell sed -n 's/^apache-beam==//p' constraints.txt)
FLINK ?= 1.20
JOB_SERVER = beam-runners-flink-$(FLINK)-job-server

test-engines: $(VENV)/installed-dev ## The demo's night on Prism (needs Go) and Flink (needs Java and Maven), byte for byte.
	GOFLAGS= GOBIN=$(ENGINES) go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)
	-mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy -Dmdep.stripVersion=true \
	    -Dartifact=org.apache.beam:$(JOB_SERVER):$(BEAM) -DoutputDirectory=$(ENGINES)
	RECON_PRISM=$(ENGINES)/prism RECON_FLINK_JAR=$(ENGINES)/$(JOB_SERVER).jar \
	    $(BIN)/python -m pytest -q -m engines tests/engines

AIRFLOW := $(VENV)/airflow

test-deploy: $(VENV)/installed-dev $(AIRFLOW)/installed ## Check what recon deploy writes with terraform, gcloud, hadolint and Airflow.
	RECON_AIRFLOW=$(AIRFLOW)/bin/python $(BIN)/python -m pytest -q -m deploy tests/jobs/test_deploy.py

test-faults: $(VENV)/installed-dev ## Kill a publish hundreds of times and count what is lost or doubled; takes half an hour.
	RECON_FAULT_RUNS=100 $(BIN)/python -m pytest -n 0 -q -s -o timeout=3600 tests/jobs/test_publish_faults.py

check: $(VENV)/installed-dev ## Format, lint, types, import directions, tests, README examples.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --dist loadscope -q

format: $(VENV)/installed-dev ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed-dev ## Compare with the raw DuckDB statement; prints ratios and peak memory.
	$(BIN)/python -m benchmarks.run --rows 1000000

bench-peers: $(VENV)/installed-dev ## Compare `recon compare` with other record diffs; installs them beside.
	$(BIN)/python -m benchmarks.peers --rows 10000000

clean: ## Remove what was built and run.
	rm -rf $(VENV) recon-demo *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(VENV)/python: 
	$(PYTHON) -m venv $(VENV)
	@touch $@

# uv takes a quarter of the time; where it is not to be had or reaches no packages, pip does the same.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -c constraints.txt
INSTALL = { $(PIP) uv && $(UV) $(1); } || $(PIP) $(1)

$(VENV)/installed: $(VENV)/python pyproject.toml constraints.txt
	$(call INSTALL,-e .)
	@touch $@

$(VENV)/installed-dev: $(VENV)/python pyproject.toml constraints.txt
	$(call INSTALL,-e '.[dev]')
	@touch $@ $(VENV)/installed

# Airflow in an environment of its own: its requirements and ours do not agree.
$(AIRFLOW)/installed:
	$(PYTHON) -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/python -m pip install --quiet --disable-pip-version-check "apache-airflow>=3,<4" apache-airflow-providers-google
	@touch $@
