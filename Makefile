# make demo    creates .venv, installs, fetches the demo's model and data, runs recipes/sentiment-demo.yaml
# make test    creates .venv if needed, installs, runs the test suite
#
# pip's index settings are yours. For PyTorch's CPU build from its own index:
#     PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test slow lint types clean

demo: $(INSTALLED)
	$(BIN)/python scripts/prepare_demo.py --out .demo
	$(BIN)/hfcompress run recipes/sentiment-demo.yaml

# One torch thread a worker: two workers on two cores are faster than one worker with two threads.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED)
	$(BIN)/mypy

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[onnxruntime,openvino,dev]'
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) .demo runs
