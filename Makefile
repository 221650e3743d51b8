# make book, then make test: nothing else is needed. `make help` lists the rest.
PYTHON ?= python3
JOBS ?= 2
PORT ?= 8000
BIN := .venv/bin
INSTALLED := .venv/.installed
ASSETS := $(shell find book/_static book/_ext book/_templates -type f) book/descriptions.yml _config.yml
PAGES := _build/html/index.html

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book pdf test inspect links lab serve lint bench studies clean

help:       ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' Makefile | expand -t 16

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or later is needed, {sys.executable} is {v[0]}.{v[1]}: try make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -U pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[book,test,dev]'
	@touch $@

# Sphinx does not see a change in static files or extensions: then every page is built anew.
_build/.assets: $(ASSETS)
	rm -rf _build/html _build/.doctrees
	@mkdir -p _build && touch $@

# After a failure the pages read so far are forgotten: Sphinx would not repeat their warnings.
book: $(INSTALLED) _build/.assets  ## execute the notebooks and build the HTML into _build/html
	OMP_NUM_THREADS=1 $(BIN)/python -m book._ext.execute
	$(BIN)/jupyter-book build . -W --keep-going --quiet || { rm -rf _build/.doctrees; exit 1; }
	@echo
	@echo "The book is built. Open it in a browser: file://$(CURDIR)/$(PAGES)"

# What would be wider than its page is set smaller; Chromium or Chrome must be installed.
pdf: $(INSTALLED) _build/.assets  ## print the book into _build/image-segmentation.pdf
	OMP_NUM_THREADS=1 $(BIN)/python -m book._ext.execute
	rm -rf _build/singlehtml
	$(BIN)/jupyter-book build . --builder singlehtml -W --keep-going --quiet || { rm -rf _build/.doctrees; exit 1; }
	$(BIN)/python -m book._ext.pdf
	BOOK_PDF=$(CURDIR)/_build/image-segmentation.pdf $(BIN)/pytest --quiet tests/book/test_pdf.py

test: $(INSTALLED)  ## run the whole test suite, notebooks included
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS)

inspect: $(INSTALLED)  ## open every built page in a browser and look for faults
	@test -f $(PAGES) || { echo "There is no $(PAGES): run make book first."; exit 1; }
	BOOK_HTML=_build/html $(BIN)/pytest -n $(JOBS) tests/book/test_pages.py tests/book/test_links.py

links: $(INSTALLED) _build/.assets  ## follow every link that leaves the book; needs a network
	OMP_NUM_THREADS=1 $(BIN)/python -m book._ext.execute
	$(BIN)/jupyter-book build . --builder custom --custom-builder linkcheck --keep-going --quiet; status=$$?; \
	echo "What became of each link is in _build/linkcheck/output.txt"; exit $$status

lab: $(INSTALLED)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab chapters

serve: book  ## build the book and serve it on http://localhost:8000 (PORT=...)
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

lint: $(INSTALLED)  ## check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy segtut
	find chapters -name '*.ipynb' -exec $(BIN)/nbstripout --verify {} +

studies: $(INSTALLED)  ## run what is missing of the declared comparisons; hours from nothing
	$(BIN)/segtut study run --jobs $(JOBS)

bench: $(INSTALLED)  ## measure speed side by side with plain PyTorch
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean:      ## remove everything that make book and make test wrote, .venv apart
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -exec rm -rf {} +
