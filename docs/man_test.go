package docs

import (
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
	if err != nil || len(pages) != 6 {
		t.Fatal(pages, err)
	}
	if output, err := exec.Command("mandoc", append([]string{"-Tlint", "-Wwarning"}, pages...)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	for _, page := range pages {
		text := read(t, page)
		name, section, _ := strings.Cut(filepath.Base(page), ".")
		if want := ".Dt " + strings.ToUpper(name) + " " + section + "\n"; !strings.Contains(text, want) {
			t.Errorf("%s does not say %s", page, want)
		}
	}
}

// make install puts them where man looks.
func TestManIsInstalled(t *testing.T) {
	usr, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(usr + "/share/man/man?/*")
	if err != nil || len(pages) != 6 {
		t.Errorf("%v, %v", pages, err)
	}
	for _, page := range pages {
		if section := filepath.Ext(page); filepath.Base(filepath.Dir(page)) != "man"+section[1:] {
			t.Errorf("%s is in another section's directory", page)
		}
	}
}
