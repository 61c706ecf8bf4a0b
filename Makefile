# Everything lives in .venv; it is rebuilt when pyproject.toml, constraints.txt or the C++ changes.
#   make serve     set up and start the service on 127.0.0.1:8000. Settings come from the environment
#                  (ENCODEC_PORT=9000 make serve) or as flags (make serve SERVE_ARGS="--port 9000")
#   make test      set up and run all tests (WORKERS=4: in four processes; otherwise three, as many tests wait)
#   make check     formatting, lint, types (of the tests too), import rules
#   make docs      build the documentation as a site into build/site
#   make web       build the browser decoder and the page into service/web (needs Node and a clang for WebAssembly)
#   make upgrade   take the newest versions that pyproject.toml allows into constraints.txt
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Extra arguments for the installer, e.g. PIP_ARGS="--extra-index-url <an index with CPU builds of torch>"
PIP_ARGS ?=
SERVE_ARGS ?=
# Extras for the service, e.g. make serve EXTRAS=jobs,otel
EXTRAS ?=
COMMA    := ,
SERVED   := $(VENV)/.serve$(addprefix -,$(EXTRAS))
# uv when it is there (20 s), else pip (60 s)
UV := $(shell command -v uv 2>/dev/null)
ifneq ($(UV),)
  MAKE_VENV = test -x $(BIN)/python || $(UV) venv -q --python $(PYTHON) $(VENV)
  INSTALL   = $(UV) pip install -q --python $(BIN)/python $(PIP_ARGS)
  INSTALLED = $(UV) pip list --python $(BIN)/python
else
  MAKE_VENV = test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
  INSTALL   = $(BIN)/python -m pip install -q --disable-pip-version-check $(PIP_ARGS)
  INSTALLED = $(BIN)/python -m pip list --disable-pip-version-check
endif

.PHONY: serve test check format openapi docs web upgrade clean

serve: export ENCODEC_LOG_FORMAT ?= console
serve: $(SERVED)
	$(BIN)/encodec-serve $(SERVE_ARGS)

# Large tensors stay with the process: to fetch each from the system and give it back takes a fifth of the
# time of tests that compute (tests/conftest.py keeps this from the programs that they start).
test: export MALLOC_MMAP_THRESHOLD_ = 1073741824
test: export MALLOC_TRIM_THRESHOLD_ = 2147483648
test: $(VENV)/.collected
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(or $(WORKERS),3) --dist loadfile $(TEST_ARGS)

# Compiles what the tests import, once: else each of their processes does.
$(VENV)/.collected: $(VENV)/.dev
	$(BIN)/python -m pytest --collect-only -q > $@.log || { cat $@.log; exit 1; }
	@touch $@

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m service.openapi --check openapi.json

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: $(VENV)/.dev
	$(BIN)/python -m service.openapi --write openapi.json

docs: $(VENV)/.docs
	$(BIN)/python -m docs.site

web:
	npm --prefix clients/web ci --no-audit --no-fund
	node clients/web/build.mjs
	npm --prefix clients/page ci --no-audit --no-fund
	npm --prefix clients/page run build

# The native engine is compiled while the package is installed, where there is a compiler.
SOURCES  := pyproject.toml constraints.txt setup.py $(wildcard model_core/engine/native/csrc/*)
# PESQ and a part of ViSQOL are built from source.
DEV      := .[batch,dev,docs,jobs,otel,play,ray,train$(if $(shell command -v cc),$(COMMA)pesq)$(if $(shell command -v c++),$(COMMA)visqol)]

$(SERVED): $(SOURCES)
	$(MAKE_VENV)
	$(INSTALL) -c constraints.txt -e '.$(if $(EXTRAS),[$(EXTRAS)])'
	@touch $@ $(VENV)/.serve

# The reference implementation is the peer the tests compare with. It also brings a console script
# named `encodec`, so it is installed first and ours afterwards.
$(VENV)/.dev: $(SOURCES)
	$(MAKE_VENV)
	$(INSTALL) --no-deps encodec==0.1.1
	$(INSTALL) -c constraints.txt -e '$(DEV)'
	@touch $@ $(VENV)/.serve $(VENV)/.docs

$(VENV)/.docs: $(SOURCES)
	$(MAKE_VENV)
	$(INSTALL) -c constraints.txt -e '.[docs]'
	@touch $@ $(VENV)/.serve

# The libraries of CUDA are left out: torch names their exact versions itself.
upgrade: clean
	$(MAKE_VENV)
	$(INSTALL) -e '$(DEV)'
	$(INSTALLED) --format freeze --exclude-editable | tr 'A-Z_' 'a-z-' | \
	    grep -Ev '^(encodec|pip|triton|nvidia-.*|cuda-.*)==' | LC_ALL=C sort > constraints.txt

clean:
	rm -rf $(VENV)
