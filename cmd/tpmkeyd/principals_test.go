package main

import (
	"io"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const lentUids = `# comment
1000:100000:65536
nobody:300000:10
no-such-user-here:400000:10
root:500000:65536
1001:0:10
1001:600000
1001:600000:many
1002:4294967290:100
`

func TestPrincipals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "subuid")
	p := &principals{path: path, log: log.New(io.Discard, "", 0)}
	if got := p.of(100000); got != 100000 {
		t.Errorf("without a file, uid 100000 is %d's", got)
	}
	if err := os.WriteFile(path, []byte(lentUids), 0o644); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint32]uint32{
		0: 0, 1: 1, 1000: 1000, 99999: 99999, 100000: 1000, 165535: 1000, 165536: 165536, 300009: 65534, 300010: 300010, 400000: 400000,
		500000: 500000, 565535: 500000, // of root's containers, none of whom is root
		600000: 600000, 4294967295: 1002,
	} {
		if got := p.of(uid); got != want {
			t.Errorf("uid %d is %d's, want %d's", uid, got, want)
		}
	}
	if err := os.WriteFile(path, []byte("1003:100000:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := p.of(100000); got != 1003 {
		t.Errorf("after the file has changed, uid 100000 is %d's", got)
	}
}
