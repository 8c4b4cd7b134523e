# The PKCS #11 module. Its linker script and its version script need absolute paths, and #cgo LDFLAGS takes neither.
module_dir := $(CURDIR)/pkcs11-module

$(BUILD)/tpmkey-pkcs11.so: packages-build
	CGO_ENABLED=1 $(GO) build -buildmode=c-shared -trimpath -buildvcs=false \
		-ldflags "-s -w -buildid= -B none -extldflags '-Wl,-T,$(module_dir)/defer.ld -Wl,--version-script=$(module_dir)/exports.map -Wl,-z,now'" \
		-o $@ ./pkcs11-module
	rm -f $(BUILD)/tpmkey-pkcs11.h
