# make repro                              regenerate everything from the embedded data
# make repro SOURCE=open DATA=folder      the same on real images
# make test                               the test suite; installs more than `make repro` does, as do lint and demo
# make book                               the committed notebooks as a site under reports/book, nothing is executed
# make bench                              every benchmark beside its peer, into benchmarks/table.csv; an idle machine, please
# make demo                               try the trained model in a browser
# make lab                                JupyterLab with the notebooks

PYTHON ?= python3
VENV   ?= .venv
SOURCE ?= phantom
JOBS   ?= 2
BIN    := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
# Packages are installed without bytecode, which would otherwise be made again by every process.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: repro test lint book bench demo lab install clean
.DEFAULT_GOAL := repro

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	.ci/install $(BIN)/python -r requirements.lock
	.ci/install $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

# What tests, style and the demo need beyond it.
$(VENV)/.installed-test: $(VENV)/.installed requirements-test.lock requirements-unbound.txt
	.ci/install $(BIN)/python -r requirements.lock -r requirements-test.lock
	.ci/install $(BIN)/python --no-deps -r requirements-unbound.txt
	touch $@

# Outside a git checkout DVC works without one; .dvc in the repository expects git.
.dvc/config.local: | install
	git rev-parse --is-inside-work-tree >/dev/null 2>&1 || dvc config --local core.no_scm true
	touch $@

repro: install .dvc/config.local
ifneq ($(SOURCE)$(DATA),phantom)
	phenolip use $(SOURCE) $(if $(DATA),--data $(DATA))
endif
	phenolip check
	dvc repro book@$(SOURCE)
	phenolip verify --source $(SOURCE) || true

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.installed-test
	ruff check phenolip_lib tests benchmarks
	ruff format --check phenolip_lib tests benchmarks
	lint-imports --no-cache

book: install
	for source in phantom open; do phenolip run book --source $$source || exit 1; done

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.run $(ARGS)

demo: $(VENV)/.installed-test
	phenolip demo --source $(SOURCE)

lab: install
	jupyter lab notebooks

clean:
	rm -rf build .cache data/phantom
