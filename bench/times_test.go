//go:build bench

package bench

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/bench/table"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

const (
	rounds   = 9
	perRound = 80 // a multiple of the threads
)

// signatures counts the commands of a warm signature, times it against the raw command on the same chip, and looks at what it costs the host.
func signatures(t *testing.T) []table.Row {
	alone, brokered, peer, brokeredPeer := newSetting(t, true), newSetting(t, true), newPeer(t), newPeer(t)
	brokeredPeer.startPeerBroker()
	rows := []table.Row{
		counted("sign", "each further signature", 1, table.Cells{table.Tpmkey: alone.perSignature(alone.spec),
			table.TPM2PKCS11: peer.perSignature(peer.spec), table.SoftHSM2: noTPM}),
		counted("sign-broker", "each further signature, through a broker", 1, table.Cells{
			table.Tpmkey: brokered.perSignature(brokered.startBroker()), table.TPM2Abrmd: brokeredPeer.perSignature(brokeredPeer.spec)}),
	}
	rows = append(rows, newPairs(t, 1).ofOne()...)
	return append(rows, newPairs(t, crowd).ofMany()...)
}

// perSignature counts the commands of a signature with a key that is loaded.
func (s *setting) perSignature(spec string) table.Cell {
	s.t.Helper()
	host := s.startHost(spec, 1)
	host.sign(1)
	return s.count(10, func() { host.sign(10) })
}

// pairs are modules, each on a chip of its own.
type pairs map[table.Column]*pair

// newPairs has as many threads sign with each module, round by round, because the machine's speed drifts.
func newPairs(t *testing.T, threads int) pairs {
	t.Helper()
	all := pairs{}
	for column, s := range newModules(t) {
		all[column] = s.newPair(threads)
	}
	for range rounds {
		for _, p := range all {
			p.round()
		}
	}
	return all
}

// ofOne is what a host with one thread sees.
func (all pairs) ofOne() []table.Row {
	one := table.Row{ID: "module/sign", Part: table.Module, What: "C_Sign", Unit: table.Milliseconds, Cells: all.cells(func(p *pair) table.Cell { return inMS(p.one) })}
	one.Cells[table.Raw] = inMS(all[table.Tpmkey].raw)
	return []table.Row{
		one,
		{ID: "module/sign-of-raw", Part: table.Module, What: "C_Sign over raw TPM2_Sign", Unit: table.Times, Bound: table.AtMost(1.05),
			Cells: all.cells(func(p *pair) table.Cell { return table.Of(p.ofRaw...) })},
		{ID: "module/processors", Part: table.Module, What: "time of processors for a signature, in the host", Unit: table.Milliseconds, Bound: table.AtMost(0.3),
			Cells: all.cells(func(p *pair) table.Cell { return table.Of(p.cpu...) })},
	}
}

// ofMany is what a host with a crowd of threads sees.
func (all pairs) ofMany() []table.Row {
	what := fmt.Sprintf("signatures of %d threads on one token", crowd)
	every := table.Row{ID: "module/threads", Part: table.Module, What: what, Unit: table.PerSecond, Cells: all.cells(func(p *pair) table.Cell { return table.Of(p.rate...) })}
	every.Cells[table.Raw] = table.Of(all[table.Tpmkey].rawRate...)
	return []table.Row{
		every,
		{ID: "module/threads-of-raw", Part: table.Module, What: what + " over one raw thread", Unit: table.OfRaw, Bound: table.AtLeast(0.97),
			Cells: all.cells(func(p *pair) table.Cell { return table.Of(p.ofRate...) })},
		{ID: "module/memory", Part: table.Module, What: "peak memory of a host in C", Unit: table.KiB, Bound: table.AtMost(16 * 1024),
			Cells: all.cells(func(p *pair) table.Cell { return table.Of(p.host.peak()) })},
	}
}

func (all pairs) cells(of func(*pair) table.Cell) table.Cells {
	cells := table.Cells{}
	for column, p := range all {
		cells[column] = of(p)
	}
	return cells
}

// A pair is signatures of a host beside raw commands to the same chip over the same socket, each from a process of its own. Of each round it has the time of
// a signature and of a raw command, the time of processors for a signature in ms, and signatures and raw commands a second.
type pair struct {
	host                              *host
	client                            *client
	command                           []byte
	one, raw                          []time.Duration
	ofRaw, cpu, rate, rawRate, ofRate []float64
}

func (s *setting) newPair(threads int) *pair {
	s.t.Helper()
	p := &pair{client: s.startClient(s.compileClient(), s.spec), command: s.signCommand(), host: s.startHost(s.spec, threads)}
	p.host.sign(1) // loads the key
	return p
}

func (p *pair) round() {
	start := time.Now()
	p.client.order(perRound, p.command)
	raw, _ := p.client.result()
	all := time.Since(start)
	signed := p.host.sign(perRound / p.host.threads)
	p.one, p.raw = append(p.one, signed.median), append(p.raw, raw)
	p.ofRaw = append(p.ofRaw, float64(signed.median)/float64(raw))
	p.cpu = append(p.cpu, ms(signed.cpu)/perRound)
	p.rate, p.rawRate = append(p.rate, perRound/signed.all.Seconds()), append(p.rawRate, perRound/all.Seconds())
	p.ofRate = append(p.ofRate, float64(all)/float64(signed.all))
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
func listing(t *testing.T) []table.Row {
	modules, more := newModules(t), map[table.Column][]time.Duration{}
	for range 4 * rounds {
		without := modules[table.Tpmkey].took("ssh-keygen", "-l", "-f", modules[table.Tpmkey].public)
		for column, s := range modules {
			more[column] = append(more[column], s.took("ssh-keygen", "-D", s.module)-without)
		}
	}
	return []table.Row{{ID: "module/list", Part: table.Module, What: "ssh-keygen -D over ssh-keygen -l of the same key", Unit: table.Milliseconds, Bound: table.AtMost(8),
		Cells: cellsOf(more, inMS)}}
}

// loading asks a C program what dlopen started.
func loading(t *testing.T) []table.Row {
	program := filepath.Join(t.TempDir(), "dlopen")
	compile(t, program, "testdata/dlopen.c", "-ldl")
	threads, handlers := table.Cells{}, table.Cells{}
	for column, s := range newModules(t) {
		var started [2]float64
		if _, err := fmt.Sscan(s.run(program, s.module), &started[0], &started[1]); err != nil {
			t.Fatal(err)
		}
		threads[column], handlers[column] = table.Of(started[0]), table.Of(started[1])
	}
	return []table.Row{
		{ID: "module/threads-started", Part: table.Module, What: "threads after dlopen", Bound: table.AtMost(1), Cells: threads},
		{ID: "module/handlers", Part: table.Module, What: "signal handlers set by dlopen", Bound: table.AtMost(0), Cells: handlers},
	}
}
