# Bare `make` lists the targets. What each needs beyond Go and git is in its description.

# sudo takes away the directory where Go's own archive installs it.
export PATH := $(PATH):/usr/local/go/bin

GO        ?= go
FUZZTIME  ?= 20s
BENCH     ?= .
# The packages that the generators, the tests and the linter look at.
PACKAGES  ?= ./...

BINARY    := build/otelcol-ebpf
TOOL      := $(GO) tool -modfile=$(CURDIR)/internal/tools/go.mod
LINT      := $(GO) tool -modfile=$(CURDIR)/internal/tools/lint/go.mod golangci-lint
APT       := ./internal/tools/apt-install
# What sudo built belongs to the user, whose next `make test` writes there too.
GIVE_BACK := [ -z "$$SUDO_UID" ] || chown -R "$$SUDO_UID:$$SUDO_GID" build
GENERATED := _bpfe[lb]\.go:|_(x86|arm64)_bpfe[lb]\.go:|/generated_[a-z_]+\.go:|/internal/metadata(test)?/

# One figure line after another, also under -j: no target here is safe to mix with another.
.NOTPARALLEL:

.PHONY: help build generate check-generated lint check-platforms fmt test race fuzz bench demo demo-check kernel-test accuracy accuracy-programs accuracy-link accuracy-real bench-probe bench-link fault-link clean

help: ## list the targets (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## build/otelcol-ebpf, the collector with every component of builder-config.yaml
	@mkdir -p build
	cd otelcol-ebpf && CGO_ENABLED=0 $(GO) build -trimpath -tags grpcnotrace -ldflags '-s -w' -o ../$(BINARY) .
	@$(GIVE_BACK)

test: build ## all tests, and the coverage; those that need root or BPF say why they skip
	$(GO) test -timeout 20m -coverprofile=build/coverage.out $(PACKAGES)
	@grep -vE '$(GENERATED)' build/coverage.out > build/coverage.handwritten.out
	@$(GO) tool cover -func=build/coverage.handwritten.out | awk 'END { print "coverage of handwritten code: " $$NF }'
	@$(GIVE_BACK)

race: build ## all tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 30m $(PACKAGES)

fuzz: ## every fuzz target for FUZZTIME (default 20s) each
	@GO='$(GO)' FUZZTIME='$(FUZZTIME)' ./internal/tools/fuzz

bench: ## every Go benchmark; BENCH=regexp selects
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(PACKAGES)

lint: ## golangci-lint with the import directions of ARCHITECTURE.md
	$(LINT) run $(PACKAGES)

check-platforms: ## fail if a component does not compile for a platform that it is not tested on
	@for p in linux/arm64 darwin/arm64 windows/amd64; do \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build ./receiver/ebpfspanreceiver ./processor/ebpflinkprocessor && \
			echo "check-platforms: $$p compiles" || exit 1; \
	done

fmt: ## format the Go code (gofumpt, goimports)
	$(LINT) fmt $(PACKAGES)

generate: ## regenerate bpf objects, component metadata and otelcol-ebpf/ (needs clang-19, llvm-19, libbpf-dev)
	@GO='$(GO)' ./internal/tools/generate

check-generated: ## fail if a committed generated file differs from what its source gives (needs clang-19, llvm-19, libbpf-dev)
	@$(APT) clang-19 llvm-19 libbpf-dev
	@GO='$(GO)' ./internal/tools/check-generated

# The demo builds the collector and installs what it traces: redis-server and python3.
demo: ## build, start a few services, send requests, print each trace as a tree (root)
	@$(GO) run ./demo/cmd/demo

demo-check: ## the same without a terminal, every parent checked (root)
	@$(GO) run ./demo/cmd/demo -check

kernel-test: ## load, attach and capture on kernels 5.10, 6.1 and 6.12 under QEMU
	@$(APT) qemu-system-x86 busybox-static
	@$(GO) run ./internal/kerneltest

accuracy: accuracy-link accuracy-programs ## both of the following

accuracy-programs: ## whether each call is linked to its request: every workload once; fails on a wrong link (root)
	@$(APT) $$($(GO) run ./internal/accuracy -packages)
	@$(GO) run ./internal/accuracy -plan check

accuracy-real: ## the same at every concurrency, pool size, with noise; costs; writes docs/accuracy.md and its figures into build (root)
	@$(APT) $$($(GO) run ./internal/accuracy -packages)
	@mkdir -p build
	@$(GO) run ./internal/accuracy -plan real -save build/accuracy-real.json
	@[ -z "$$SUDO_UID" ] || chown "$$SUDO_UID:$$SUDO_GID" docs/accuracy.md
	@$(GIVE_BACK)

accuracy-link: ## whether spans get the right parent, beside the rules of DataKit and DeepFlow; fails on a wrong link
	@$(GO) run ./processor/ebpflinkprocessor/internal/linkaccuracy

bench-probe: ## what tracing costs nginx and a Go server: throughput, ns per hook, events lost (root)
	@$(APT) nginx-light wrk
	@$(GO) run ./internal/probebench

# The second program is a module of its own: the root module does not depend on the rivals.
bench-link: ## what linking costs: the join, then the processor beside batch, tail_sampling, groupbytrace (two cores)
	@$(GO) run ./processor/ebpflinkprocessor/internal/linkbench
	@$(GO) run -C processor/ebpflinkprocessor/internal/pipebench .

# A module of its own too: the root module does not depend on the rest of a Collector.
fault-link: ## what linking survives: kill -9, a full disk, a removed directory, clock steps, refusals; FAULT_FLAGS=-short (root)
	@$(GO) run -C processor/ebpflinkprocessor/internal/linkfaults . $(FAULT_FLAGS)

clean: ## remove what the targets above built; downloaded kernels in .cache stay
	rm -rf build
