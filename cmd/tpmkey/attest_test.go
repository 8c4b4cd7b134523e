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
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "attestation"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			chip := tpmtest.Simulator(env.T().(testing.TB))
			env.Setenv("TPMKEY_DEVICE", chip)
			env.Setenv("MANAGED", managed(env.T().(testing.TB), chip))
			env.Setenv("XDG_DATA_HOME", env.WorkDir)
			env.Setenv("GORACE", promptExit)
			env.Setenv("KEYS", filepath.Join(env.WorkDir, "tpmkey"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"errors": oneError},
	})
}
