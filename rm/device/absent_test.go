package device

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// Where nobody serves, the error says who should.
func TestAbsentServer(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "dead"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for spec, want := range map[string]string{
		"broker:" + dir + "/none": "no such file or directory: tpmkeyd does not run there",
		"broker:" + dir + "/dead": "connection refused: what served it runs no more; start it again",
		"unix:" + dir + "/dead":   "connection refused: what served it runs no more; start it again",
	} {
		if _, err := Open(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
	if said := (&NotFoundError{}).Error(); !strings.Contains(said, "whether tpmkeyd runs (tpmkey doctor tells more)") {
		t.Error(said)
	}
}
