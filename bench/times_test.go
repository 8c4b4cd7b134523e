//go:build bench

package bench

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

const (
	rounds   = 9
	perRound = 80 // a multiple of the threads
)

// signatures counts the commands of a warm signature, times it against the raw command on the same chip, and looks at what it costs the host.
func signatures(t *testing.T) []compared {
	alone, brokered, peer, brokeredPeer := newSetting(t, true), newSetting(t, true), newPeer(t), newPeer(t)
	brokeredPeer.startPeerBroker()
	broker := brokered.startBroker()
	figures := []compared{
		{figure{"TPM commands for each further signature", peer.perSignature(peer.spec), 1, "", alone.perSignature(alone.spec)}, -1},
		{figure{"TPM commands for each further signature, through tpmkeyd or tpm2-abrmd", brokeredPeer.perSignature(brokeredPeer.spec), 1, "", brokered.perSignature(broker)}, -1},
	}
	theirs, soft, ours := costs(1, newPeer(t), newSoft(t), newSetting(t, true))
	theirCrowd, softCrowd, ourCrowd := costs(crowd, newPeer(t), newSoft(t), newSetting(t, true))
	return append(figures,
		compared{figure{"C_Sign over raw TPM2_Sign, median of 9 interleaved rounds", theirs.ofRaw, 1.05, "x", ours.ofRaw}, soft.ofRaw},
		compared{figure{"time of processors for a signature, in the host", theirs.cpu, 0.3, "ms", ours.cpu}, soft.cpu},
		compared{figure{fmt.Sprintf("signatures/s of %d threads on one token over one raw thread", crowd), theirCrowd.rate, 0.97, ofRaw, ourCrowd.rate}, softCrowd.rate},
		compared{figure{"peak memory of a host in C", theirs.peak, 16 * 1024, "KiB", ours.peak}, soft.peak},
	)
}

// perSignature counts the commands of a signature with a key that is loaded.
func (s *setting) perSignature(spec string) float64 {
	s.t.Helper()
	host := s.startHost(spec, 1)
	host.sign(1)
	return s.count(func() { host.sign(10) }) / 10
}

// cost is what signatures cost, beside the raw command: the time of one, in ms the time of processors, signatures a second, and in KiB the host's memory.
type cost struct{ ofRaw, cpu, rate, peak float64 }

// costs times three modules, round by round, because the machine's speed drifts.
func costs(threads int, one, two, three *setting) (a, b, c cost) {
	pairs := []*pair{one.newPair(threads), two.newPair(threads), three.newPair(threads)}
	for range rounds {
		for _, r := range pairs {
			r.round()
		}
	}
	return pairs[0].cost(), pairs[1].cost(), pairs[2].cost()
}

// pair is signatures of a host beside raw commands to the same chip over the same socket, each from a process of its own.
type pair struct {
	raw              *client
	command          []byte
	host             *host
	ofRaw, cpu, rate []float64
}

func (s *setting) newPair(threads int) *pair {
	s.t.Helper()
	r := &pair{raw: s.startClient(s.compileClient(), s.spec), command: s.signCommand(), host: s.startHost(s.spec, threads)}
	r.host.sign(1) // loads the key
	return r
}

func (r *pair) round() {
	start := time.Now()
	r.raw.order(perRound, r.command)
	one, _ := r.raw.result()
	all := time.Since(start)
	signed := r.host.sign(perRound / r.host.threads)
	r.ofRaw = append(r.ofRaw, float64(signed.median)/float64(one))
	r.cpu = append(r.cpu, ms(signed.cpu)/perRound)
	r.rate = append(r.rate, float64(all)/float64(signed.all))
}

func (r *pair) cost() cost {
	return cost{median(r.ofRaw), median(r.cpu), median(r.rate), r.host.peak()}
}

// signCommand loads a key like the provider's beside it and returns a whole TPM2_Sign for it.
func (s *setting) signCommand() []byte {
	s.t.Helper()
	loaded := s.loadKey(s.tpm)
	return signWith(wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint32(uint32(loaded.ObjectHandle)).Bytes())
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
func listing(t *testing.T) []compared {
	s, peer, soft := newSetting(t, true), newPeer(t), newSoft(t)
	var with, without, peers, softs []time.Duration
	for range 4 * rounds {
		without = append(without, s.took("ssh-keygen", "-l", "-f", s.public))
		with = append(with, s.took("ssh-keygen", "-D", s.module))
		peers = append(peers, peer.took("ssh-keygen", "-D", peer.module))
		softs = append(softs, soft.took("ssh-keygen", "-D", soft.module))
	}
	more := func(times []time.Duration) float64 { return (median(times) - median(without)).Seconds() * 1000 }
	return []compared{{figure{"ssh-keygen -D over ssh-keygen -l of the same key", more(peers), 8, "ms", more(with)}, more(softs)}}
}

// loading asks a C program what dlopen started.
func loading(t *testing.T) []compared {
	s := newSetting(t, false)
	program := filepath.Join(s.home, "dlopen")
	s.run("gcc", "-o", program, "testdata/dlopen.c", "-ldl")
	var threads, handlers float64
	if _, err := fmt.Sscan(s.run(program, s.module), &threads, &handlers); err != nil {
		t.Fatal(err)
	}
	return []compared{
		{figure{"threads after dlopen", -1, 1, "", threads}, -1},
		{figure{"signal handlers set by dlopen", -1, 0, "", handlers}, -1},
	}
}
