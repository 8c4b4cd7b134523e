# The PKCS #11 module, its helper, and what tries them. The module's linker script and its version script need absolute paths, and #cgo LDFLAGS takes neither.
module_dir := $(CURDIR)/pkcs11-module

# What both are made of has a number: a module refuses the helper of another build, whose messages may mean something else.
module_sources = $(shell find attest filter internal pkcs11-module provider rm cmd/tpmkey-pkcs11-helper go.mod go.sum \
	-type f ! -path '*/testdata/*' ! -name '*_test.go' | LC_ALL=C sort)
module_build = $(shell sha256sum $(module_sources) | sha256sum | cut -c 1-16)

# Go's tables of pointers are 25,000 relocations: as a bit map they take 9 KB in place of 600, and dlopen takes a sixth less time. Where the loader knows it.
comma := ,
packed = $(if $(shell grep -l GLIBC_ABI_DT_RELR "$$($${CC:-cc} -print-file-name=libc.so.6)" 2>/dev/null),-Wl$(comma)-z$(comma)pack-relative-relocs)

$(BUILD)/tpmkey-pkcs11.so: packages-build
	CGO_ENABLED=1 CGO_CFLAGS="$$($(GO) env CGO_CFLAGS) '-DTPMKEY_LIBEXEC=\"$(libexecdir)\"'" $(GO) build -buildmode=c-shared -trimpath -buildvcs=false \
		-ldflags "-s -w -buildid= -B none -extldflags '-Wl,-T,$(module_dir)/defer.ld -Wl,--defsym=tpmkey_build_number=0x$(module_build) -Wl,--version-script=$(module_dir)/exports.map -Wl,-z,now $(packed) -Wl,--wrap=pthread_create'" \
		-o $@ ./pkcs11-module
	rm -f $(BUILD)/tpmkey-pkcs11.h
	printf '%s\n' '$(libexecdir)' >$(BUILD)/libexecdir

# The front alone, from the same sources: musl takes no library of Go's. Its helper is the same program.
MUSL_CC ?= musl-gcc
module_c := $(wildcard pkcs11-module/*.c)

$(BUILD)/musl/tpmkey-pkcs11.so: packages-build
	mkdir -p $(@D)
	$(MUSL_CC) -shared -fPIC -std=gnu11 -O2 -Wall -Wextra -isystem /usr/include/p11-kit-1 '-DTPMKEY_LIBEXEC="$(libexecdir)"' -s -Wl,--build-id=none \
		-Wl,-T,$(module_dir)/defer.ld -Wl,--defsym=tpmkey_build_number=0x$(module_build) -Wl,--version-script=$(module_dir)/exports.map -Wl,-z,now \
		-o $@ $(module_c)

$(BUILD)/tpmkey-pkcs11-helper: packages-build
	CGO_ENABLED=0 $(GO) build $(GOCOMPILEFLAGS) -ldflags '-s -w -buildid= -B none -X main.build=$(module_build)' -o $@ ./cmd/tpmkey-pkcs11-helper

# C, because Go neither forks nor loads libraries without cgo.
$(BUILD)/tpmkey-probe: packages-build cmd/tpmkey-probe/probe.c cmd/tpmkey-probe/codes.h
	$(CC) -O2 -Wall -Wextra -I/usr/include/p11-kit-1 -s -Wl,--build-id=none -o $@ cmd/tpmkey-probe/probe.c

# The module looks for its helper where it was told so when it was built, and nowhere else.
libexecdir-built:
	@test "$$(cat $(BUILD)/libexecdir)" = '$(libexecdir)' || { \
		echo "the module was built for a helper in $$(cat $(BUILD)/libexecdir), not in $(libexecdir); run make build with the same PREFIX and libexecdir" >&2; exit 1; }
