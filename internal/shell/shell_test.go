package shell_test

import (
	"os/exec"
	"testing"

	"tpmkey.example/internal/shell"
)

// A shell takes what is written for it as one word, and as that one.
func TestWord(t *testing.T) {
	for _, text := range []string{"web", "/k/me@host.pem", "a b", "$(id)", "a;id>pwned", "it's", "`id`", "-rf", "~", "*", "a\\", "", "#", "\"", "{a,b}", "!!"} {
		said, err := exec.Command("sh", "-c", "printf '<%s>' "+shell.Word(text)).Output()
		if err != nil || string(said) != "<"+text+">" {
			t.Errorf("%s: %q, %v", shell.Word(text), said, err)
		}
	}
	if plain := "/etc/tpmkey/keys/web.pem"; shell.Word(plain) != plain {
		t.Errorf("%s", shell.Word(plain))
	}
}
