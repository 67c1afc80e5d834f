# Each target is a one-liner over the commands in README.md, run in .venv.

PYTHON ?= python3
LESSON := visualizing_features/visualizing_features.ipynb

# Pip's hundreds of lines are for a log.
export PIP_PROGRESS_BAR := off
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: demo test test-long browser-test nbval nbval-source nbval-solution lab build \
	lint lock

demo: .venv/installed-instructor
	.venv/bin/courseai demo

# A file to each process, in the order in which tests/conftest.py has them. Three of them
# keep two cores busy: tests wait for servers and browsers.
PYTEST := .venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder

test: .venv/installed-test
	@$(call step,Looking for a browser and other programs,tools/install_programs.sh)
	$(PYTEST)

# What takes minutes for one test, and all the attacks, not just every fourth one.
test-long: .venv/installed-test
	$(PYTEST) -m long && COURSEAI_ATTACKS=. $(PYTEST) tests/attacks/test_attacks.py

# JupyterLab in a real browser, which `make test` runs as well; needs Chromium.
browser-test: .venv/installed-test
	.venv/bin/pytest tests/grading/classrun/test_class_in_browser.py \
	    tests/explorer/test_explorer_browser.py

# Do all cells run, and does the solution still show what is stored in it?
NBVAL := COURSEAI_OFFLINE=1 OMP_NUM_THREADS=1 .venv/bin/pytest --nbval-current-env
nbval: nbval-source nbval-solution

nbval-source: .venv/installed-test
	$(NBVAL) --nbval-lax source/$(LESSON)

nbval-solution: .venv/installed-test
	$(NBVAL) --nbval --nbval-sanitize-with=tests/nbval.cfg solutions/$(LESSON)

lab: .venv/installed-student work/$(LESSON)
	.venv/bin/jupyter lab work/$(LESSON)

build: .venv/installed-instructor
	.venv/bin/courseai build

lint: .venv/installed-test
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

# A copy to work in, made once: release/ stays as it is, the student's work as well.
work/%:
	mkdir -p $(@D) && cp release/$* $@

# One line for a step of the set-up, with its time. All that it says goes to a log, whose
# end is shown if it fails.
LOG := .venv/set-up.log
step = printf '%s ...' "$(1)"; mkdir -p .venv; start=$$(date +%s); \
	if ($(2)) >>$(LOG) 2>&1; then echo " $$(($$(date +%s) - start)) s"; \
	else echo " failed"; tail -n 20 $(LOG) >&2; \
	echo "The whole log is $(CURDIR)/$(LOG)" >&2; false; fi

# `make lab TORCH=cpu`: PyTorch's own index has builds without CUDA. They are not in the
# locks, which have PyPI's; all other packages are taken from there.
CPU_INDEX := https://download.pytorch.org/whl/cpu
PIP := .venv/bin/pip install
install_lock = $(PIP) --no-deps --require-hashes -r $<
ifeq ($(TORCH),cpu)
INDEX := --extra-index-url $(CPU_INDEX)
install_lock = awk '/^[a-z]/ {cuda = /^(torch|torchvision|triton|cuda-.*|nvidia-.*)=/} \
	!cuda' $< >.venv/without-cuda.txt \
	&& $(PIP) --no-deps --require-hashes -r .venv/without-cuda.txt \
	&& $(PIP) --no-deps --index-url $(CPU_INDEX) \
	$$(grep -oE '^(torch|torchvision)==[0-9.]+' $<)
endif

.venv/installed-student: pyproject.toml | .venv/bin/pip
	@$(call step,Installing the course (minutes),$(PIP) $(INDEX) -e .)
	@touch $@

# Keeps links that somebody sends from acting in the Formgrader.
GUARD := deploy/jupyterhub/settings/grader/jupyter_server_config.json

# From the lock: the very files that were tested, or nothing. The tests' has all others.
.venv/installed-%: locks/%.txt pyproject.toml | .venv/bin/pip
	@$(call step,Installing the packages in $< (minutes),$(install_lock))
	@$(call step,Installing the course,$(PIP) --no-deps --no-build-isolation -e . \
	    && cp $(GUARD) .venv/etc/jupyter/jupyter_server_config.d/courseai.json)
	@touch $@ .venv/installed-student $(if $(filter test,$*),.venv/installed-instructor)

# Every lock anew, after a change of pyproject.toml or to take up newer versions of what
# the pins leave open: packages for each environment, and the hub's proxy. The first has
# everything that is tested; no other has another version of anything.
LOCK := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --upgrade --no-header --no-annotate --no-emit-index-url \
	--default-index https://pypi.org/simple

lock: | .venv/bin/pip
	$(PIP) uv==0.13.9
	$(LOCK) --extra test pyproject.toml -o locks/test.txt
	for extra in member instructor hub; do $(LOCK) --constraint locks/test.txt \
	    --extra $$extra pyproject.toml -o locks/$$extra.txt || exit; done
	$(LOCK) --no-deps deploy/kubernetes/ngshare.in -o locks/ngshare.txt
	npm install --package-lock-only --omit-lockfile-registry-resolved \
	    --no-audit --no-fund --prefix deploy/jupyterhub

# A half-made environment is removed, so that the next try starts afresh.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	"This needs Python 3.11 or newer; $(PYTHON) is older or missing. Install one" \
	"and name it, for example: make demo PYTHON=python3.12" >&2; exit 1; }
	@$(call step,Creating .venv,$(PYTHON) -m venv .venv) || { rm -rf .venv; echo \
	"$(PYTHON) can't make environments. On Debian and Ubuntu its package for that is" \
	"missing: sudo apt install python3-venv. Then run make again." >&2; exit 1; }
