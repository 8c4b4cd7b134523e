package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// The manual pages are well-formed.
func TestManPages(t *testing.T) {
	tpmtest.Need(t, "mandoc")
	pages, err := filepath.Glob("man/*.[1-9]")
	if err != nil || len(pages) != 5 {
		t.Fatal(pages, err)
	}
	if output, err := exec.Command("mandoc", append([]string{"-Tlint", "-Wwarning"}, pages...)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name, section, _ := strings.Cut(filepath.Base(page), ".")
		if want := ".Dt " + strings.ToUpper(name) + " " + section + "\n"; !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %s", page, want)
		}
	}
}

// make install puts them where man looks.
func TestManIsInstalled(t *testing.T) {
	said, err := runOnMachine(t, "cd /usr/share/man && ls man1/tpmkey.1 man5/tpmkey-namespaces.5 man5/tpmkey-profiles.5 man7/tpmkey-pkcs11.7 man8/tpmkeyd.8", "FROM=installed")
	if err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}
