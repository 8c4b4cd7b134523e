package doctor

import (
	"os/exec"
	"testing"

	"tpmkey.example/provider"
)

// A shell takes what is written for it as one word, and as that one.
func TestShellWord(t *testing.T) {
	for _, text := range []string{"web", "/k/me@host.pem", "a b", "$(id)", "a;id>pwned", "it's", "`id`", "-rf", "~", "*", "a\\", "", "#", "\"", "{a,b}", "!!"} {
		said, err := exec.Command("sh", "-c", "printf '<%s>' "+shellWord(text)).Output()
		if err != nil || string(said) != "<"+text+">" {
			t.Errorf("%s: %q, %v", shellWord(text), said, err)
		}
	}
	if plain := "/etc/tpmkey/keys/web.pem"; shellWord(plain) != plain {
		t.Errorf("%s", shellWord(plain))
	}
}

// The name of a file is no command of what a report tells to run.
func TestFixIsQuoted(t *testing.T) {
	if fix := fixOfFiles(&provider.FileError{Path: "/k/a;id.pem", Err: provider.ErrInsecure}); fix != "chmod 600 '/k/a;id.pem'" {
		t.Error(fix)
	}
}
