# Evertape's habits. `make help` lists them.

SHELL := /bin/bash
TOOLS ?= $(or $(EVERTAPE_TOOLS),$(HOME)/.cache/evertape/tools)
export EVERTAPE_TOOLS := $(TOOLS)
GARAGE_VERSION := 2.5.0
# nextest where it is installed; plain cargo test does as well, more slowly.
TEST := $(if $(shell command -v cargo-nextest),nextest run,test)

.DEFAULT_GOAL := help
.PHONY: help run test soak ui-test ui-dev ui-browser bench-ui api-types screenshots players scenarios quick check build bench cluster cluster-down clean fmt deps test-deps tools demo-clip

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: deps ui/dist/index.html ## record and play a demo channel here: SQLite, a folder of objects, http://127.0.0.1:8080
	cargo build --release
	mkdir -p data
	./target/release/evertape run --config infra/run/demo.toml

build: deps ui/dist/index.html ## release binary with the web interface: target/release/evertape
	cargo build --release

test: test-deps tools ui-test ## the whole suite, real services included; installs what it needs
	cargo $(TEST) --all-targets

soak: test-deps ui/dist/index.html ## the model test on both databases for EVERTAPE_SOAK_MINUTES (10): random sequences, other seeds each time
	cargo test --release --test model soak -- --ignored --nocapture

ui-test: ui/dist/index.html ## unit tests of the web interface
	cd ui && npm test

ui-dev: ui/node_modules/.package-lock.json ## live reload of the web interface, in front of a server at 127.0.0.1:8080
	cd ui && EVERTAPE_UI_SERVER=$${EVERTAPE_UI_SERVER:-http://127.0.0.1:8080} npm run dev

ui-browser: test-deps ui/dist/index.html ## browser tests of the web interface, in front of a server made of arithmetic
	cd ui && npm run e2e

bench-ui: test-deps ui/dist/index.html ## frame times of the timeline in front of a real server: 30 days and 10,000 gaps
	cargo test --test ui -- --ignored --nocapture frame_times

api-types: ui/dist/index.html ## the API's document and the interface's types of it, made anew of the code
	WRITE_API_DOCUMENT=1 cargo test --test admin_api the_committed_document
	cd ui && node dev/make-types.mjs

screenshots: test-deps ui/dist/index.html ## pictures of every screen, of a real server: target/screenshots
	UI_ONLY=axe cargo test --test ui

players: test-deps ## the suite of real players alone, with its table
	cargo test --test players -- --nocapture

scenarios: test-deps tools ui/dist/index.html ## what is broken on purpose, alone, with the table of what it cost: 4 minutes
	cargo test --test scenarios -- --nocapture

quick: ui/dist/index.html ## the unit tests only: no services, no ffmpeg
	cargo $(TEST) --lib --bins

check: test-deps ui/dist/index.html ## what must hold before a commit: format, clippy without warnings, all tests
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	$(MAKE) test

bench: test-deps ui/dist/index.html ## figures, each beside its yardstick, as CPU-seconds in one run
	cargo bench --bench figures

cluster: test-deps tools ui/dist/index.html ## the real deployment as local processes: PostgreSQL, Garage, migrate, record, two play
	cargo build --release
	CLUSTER_BIN=$(CURDIR)/target/release/evertape infra/cluster/up

cluster-down: ## ends what `make cluster` started
	infra/cluster/down

fmt: ## formats the code
	cargo fmt

clean: ## removes what was built; recordings in data/ stay
	cargo clean
	rm -rf .cluster

deps: # what building needs
	@scripts/install-deps build

test-deps: tests/browser/node_modules/.package-lock.json # what the tests need besides
	@scripts/install-deps build test

# The web interface, which the binary embeds.
UI_SOURCES := $(shell find ui/src -type f) ui/index.html ui/package-lock.json ui/tsconfig.json ui/vite.config.ts
ui/dist/index.html: $(UI_SOURCES) ui/node_modules/.package-lock.json
	cd ui && npm run --silent build
	@touch $@

ui/node_modules/.package-lock.json: ui/package-lock.json
	@scripts/install-deps build ui
	cd ui && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# The players in the browser, as the lock file has them.
tests/browser/node_modules/.package-lock.json: tests/browser/package-lock.json
	@scripts/install-deps build test
	cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

tools: $(TOOLS)/bin/garage # an S3 store for the tests; built once, about 15 minutes

$(TOOLS)/bin/garage:
	@echo "Building Garage $(GARAGE_VERSION), the tests' S3 store, into $(TOOLS): once, about 15 minutes"
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
		cargo install garage --version $(GARAGE_VERSION) --locked --root $(TOOLS) --target-dir $(TOOLS)/build
	rm -rf $(TOOLS)/build

demo-clip: # makes assets/demo.ts anew
	scripts/make-demo-clip
