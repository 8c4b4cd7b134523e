package filter

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// readmeProfile is the profile that README.md shows: an indented block.
func readmeProfile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "\n"+indent+"profile ")
	block, _, ended := strings.Cut(block, "\n\n")
	if !found || !ended {
		t.Fatal("README.md shows no profile")
	}
	return "profile " + strings.ReplaceAll(block, "\n"+indent, "\n") + "\n"
}

func TestReadmeProfile(t *testing.T) {
	f, err := Parse(readmeProfile(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, bytes := range [][]byte{ // what an export takes
		external(template(tpm2.ECCSRKTemplate, same), nullHandle),
		command(tpm2.TPMCCDuplicate, []uint32{keyHandle, primaryHandle}, password, empty, nullScheme),
	} {
		c, err := wire.Parse(bytes)
		if err != nil {
			t.Fatal(err)
		}
		for uid, want := range map[uint32]bool{0: true, 1000: true, 1001: false} {
			if d := f.Check(&c, everything{caller[keyHandle], uid}); d.Allowed != want {
				t.Errorf("%s, uid %d: %+v", c.Shape.Name, uid, d)
			}
		}
	}
}
