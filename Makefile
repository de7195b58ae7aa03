# `make help` lists the targets.
.PHONY: help build test check full lint faults race bench clean

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/xenon
	go build -o bin/xenon ./cmd/xenon

test: ## unit tests and short simulations; says what it skips without PostgreSQL
	go test ./...

check: ## everything, small sizes (what CI runs)
	./check

full: ## everything, at the sizes docs/checks.md records
	./check --full

lint: ## import map, determinism, file sizes
	go test ./internal/lint/...

faults: ## every planted fault is caught
	go test -tags faults ./consensus/... ./core/... ./compute/... ./fuzz/...

race: ## the production world under the race detector
	go test -race ./realio/... ./core/xsync/... ./compute/proposer/... ./consensus/safekeeper/...

bench: build ## commits/s beside stock PostgreSQL with a synchronous quorum
	bin/xenon bench commit

clean: ## remove what was built
	rm -rf bin
