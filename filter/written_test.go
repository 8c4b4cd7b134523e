package filter

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// writtenProfile is the profile that docs/profiles.md writes to a file.
func writtenProfile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/profiles.md")
	if err != nil {
		t.Fatal(err)
	}
	_, written, found := strings.Cut(string(text), "cat >ssh.profile <<'END'\n")
	written, _, ended := strings.Cut(written, "END\n")
	if !found || !ended {
		t.Fatal("the page writes no profile")
	}
	return written
}

func TestWrittenProfile(t *testing.T) {
	f, err := Parse(writtenProfile(t))
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
