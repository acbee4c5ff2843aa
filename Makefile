# The two commands a newcomer needs: `make demo` and `make test`. Each makes .venv from the pinned
# lock and does all else.
PYTHON ?= python3
BIN := .venv/bin
LINTED := annotators app benchmarks datasets exports model_assist tests
export OMP_NUM_THREADS ?= 1

.PHONY: demo demo-pocket test check lint types layers suite slow vllm screenshots format lock clean

demo: .venv/base
	$(BIN)/creativepair demo --dir demo $(DEMO)

# The same with the drafts of the pocket model, which wants torch.
demo-pocket: .venv/train
	$(BIN)/creativepair demo --dir demo-pocket --drafter pocket $(DEMO)

test: check suite

check: lint types layers

lint: .venv/dev
	$(BIN)/ruff check $(LINTED)
	$(BIN)/ruff format --check $(LINTED)

types: .venv/dev
	$(BIN)/mypy

layers: .venv/dev
	$(BIN)/lint-imports

# The tests of what trains want torch: gigabytes, unless pip finds its build for the CPU.
suite: .venv/train
	sh tests/install_system.sh
	$(BIN)/pytest -m "not slow and not vllm" -n 2 --dist loadfile --cov --cov-report=term

slow: .venv/dev
	$(BIN)/pytest -m slow

# Against a real vLLM server on the CPU.
vllm: .venv/train .venv-vllm/done
	$(BIN)/pytest -m vllm

screenshots: .venv/dev
	$(BIN)/python -m tests.e2e.take_screenshots

format: .venv/dev
	$(BIN)/ruff check --fix $(LINTED)
	$(BIN)/ruff format $(LINTED)

# Locks without addresses, so that plain pip installs them from wherever it is told to.
COMPILE := $(BIN)/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links \
	--no-header --annotation-style=line
lock: .venv/dev
	$(COMPILE) --upgrade -c requirements/limits.txt -o requirements/base.txt pyproject.toml
	$(COMPILE) --upgrade --extra dev -c requirements/base.txt -o requirements/dev.txt pyproject.toml
	$(COMPILE) --upgrade --extra train -c requirements/dev.txt --unsafe-package torch \
		-o requirements/train.txt pyproject.toml

clean:
	rm -rf .venv .venv-vllm demo demo-pocket

.venv/base: requirements/base.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CreativePair needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/base.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

.venv/dev: .venv/base requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	touch $@

# torch is not in the lock: its builds, for a CPU or a GPU, need different packages.
.venv/train: .venv/dev requirements/train.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/train.txt -e '.[train]'
	touch $@

.venv-vllm/done: requirements/vllm.txt
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/vllm.txt
	# The registry's build is for CUDA, and transformers imports it where it finds it.
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	touch $@
