# GNU make. Needs Go and git; race also gcc, image docker. CONTRIBUTING.md says more.

VERSION       := $(or $(shell git describe --tags --always --dirty 2>/dev/null),dev)
FUZZTIME      ?= 10s
BENCH_SECONDS ?= 5

# What is released, and what everything must compile for.
TARGETS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

# The e2e tests wait more than they work, so more of them run at once than there are cores. They run a binary that go test
# cannot see: -count=1 keeps it from answering out of its cache. With the race detector on a busy machine they take longer
# than the ten minutes that go test allows by itself.
E2E := go test -count=1 -parallel=8 -timeout=40m ./...

# The linter is a tool of a module of its own, so that none of its requirements reaches the product's go.mod.
LINT := golangci-lint run --max-same-issues=0 --max-issues-per-linter=0

.PHONY: build test race lint fuzz bench demo image cross packages reproducible check-packages check-deploy wine clean

build: ## the static binary, bin/leasehold
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/leasehold ./cmd/proxy

test: build ## unit tests, then that binary on a real Vault
	go vet ./...
	go test ./...
	cd test/e2e && LEASEHOLD_BINARY=../../bin/leasehold $(E2E)

race: ## the same under the race detector: the unit tests and the binary, not Vault. The binary tells all it can, which is searched for secrets
	CGO_ENABLED=1 go test -race ./...
	cd test/e2e && LEASEHOLD_E2E_RACE=1 LEASEHOLD_E2E_TRACE=1 $(E2E)

lint: ## both modules, with .golangci.yml
	go tool -modfile=tools/go.mod $(LINT) ./...
	cd test/e2e && go tool -modfile=../../tools/go.mod $(LINT) ./...

fuzz: ## every fuzz target for FUZZTIME
	@set -e; packages=$$(go list ./...); \
	for package in $$packages; do \
		names=$$(go test -list '^Fuzz' $$package); \
		for name in $$(echo "$$names" | grep '^Fuzz'); do \
			echo "== $$package $$name"; \
			go test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) $$package; \
		done; \
	done

bench: build ## speed and memory as ratios in one run, beside the budgets of docs/design.md
	cd test/e2e && go run ./cmd/bench -binary=../../bin/leasehold -seconds=$(BENCH_SECONDS)

# Built, not run by `go run`: Ctrl-C then reaches the demonstration directly, and it tidies up.
demo: build ## a narrated tour on a real Vault
	cd test/e2e && go build -o ../../bin/demo ./cmd/demo
	@bin/demo -binary=bin/leasehold

image: ## the container image, leasehold:VERSION
	docker build --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
		--build-arg CREATED=$$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd) --tag leasehold:$(VERSION) .

# With the flag of what is released, so that packages has it in the cache.
cross: ## compile and vet everything, tests too, for every system
	@set -e; for target in $(TARGETS); do \
		echo "== $$target"; \
		export CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/}; \
		go build -trimpath ./...; \
		go vet -trimpath ./...; \
	done

packages: ## deb, rpm, archives, SBOMs and SHA256SUMS, in dist
	packaging/build.sh $(VERSION) dist $(TARGETS)

reproducible: ## make them twice, from two clones of the commit, and compare the bytes
	packaging/reproducible.sh

wine: ## the Windows binary, its service and its files, as far as Debian's wine goes
	packaging/wine.sh

check-packages: ## look into dist: install, run, and what systemd thinks of the unit
	packaging/check.sh dist

check-deploy: ## the alert rules, and what they say of a trouble and of none; needs promtool
	promtool check rules deploy/prometheus/leasehold.rules.yml
	promtool test rules deploy/prometheus/leasehold.test.yml

clean:
	rm -rf bin dist
