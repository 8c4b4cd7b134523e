//go:build bench

package bench

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
)

// crowd is how many clients share a chip, each with a key of its own.
const crowd = 8

// site is a swtpm of its own, and what clients of it need.
type site struct {
	*setting
	chip   string   // its spec; one connection at a time
	client string   // the client's program
	loads  [][]byte // TPM2_Load of a key for each
}

// way starts what is between a client and the chip of the setting, and tells where the client finds it.
type way func(*setting) (where string)

func raw(s *setting) string { return s.spec }

func throughTpmkeyd(s *setting) string {
	where, _ := s.startDaemon()
	return where
}

func throughAbrmd(s *setting) string {
	s.startPeerBroker()
	return abrmd
}

// abrmd is where its clients find tpm2-abrmd.
const abrmd = "tabrmd:bus_type=session"

// startDaemon runs tpmkeyd on the setting's chip.
func (s *setting) startDaemon() (where string, process *exec.Cmd) {
	s.t.Helper()
	dir := s.t.TempDir()
	socket := filepath.Join(dir, "tpms.sock")
	process = s.command(filepath.Join(s.build, "tpmkeyd"), "-device", s.spec, "-listen", socket, "-state", dir)
	tpmtest.Start(s.t, process, tpmtest.Listens(socket))
	return "unix:" + socket, process
}

// newSite makes a chip with a persistent parent and keys.
func newSite(t *testing.T, keys int) *site {
	t.Helper()
	build, err := filepath.Abs("../build")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{setting: &setting{t: t, build: build, home: t.TempDir()}, chip: tpmtest.SWTPM(t)}
	s.client = s.compileClient()
	s.alone(t, "keys", func(t *testing.T, tpm *tpmtest.Conn) {
		tpmtest.PersistSRK(t, tpm)
		for range keys {
			s.loads = append(s.loads, newLoad(t, tpm))
		}
	})
	return s
}

// alone has the chip itself while the work lasts.
func (s *site) alone(t *testing.T, what string, work func(*testing.T, *tpmtest.Conn)) {
	t.Helper()
	t.Run(what, func(t *testing.T) { work(t, tpmtest.Dial(t, s.chip)) })
}

// on is the site's setting for as long as a test lasts, on a chip with the spec.
func (s *site) on(t *testing.T, spec string) *setting {
	t.Helper()
	here := *s.setting
	here.t, here.spec = t, spec
	return &here
}

// sweep flushes what a broker that was killed has left behind.
func (s *site) sweep(t *testing.T) {
	t.Helper()
	s.alone(t, "sweep", func(t *testing.T, tpm *tpmtest.Conn) {
		left, err := tpmtest.Leaks(tpm)
		if err != nil {
			t.Fatal(err)
		}
		for _, handle := range left {
			if _, err := (tpm2.FlushContext{FlushHandle: handle}).Execute(tpm); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// connect starts a client for each key, which loads it. It returns them and what they sign with.
func (s *site) connect(here *setting, where string) (clients []*client, signs [][]byte) {
	here.t.Helper()
	for _, load := range s.loads {
		c := here.startClient(s.client, where)
		clients, signs = append(clients, c), append(signs, c.load(load))
	}
	return clients, signs
}

// newLoad makes an RSA 2048 key under the persistent parent and returns the TPM2_Load (Part 3, 12.2) for it.
func newLoad(t *testing.T, tpm tpmtest.Sender) []byte {
	t.Helper()
	public, err := tpm2.ReadPublic{ObjectHandle: tpmtest.SRKHandle}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	parent := tpm2.NamedHandle{Handle: tpmtest.SRKHandle, Name: public.Name}
	created, err := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(tpmtest.RSATemplate())}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return captured(func(tpm tpmtest.Sender) error {
		_, err := tpm2.Load{ParentHandle: parent, InPrivate: created.OutPrivate, InPublic: created.OutPublic}.Execute(tpm)
		return err
	})
}
