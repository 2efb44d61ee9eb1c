# make help lists the targets.

PREFIX     ?= /usr/local
DESTDIR    ?=
SYSCONFDIR ?= /etc
FUZZTIME   ?= 5m
BENCH      ?= .
VM         ?= ZeroCopy|CopyOnly|Wire|PktgenKernel
DEMO_ARGS  ?=
BIN        ?= bin/penstock

# sudo often drops go from PATH, and users have no sbin there.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin:$(CURDIR)/bin/tools/usr/bin
export CGO_ENABLED = 0
export PENSTOCK_REQUIRE_ROOT

# git under sudo refuses the tree of another user unless told; go is not to ask it at all.
GIT     := git -c safe.directory='*'
VERSION := $(shell $(GIT) describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  := $(shell $(GIT) rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
# Where Wireshark and tshark look for dissectors, whatever PREFIX is (tshark -G folders: Global Lua Plugins).
WIRESHARKDIR ?= /usr/lib/$(shell uname -m)-linux-gnu/wireshark/plugins
LDFLAGS := -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# program:package that demo and tests call; for the race detector also a C compiler and libc's headers; Scapy for TRex profiles.
TOOLS   = ip:iproute2 tcpdump:tcpdump tshark:tshark ethtool:ethtool iperf3:iperf3 ping:iputils-ping cc:gcc python3:python3 keepalived:keepalived dnsmasq:dnsmasq-base dhclient:isc-dhcp-client strace:strace \
	nginx:nginx-light wrk:wrk curl:curl qemu-ga:qemu-guest-agent arping:arping nft:nftables ifquery:ifupdown netplan:netplan.io sysctl:procps lldpd:lldpd
FILES   = /lib/systemd/systemd-networkd:systemd /usr/include/stdlib.h:libc6-dev /usr/lib/python3/dist-packages/scapy/__init__.py:python3-scapy
MISSING = $(strip $(foreach t,$(TOOLS),$(if $(shell PATH='$(PATH)'; command -v $(firstword $(subst :, ,$t))),,$(lastword $(subst :, ,$t)))) \
	$(foreach f,$(FILES),$(if $(wildcard $(firstword $(subst :, ,$f))),,$(lastword $(subst :, ,$f)))))

# Programs of packages that would manage the machine's interfaces: unpacked into bin/tools, never installed.
UNPACKED         = nmcli:network-manager
UNPACKED_MISSING = $(strip $(foreach t,$(UNPACKED),$(if $(shell PATH='$(PATH)'; command -v $(firstword $(subst :, ,$t))),,$(lastword $(subst :, ,$t)))))

# What make test-vm needs beside.
VM_TOOLS   = qemu-system-x86_64:qemu-system-x86 xz:xz-utils
VM_FILES   = /lib/systemd/systemd-networkd:systemd /usr/share/doc/busybox-static:busybox-static /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
VM_MISSING = $(strip $(foreach t,$(VM_TOOLS),$(if $(shell PATH='$(PATH)'; command -v $(firstword $(subst :, ,$t))),,$(lastword $(subst :, ,$t)))) \
	$(foreach f,$(VM_FILES),$(if $(wildcard $(firstword $(subst :, ,$f))),,$(lastword $(subst :, ,$f)))))

# Packages whose tests run goroutines against each other; the rest is tested without the race detector.
RACE = ./appliance/... ./conf/... ./ctrl/... ./dataplane/table/... ./dataplane/frame/... ./dataplane/stats/...
# Packages that load the machine: they are tested one at a time, after all others.
HEAVY = penstock/(integration|perf)(/.*)?

# Packages with benchmarks.
BENCHED = $$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n1 dirname | sort -u)

.DEFAULT_GOAL := help
.PHONY: help deps build demo test test-vm lint fuzz bench bench-compare bench-deps bench-e2e bench-gaps bench-failover bench-failover-stress generate install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

deps: ## install the programs that demo and tests call, if any is missing (root); starts and enables no service
ifneq ($(MISSING)$(UNPACKED_MISSING),)
	@if [ "$$(id -u)" -ne 0 ]; then echo "not installed: $(MISSING) $(UNPACKED_MISSING); as root, make deps installs them"; else set -e; \
		echo "installing: $(MISSING) $(UNPACKED_MISSING)"; \
		$(if $(MISSING),sh integration/tools/install.sh $(MISSING);) \
		$(if $(UNPACKED_MISSING),sh integration/tools/install.sh --unpack bin/tools $(UNPACKED_MISSING);) fi
else
	@:
endif

build: ## build the binary, bin/penstock
	go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(BIN) ./appliance

demo: deps build ## run the demonstration in network namespaces (root); DEMO_ARGS="…"
	$(BIN) demo $(DEMO_ARGS)

test: deps ## run all tests, some minutes (root; else those that need it are skipped, or fail with PENSTOCK_REQUIRE_ROOT=1)
	@set -e; all=$$(go list ./...); \
		light=$$(echo "$$all" | grep -Evx '$(HEAVY)'); heavy=$$(echo "$$all" | grep -Ex '$(HEAVY)'); \
		echo "test: units"; go test $$light; \
		echo "test: units under the race detector"; CGO_ENABLED=1 go test -race -short $(RACE); \
		echo "test: end to end, one package at a time"; go test -p 1 -timeout 15m $$heavy; \
		echo "test: every benchmark once"; out=$$(go test -p 1 -run '^$$' -bench . -benchtime 1x $(BENCHED) 2>&1) || { echo "$$out"; exit 1; }
	@echo "test: all packages passed; those with concurrency also under the race detector"

test-vm: ## test zero-copy, and a kernel's pktgen, in QEMU guests, some minutes (root); for changes of the ring layer; VM="regexp"
ifneq ($(VM_MISSING),)
	@echo "installing: $(VM_MISSING)"; sh integration/tools/install.sh $(VM_MISSING)
endif
	PENSTOCK_VM=1 go test -count=1 -p 1 -timeout 20m -v -run '$(VM)' ./integration/vm ./integration/golden ./perf/traffic
	@echo "test-vm: passed"

lint: ## gofmt, go vet, staticcheck
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt -w is due for:"; echo "$$out"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

fuzz: ## run every fuzz target for FUZZTIME (5m) each
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$dir"/*_test.go); do \
			echo "fuzz: $$dir $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s "$$dir" < /dev/null; \
		done; \
	done

bench: ## run the benchmarks into perf/results (pipeline.csv), and compare with the run before; BENCH="regexp"
	@mkdir -p perf/results
	@rm -f bin/bench-failed; mkdir -p bin
	{ go test -run '^$$' -bench '$(BENCH)' -benchmem -count 6 ./perf/... || touch bin/bench-failed; } | tee bin/bench.txt
	@test ! -e bin/bench-failed
	@if [ -f perf/results/new.txt ]; then mv perf/results/new.txt perf/results/old.txt; fi
	@mv bin/bench.txt perf/results/new.txt
	@go run ./perf/compare/cmd/record -commit $(COMMIT)$$($(GIT) diff --quiet HEAD -- . ':!perf/results' || echo -dirty)
	@if [ -f perf/results/old.txt ]; then go tool benchstat perf/results/old.txt perf/results/new.txt; fi

bench-compare: ## run the benchmarks of REV and of the work tree in turns, about 8 minutes; REV=HEAD~1 BENCH="regexp" ROUNDS=10
	go run ./perf/compare/cmd/compare -rev '$(REV)' -bench '$(BENCH)' -rounds $(or $(ROUNDS),10) $(COMPARE_ARGS)

bench-deps: ## install the peers that bench-e2e measures beside the box (root)
	sh integration/tools/install.sh dpdk dpdk-dev librte-net-af-xdp23 openvswitch-switch-dpdk

bench-e2e: build ## measure the box and every peer found end to end on veth, in turns, 10 minutes (root); ROUNDS=4 SECONDS=2 E2E_ARGS="…"
	go build -trimpath -buildvcs=false -o bin/baseline-forwarder ./perf/baseline/cmd/baseline-forwarder
	go build -trimpath -buildvcs=false -o bin/e2e ./perf/e2e/cmd/e2e
	@mkdir -p perf/results
	bin/e2e -penstock $(BIN) -asavie bin/baseline-forwarder -rounds $(or $(ROUNDS),4) -warmup 500ms -measure $(or $(SECONDS),2)s -results perf/results/e2e.csv -svg perf/results/e2e.svg \
		-commit $(COMMIT)$$($(GIT) diff --quiet HEAD -- . ':!perf/results' || echo -dirty) $(E2E_ARGS)

bench-gaps: build ## measure the gaps of the worker's loop while a million bindings are pushed and the collector runs (root), 3 minutes; GAPS_ARGS="…"
	go build -trimpath -buildvcs=false -o bin/e2e ./perf/e2e/cmd/e2e
	@mkdir -p perf/results
	@set -e; for args in "" "-apart -nice -20"; do \
		bin/e2e gaps -penstock $(BIN) -results perf/results/gaps.csv -commit $(COMMIT)$$($(GIT) diff --quiet HEAD -- . ':!perf/results' || echo -dirty) $$args $(GAPS_ARGS); \
	done

bench-failover: deps build ## measure blocked times of gateway switching beside keepalived, 10 minutes (root); RUNS=10 FAULTS=carrier,silent DEVICES=box:10ms,keepalived:1s FAILOVER_ARGS="…"
	go build -trimpath -buildvcs=false -o bin/failover ./perf/failover/cmd/failover
	@mkdir -p perf/results
	bin/failover -penstock $(BIN) -runs $(or $(RUNS),10) $(if $(FAULTS),-faults '$(FAULTS)') $(if $(DEVICES),-devices '$(DEVICES)') -results perf/results/failover.csv \
		-commit $(COMMIT)$$($(GIT) diff --quiet HEAD -- . ':!perf/results' || echo -dirty) $(FAILOVER_ARGS)

bench-failover-stress: build ## look for switches without a fault, under all the stress there is (root); DURATION=20m FAILOVER_ARGS="…"
	go build -trimpath -buildvcs=false -o bin/failover ./perf/failover/cmd/failover
	bin/failover stress -penstock $(BIN) -duration $(or $(DURATION),20m) -commit $(COMMIT)$$($(GIT) diff --quiet HEAD -- . ':!perf/results' || echo -dirty) $(FAILOVER_ARGS)

generate: ## regenerate what go:generate makes
	go generate ./...

install: build ## install binary, unit, account, sysctl, completion, Wireshark dissector and an example configuration (DESTDIR, PREFIX, WIRESHARKDIR)
	install -D -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin/penstock
	install -d $(DESTDIR)$(SYSCONFDIR)/penstock $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/local/|$(PREFIX)/|g; s|/etc/penstock/|$(SYSCONFDIR)/penstock/|g' systemd/penstock.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/penstock.service
	chmod 0644 $(DESTDIR)$(PREFIX)/lib/systemd/system/penstock.service
	install -D -m 0644 systemd/penstock.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/penstock.conf
	install -D -m 0644 systemd/penstock.sysctl $(DESTDIR)$(PREFIX)/lib/sysctl.d/60-penstock.conf
	install -D -m 0644 systemd/wireshark/penstock.lua $(DESTDIR)$(WIRESHARKDIR)/penstock.lua
	install -D -m 0644 conf/README.md $(DESTDIR)$(PREFIX)/share/doc/penstock/README.md
	install -D -m 0644 conf/example/tables.toml $(DESTDIR)$(PREFIX)/share/doc/penstock/tables.toml
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(BIN) completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/penstock
	chmod 0644 $(DESTDIR)$(PREFIX)/share/bash-completion/completions/penstock
	test -e $(DESTDIR)$(SYSCONFDIR)/penstock/penstock.toml || install -m 0644 conf/example/penstock.toml $(DESTDIR)$(SYSCONFDIR)/penstock/penstock.toml
	$(if $(DESTDIR),,systemd-sysusers && systemctl daemon-reload)

clean: ## remove what was built
	rm -rf bin
