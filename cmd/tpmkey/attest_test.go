package main

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tpmkey.example/rm/tpmtest"
)

// The scripts have a chip of their own, which can also be reached as users do whose TPM is managed by somebody else, with the default filter.
func TestAttestationScripts(t *testing.T) {
	tpmtest.Need(t, "openssl")
	runScripts(t, filepath.Join("testdata", "attestation"), func(t testing.TB, env *testscript.Env) string {
		chip := tpmtest.Simulator(t)
		env.Setenv("MANAGED", managed(t, chip))
		return chip
	})
}
