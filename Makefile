# Everything lives in .venv; it is rebuilt when pyproject.toml or the C++ changes.
#   make serve   set up and start the service on 127.0.0.1:8000
#   make test    set up and run all tests (WORKERS=4: in four processes; otherwise two)
#   make check   formatting, lint, types (of the tests too), import rules
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Extra arguments for the installer, e.g. PIP_ARGS="--extra-index-url <an index with CPU builds of torch>"
PIP_ARGS ?=
SERVE_ARGS ?=
COMMA    := ,
# uv when it is there (20 s), else pip (60 s)
UV := $(shell command -v uv 2>/dev/null)
ifneq ($(UV),)
  MAKE_VENV = test -x $(BIN)/python || $(UV) venv -q --python $(PYTHON) $(VENV)
  INSTALL   = $(UV) pip install -q --python $(BIN)/python $(PIP_ARGS)
else
  MAKE_VENV = test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
  INSTALL   = $(BIN)/python -m pip install -q --disable-pip-version-check $(PIP_ARGS)
endif

.PHONY: serve test check format openapi clean

serve: $(VENV)/.serve
	$(BIN)/encodec-serve --host 127.0.0.1 --port 8000 --log-format console $(SERVE_ARGS)

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(or $(WORKERS),2) --dist loadfile $(TEST_ARGS)

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

# The native engine is compiled while the package is installed, where there is a compiler.
SOURCES := pyproject.toml setup.py $(wildcard model_core/engine/native/csrc/*)

$(VENV)/.serve: $(SOURCES)
	$(MAKE_VENV)
	$(INSTALL) -e .
	@touch $@

# The reference implementation is the peer the tests compare with. It also brings a console script
# named `encodec`, so it is installed first and ours afterwards.
$(VENV)/.dev: $(SOURCES)
	$(MAKE_VENV)
	$(INSTALL) --no-deps encodec==0.1.1
	$(INSTALL) -e '.[dev,train$(if $(shell command -v cc),$(COMMA)pesq)]'
	@touch $@ $(VENV)/.serve

clean:
	rm -rf $(VENV)
