# make build    the programs and the PKCS #11 module, in build/
# make demo     the main job on a simulated TPM; DEVICE=/dev/tpmrm0 for a real one
# make test     everything that fits into five minutes
# make check    what takes longer: all consumers, fuzzing, stress
# make vm-test  tpmkeyd on a kernel of its own, in a virtual machine; make check does it too
# make hostile  a million random commands against manager and filter; COMMANDS=, SEED=
# make stress   an hour of all that a host can do at once, whose memory must not grow; SECONDS=
# make crowd    a thousand connections for ten minutes, and tpmkeyd killed 500 times
# make bench    TPM commands and times beside others', in build/bench; make bench-picture puts them into docs
# make vulnerabilities  what the Go vulnerability database knows of code that is called; make check does it too
# make cover    how many statements of each package its tests reach, and of all
# make install  PREFIX=/usr DESTDIR=; every folder below can be set
# make packages deb and rpm for ARCHITECTURES="amd64 arm64", in build/packages
# make module-path NEW=example.org/tpmkey
#
# build, demo, test, check and bench first look for the Debian packages they need:
# root installs what is missing, anybody else is told how.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build
# The packages come first, whatever -j says.
.NOTPARALLEL:

GO ?= go
export GO
BUILD ?= build
NFPM ?= github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
export NFPM
ARCHITECTURES ?= amd64 arm64
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK ?= golang.org/x/vuln/cmd/govulncheck@v1.9.0
# Not one version: what is known changes, not the project.
VULNDB ?= golang.org/x/vulndb@latest
FUZZTIME ?= 30s
COMMANDS ?= 1000000
SEED ?= $(shell date +%s)
SECONDS ?= 3600
DEVICE ?=
COVERED ?= ./...

PREFIX ?= /usr
DESTDIR ?=
# Asked of the compiler, because Debian, Fedora and Arch differ.
multiarch := $(shell $(CC) -print-multiarch 2>/dev/null)
bindir ?= $(PREFIX)/bin
sbindir ?= $(PREFIX)/sbin
libdir ?= $(PREFIX)/lib$(if $(multiarch),/$(multiarch))
libexecdir ?= $(PREFIX)/libexec/tpmkey
moduledir ?= $(libdir)/pkcs11
p11kitdir ?= $(PREFIX)/share/p11-kit/modules
bashcompletiondir ?= $(PREFIX)/share/bash-completion/completions
# Debian's zsh does not look into /usr/share/zsh/site-functions.
zshcompletiondir ?= $(PREFIX)/share/zsh/$(if $(and $(filter /usr,$(PREFIX)),$(wildcard /etc/debian_version)),vendor-completions,site-functions)
fishcompletiondir ?= $(PREFIX)/share/fish/vendor_completions.d
systemdunitdir ?= $(PREFIX)/lib/systemd/system
udevrulesdir ?= $(PREFIX)/lib/udev/rules.d
mandir ?= $(PREFIX)/share/man
modulesloaddir ?= $(PREFIX)/lib/modules-load.d
includedir ?= $(PREFIX)/include
# p11-kit looks for a bare name in the distribution's own folder.
p11kitmodule ?= $(if $(filter /usr,$(PREFIX)),,$(moduledir)/)tpmkey-pkcs11.so

# The same bytes from every checkout, also from somebody else's, whose history git
# does not show. All that compiles has these flags, or everything is compiled twice.
GOCOMPILEFLAGS := -trimpath -buildvcs=false
GOBUILDFLAGS ?= $(GOCOMPILEFLAGS) -ldflags '-s -w -buildid= -B none'

packages_build := gcc libc6-dev libssl-dev libp11-kit-dev
packages_demo := $(packages_build) openssh-client openssh-server openssl
packages_test := $(packages_demo) zsh fish swtpm tpm2-tools tpm2-openssl opensc gnutls-bin p11-kit libnss3-dev netcat-openbsd curl mandoc procps
packages_check := $(packages_test) shellcheck musl-tools nginx libengine-pkcs11-openssl libtpm2-pkcs11-1 libtpm2-pkcs11-tools openjdk-17-jdk-headless git pkg-config libnss3-tools openvpn strongswan-pki libstrongswan-extra-plugins systemd cryptsetup-bin haproxy strongswan-swanctl strongswan-charon hostapd eapoltest
packages_vm := $(packages_build) swtpm qemu-system-x86 linux-source-6.1 busybox-static python3.11 openssh-client openssh-server openssl tpm2-tools
packages_vulnerabilities := $(packages_build) jq
packages_packages := $(packages_build) gcc-aarch64-linux-gnu libc6-dev-arm64-cross
packages_check += $(packages_vm) $(packages_packages) $(packages_vulnerabilities) lintian rpm mmdebstrap qemu-user-static
packages_bench := $(packages_demo) swtpm opensc libtpm2-pkcs11-1 softhsm2 tpm2-abrmd libtss2-tcti-tabrmd0 libtss2-dev dbus

.PHONY: build build-musl test check vulnerabilities cover vm-test hostile stress crowd bench bench-picture demo install packages clean fmt vet lint fuzz module-path libexecdir-built \
	packages-build packages-demo packages-test packages-check packages-bench packages-vm packages-vulnerabilities packages-packages products programs completions simulator demo-programs

packages-build packages-demo packages-test packages-check packages-bench packages-vm packages-vulnerabilities packages-packages:
	@scripts/packages.sh $(packages_$(@:packages-%=%))

build: products simulator

# What make install takes.
products: programs completions $(BUILD)/tpmkey-pkcs11.so $(BUILD)/tpmkey-pkcs11-helper $(BUILD)/tpmkey-probe

-include pkcs11-module/module.mk

# Where a musl compiler is there.
build-musl: $(BUILD)/musl/tpmkey-pkcs11.so $(BUILD)/tpmkey-pkcs11-helper

# Go knows better than make what is up to date.
programs: packages-build
	CGO_ENABLED=0 $(GO) build $(GOBUILDFLAGS) -o $(BUILD)/ ./cmd/tpmkey ./cmd/tpmkeyd ./cmd/tpmkeyd-metrics

simulator: packages-build
	CGO_ENABLED=1 $(GO) build $(GOBUILDFLAGS) -o $(BUILD)/ ./cmd/tpmkey-sim

# Made by running the tool here, whatever machine the rest is built for.
completions: packages-build
	mkdir -p $(BUILD)
	for shell in bash zsh fish; do GOOS= GOARCH= CGO_ENABLED=0 $(GO) run ./cmd/tpmkey completion $$shell >$(BUILD)/completion.$$shell; done

# Without the race detector, which takes more than twice the time and compiles everything once more: make check runs all of this under it.
test: packages-test build
	CI=true scripts/gotest.sh -timeout 10m ./...

lint: vet
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not gofmt'ed: $$unformatted"; exit 1; fi
	CGO_ENABLED=0 $(GO) build $(GOCOMPILEFLAGS) ./...
	GOFLAGS="$$($(GO) env GOFLAGS) $(GOCOMPILEFLAGS)" $(GO) run $(STATICCHECK) -tags check,bench,vm ./...
	shellcheck scripts/*.sh .ci/run packaging/deb/* packaging/rpm/*

vet:
	$(GO) vet $(GOCOMPILEFLAGS) ./...
	$(GO) vet $(GOCOMPILEFLAGS) -tags check,bench,vm ./...

check: packages-check lint build demo-programs packages $(BUILD)/selftests $(BUILD)/kernel vulnerabilities
	CI=true scripts/gotest.sh -race -timeout 20m -count=1 -tags check ./...
	CI=true scripts/gotest.sh -race -timeout 20m -count=1 -cpu 1,4 ./rm/... ./provider/... ./signer/... ./pkcs11-module/...
	scripts/fuzz.sh $(FUZZTIME)

# As make check does.
vulnerabilities: packages-vulnerabilities
	scripts/vulnerabilities.sh $(GOVULNCHECK) $(VULNDB)

# What programs and the module do in processes of their own is not counted.
cover: packages-test build
	$(GO) test $(GOCOMPILEFLAGS) -coverprofile=$(BUILD)/cover.out $(COVERED)
	$(GO) tool cover -func=$(BUILD)/cover.out | tail -n 1

vm-test: ARCHITECTURES = amd64
vm-test: packages-vm build packages $(BUILD)/selftests $(BUILD)/kernel
	CI=true scripts/gotest.sh -timeout 20m -count=1 -tags check ./vm

# The kernel's own tests of /dev/tpm0 and /dev/tpmrm0.
$(BUILD)/selftests: packages-vm
	[ -e $@ ] || { mkdir -p $@.new && tar -xJf /usr/src/linux-source-6.1.tar.xz -C $@.new --strip-components 5 linux-source-6.1/tools/testing/selftests/tpm2 && mv $@.new $@; }

$(BUILD)/kernel:
	mkdir -p $(BUILD)
	scripts/unpack.sh linux-image-amd64 $@

fuzz: packages-build
	scripts/fuzz.sh $(FUZZTIME)

# make check does this too, for a minute.
hostile: packages-check
	CI=true $(GO) test -count=1 -v -tags check -timeout 5h -run 'TestHostileClients$$' ./rm -commands $(COMMANDS) -time 4h -seed $(SEED)

# And this.
stress: packages-check
	CI=true $(GO) test -count=1 -v -tags check -timeout 5h -run 'TestStress$$' ./pkcs11-module -seconds $(SECONDS)

# And this.
crowd: packages-check
	CI=true $(GO) test -count=1 -v -tags check -timeout 1h -run 'TestCrowd$$|TestStormOfConnections$$|TestKilledService$$' ./cmd/tpmkeyd -crowd 10m -kills 500

bench: packages-bench build
	CI=true $(GO) test -count=1 -v -tags bench -timeout 30m ./bench

bench-picture:
	@test -f $(BUILD)/bench/table.json || { echo "nothing measured yet; run: make bench" >&2; exit 1; }
	install -m 644 $(BUILD)/bench/table.json docs/bench.json
	$(GO) test $(GOCOMPILEFLAGS) ./bench/table -run 'TestPublished$$' -update

demo: packages-demo build demo-programs
	$(BUILD)/demo/demo -build $(BUILD) $(if $(DEVICE),-device $(DEVICE))

demo-programs: packages-build
	CGO_ENABLED=0 $(GO) build $(GOBUILDFLAGS) -o $(BUILD)/demo/ ./demo ./demo/tlsserver

# Does not build: root may have no Go.
install:
	@test -f $(BUILD)/tpmkey-pkcs11.so || { echo "nothing to install yet; run: make build" >&2; exit 1; }
	@$(MAKE) -s libexecdir-built
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(sbindir) $(DESTDIR)$(libexecdir) $(DESTDIR)$(moduledir) $(DESTDIR)$(p11kitdir)
	install -d $(DESTDIR)$(bashcompletiondir) $(DESTDIR)$(zshcompletiondir) $(DESTDIR)$(fishcompletiondir)
	install -m 755 $(BUILD)/tpmkey $(DESTDIR)$(bindir)/
	install -m 755 $(BUILD)/tpmkeyd $(BUILD)/tpmkeyd-metrics $(DESTDIR)$(sbindir)/
	install -m 755 $(BUILD)/tpmkey-pkcs11-helper $(BUILD)/tpmkey-probe $(DESTDIR)$(libexecdir)/
	install -m 644 $(BUILD)/tpmkey-pkcs11.so $(DESTDIR)$(moduledir)/
	install -m 644 $(BUILD)/completion.bash $(DESTDIR)$(bashcompletiondir)/tpmkey
	install -m 644 $(BUILD)/completion.zsh $(DESTDIR)$(zshcompletiondir)/_tpmkey
	install -m 644 $(BUILD)/completion.fish $(DESTDIR)$(fishcompletiondir)/tpmkey.fish
	install -d $(DESTDIR)$(systemdunitdir)/sockets.target.wants
	@# Started at boot without anybody's doing; whoever does not want them masks them.
	for unit in tpmkeyd.socket tpmkeyd-control.socket tpmkeyd.service tpmkeyd-metrics.socket tpmkeyd-metrics.service; do sed 's|/usr/sbin/|$(sbindir)/|' cmd/tpmkeyd/units/$$unit | install -m 644 /dev/stdin $(DESTDIR)$(systemdunitdir)/$$unit; done
	for unit in tpmkeyd.socket tpmkeyd-control.socket tpmkeyd-metrics.socket; do ln -sf ../$$unit $(DESTDIR)$(systemdunitdir)/sockets.target.wants/; done
	install -d $(DESTDIR)$(udevrulesdir) $(DESTDIR)$(modulesloaddir) $(DESTDIR)$(includedir)
	install -m 644 cmd/tpmkeyd/units/60-tpmkeyd.rules $(DESTDIR)$(udevrulesdir)/
	install -m 644 cmd/tpmkeyd/units/tpmkeyd.conf $(DESTDIR)$(modulesloaddir)/
	install -m 644 tpms/tpms.h $(DESTDIR)$(includedir)/
	for page in docs/man/*.[1-9]; do install -D -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/}; done
	printf '%s\n' '# RSA keys in the TPM' 'module: $(p11kitmodule)' 'critical: no' >$(DESTDIR)$(p11kitdir)/tpmkey.module

packages: packages-packages
	rm -rf $(BUILD)/packages
	for arch in $(ARCHITECTURES); do scripts/package.sh $$arch $(BUILD)/packages; done
	cd $(BUILD)/packages && sha256sum -- * >SHA256SUMS

fmt:
	gofmt -w .

module-path:
	@scripts/module-path.sh '$(NEW)'

clean:
	rm -rf $(BUILD)
