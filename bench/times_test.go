//go:build bench

package bench

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
)

const (
	rounds   = 9
	perRound = 20
)

// signatures counts the commands of a warm signature and times it against the
// raw command on the same chip.
func signatures(t *testing.T) []figure {
	alone := newSetting(t, true)
	host := alone.startHost(alone.spec)
	host.sign(1) // loads the key
	commands := alone.count(func() { host.sign(10) }) / 10

	brokered := newSetting(t, true)
	through := brokered.startHost(brokered.startBroker())
	through.sign(1)
	commandsBrokered := brokered.count(func() { through.sign(10) }) / 10

	peer := newPeer(t)
	other := peer.startHost(peer.spec)
	other.sign(1)
	commandsPeer := peer.count(func() { other.sign(10) }) / 10
	brokeredPeer := newPeer(t)
	brokeredPeer.startPeerBroker()
	throughPeer := brokeredPeer.startHost(brokeredPeer.spec)
	throughPeer.sign(1)
	commandsBrokeredPeer := brokeredPeer.count(func() { throughPeer.sign(10) }) / 10
	return []figure{
		{"TPM commands for each further signature", commandsPeer, 1, "", commands},
		{"TPM commands for each further signature, through tpmkeyd or tpm2-abrmd", commandsBrokeredPeer, 1, "", commandsBrokered},
		{"C_Sign over raw TPM2_Sign, median of 9 interleaved rounds", peer.ratio(other), 1.15, "x", alone.ratio(host)},
	}
}

// ratio times both sides over the same socket, each from a process of its own, round
// by round, because the machine's speed drifts.
func (s *setting) ratio(h *host) float64 {
	raw := s.startRaw(s.signCommand())
	ratios := make([]float64, rounds)
	for i := range ratios {
		before := raw.sign(perRound)
		ratios[i] = float64(h.sign(perRound)) / float64(before)
	}
	return median(ratios)
}

// signCommand loads a key like the provider's beside it and returns a whole
// TPM2_Sign (Part 3, 20.2) for it.
func (s *setting) signCommand() []byte {
	s.t.Helper()
	recorder := tpmtest.Record(tpmtest.Dial(s.t, s.spec))
	key := s.loadKey(recorder)
	recorder.Reset()
	_, err := tpm2.Sign{
		KeyHandle:  tpm2.NamedHandle{Handle: key.ObjectHandle, Name: key.Name},
		Digest:     tpm2.TPM2BDigest{Buffer: make([]byte, 32)},
		InScheme:   tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
	}.Execute(recorder)
	if err != nil {
		s.t.Fatal(err)
	}
	return recorder.Log()[0].Command
}

// loadKey makes an RSA 2048 key without scheme under the persistent parent.
func (s *setting) loadKey(tpm tpmtest.Sender) *tpm2.LoadResponse {
	s.t.Helper()
	public, err := tpm2.ReadPublic{ObjectHandle: tpmtest.SRKHandle}.Execute(tpm)
	if err != nil {
		s.t.Fatal(err)
	}
	parent := tpm2.NamedHandle{Handle: tpmtest.SRKHandle, Name: public.Name}
	created, err := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(tpmtest.RSATemplate())}.Execute(tpm)
	if err != nil {
		s.t.Fatal(err)
	}
	loaded, err := tpm2.Load{ParentHandle: parent, InPrivate: created.OutPrivate, InPublic: created.OutPublic}.Execute(tpm)
	if err != nil {
		s.t.Fatal(err)
	}
	return loaded
}

// startBroker runs tpmkeyd on the setting's chip and returns its spec.
func (s *setting) startBroker() string {
	s.t.Helper()
	socket := filepath.Join(s.t.TempDir(), "tpms.sock")
	command := s.command(filepath.Join(s.build, "tpmkeyd"), "-device", s.spec, "-listen", socket)
	tpmtest.Start(s.t, command, tpmtest.Listens(socket))
	return "broker:" + socket
}

// listing times ssh-keygen with a module against ssh-keygen without.
func listing(t *testing.T) []figure {
	s, peer := newSetting(t, true), newPeer(t)
	var with, without, peers []time.Duration
	for range 4 * rounds {
		without = append(without, s.took("ssh-keygen", "-l", "-f", s.public))
		with = append(with, s.took("ssh-keygen", "-D", s.module))
		peers = append(peers, peer.took("ssh-keygen", "-D", peer.module))
	}
	more := func(times []time.Duration) float64 { return (median(times) - median(without)).Seconds() * 1000 }
	return []figure{{"ssh-keygen -D over ssh-keygen -l of the same key", more(peers), 8, "ms", more(with)}}
}

// loading asks a C program what dlopen started.
func loading(t *testing.T) []figure {
	s := newSetting(t, false)
	program := filepath.Join(s.home, "dlopen")
	s.run("gcc", "-o", program, "testdata/dlopen.c", "-ldl")
	var threads, handlers float64
	if _, err := fmt.Sscan(s.run(program, s.module), &threads, &handlers); err != nil {
		t.Fatal(err)
	}
	return []figure{
		{"threads after dlopen", -1, 1, "", threads},
		{"signal handlers set by dlopen", -1, 0, "", handlers},
	}
}
