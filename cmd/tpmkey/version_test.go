package main

import (
	"strings"
	"testing"
)

func TestVersionText(t *testing.T) {
	revision, module := "abc", "/usr/lib/pkcs11/tpmkey-pkcs11.so"
	for _, row := range []struct {
		fields versionFields
		want   string
	}{
		{versionFields{"1.2.3", "go1.30", "linux/amd64 v1", nil, nil},
			"tpmkey 1.2.3\nbuilt with go1.30 for linux/amd64 v1\nwithout the PKCS #11 module, which is not installed beside it\n"},
		{versionFields{"1.2.3", "go1.30", "linux/arm64", &revision, &module},
			"tpmkey 1.2.3\nbuilt with go1.30 for linux/arm64\nfrom revision abc\nPKCS #11 module " + module + "\n"},
	} {
		if got := row.fields.text(); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
	if f := versionOf(module); f.Version == "" || !strings.HasPrefix(f.Target, "linux/") || *f.Module != module || versionOf("tpmkey-pkcs11.so").Module != nil {
		t.Errorf("of this program %+v", f)
	}
}
