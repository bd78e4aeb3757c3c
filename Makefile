# Berth. `make test` is all that CI runs; it installs what the tests need.

PREFIX ?= /usr/local
GO     ?= go
BIN     = bin

# A static binary without cgo, and without cli's documentation generator, which
# costs a third of a millisecond at every start. `go install .` works too.
GOFLAGS_BUILD = -trimpath -tags urfave_cli_no_docs -ldflags '-s -w -X main.commit=$(COMMIT)'
COMMIT       := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
export CGO_ENABLED = 0

.PHONY: all go-version build install uninstall test test-quick test-engines test-diff vm-shell bench lint fuzz generate golden man deps clean

all: build

# An older Go fails in words about language versions and toolchains.
go-version:
	@want=$$(sed -n 's/^go //p' go.mod); have=$$(GOTOOLCHAIN=local $(GO) env GOVERSION 2>/dev/null | sed 's/^go//'); \
	if [ -z "$$have" ]; then echo "Berth is built with Go $$want or later, and there is no go command in PATH" >&2; exit 1; fi; \
	if [ "$$(printf '%s\n%s\n' "$$want" "$$have" | sort -V | head -n 1)" != "$$want" ]; then \
		echo "Berth is built with Go $$want or later, and this is Go $$have ($$(command -v $(GO)))" >&2; exit 1; fi

build: go-version
	$(GO) build $(GOFLAGS_BUILD) -o berth .

install: build
	install -D -m 0755 berth $(DESTDIR)$(PREFIX)/bin/berth
	for page in man/*.[1-8]; do install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/berth
	for page in man/*.[1-8]; do rm -f $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done

# What can not run where it is (no root, no network) is skipped with its reason, which
# is printed. Where CI is set, a skip that is not in tests/report/skips.txt is a failure.
# Time is for the guest: without KVM all takes ten times as long in it.
test: go-version deps lint build
	$(GO) test -count=1 -timeout 40m -json ./... | $(GO) run ./tests/report $(if $(CI),-strict)

# The real engines with Berth, and with runc for comparison.
test-engines: deps build
	sh tests/engines/unpack.sh
	$(GO) test -count=1 -timeout 60m -v ./tests/engines -args -full -beside runc

# Without root, without packages: the pure part.
test-quick:
	$(GO) test ./spec/... ./libcontainer/... ./cli/... ./bundles/...

# Random configs under Berth, runc and crun; what differs and is not argued fails.
N    ?= 1000
SEED ?= 1
test-diff: deps build
	$(GO) test -count=1 -timeout 60m -v -run AgainstPeers ./tests/diff -args -n $(N) -seed $(SEED) | grep -v -e '^=== ' -e '^    --- PASS'

# A root shell in a guest with systemd and pure cgroup v2.
vm-shell: deps
	$(GO) run ./tests/vm shell

bench: build
	$(GO) test -run '^$$' -bench . -benchmem ./spec ./libcontainer/... ./cli/...
	$(GO) test -run '^$$' -bench . -benchtime 100x ./tests/bench

lint: $(BIN)/staticcheck $(BIN)/gofumpt
	$(GO) vet ./...
	@out=$$($(BIN)/gofumpt -l .); test -z "$$out" || { echo "not formatted by gofumpt:"; echo "$$out"; exit 1; }
	$(BIN)/staticcheck ./...
	GOARCH=arm64 $(GO) vet ./libcontainer/... ./cli/... .
	GOARCH=riscv64 $(GO) vet ./libcontainer/... ./cli/... .

$(BIN)/staticcheck: tools/go.mod
	$(GO) build -C tools -o ../$@ honnef.co/go/tools/cmd/staticcheck

$(BIN)/gofumpt: tools/go.mod
	$(GO) build -C tools -o ../$@ mvdan.cc/gofumpt

# Each fuzz target for FUZZTIME.
FUZZTIME ?= 30s
fuzz:
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

generate:
	$(GO) generate ./...

# The man pages, from the table of commands.
man:
	$(GO) test ./cli -run ManPages -update

# After a change of the compiler that was looked at.
golden:
	$(GO) test ./libcontainer/compile -run Golden -update

deps:
	sh tests/install.sh

clean:
	rm -rf berth $(BIN)
