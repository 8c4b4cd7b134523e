package doctor

import (
	"testing"

	"tpmkey.example/provider"
)

// The name of a file is no command of what a report tells to run.
func TestFixIsQuoted(t *testing.T) {
	if fix := fixOfFiles(&provider.FileError{Path: "/k/a;id.pem", Err: provider.ErrInsecure}); fix != "chmod 600 '/k/a;id.pem'" {
		t.Error(fix)
	}
}
