package main

import (
	"bytes"
	"errors"
	"log"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

func named(t *testing.T, profile string) *filter.Filter {
	t.Helper()
	f, err := filter.Named(profile)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// enter lets somebody in at a chip, and gives what the log says of it.
func enter(t *testing.T, spec string, g grant) (*client, *journal) {
	t.Helper()
	config, err := device.OpenChip(spec)
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{}
	s := newServer(&chips{named: []rm.Config{config}}, nil, log.New(j, "", 0))
	c, err := s.enter(caller{uid: 1000, pid: 7}, g)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.leave()
		if err := s.chips.close(); err != nil || len(s.count) > 0 {
			t.Errorf("afterwards: %v, clients %v", err, s.count)
		}
	})
	return c, j
}

// pcrs reads the values of no PCR, which the filter of everybody does not let through.
func pcrs(c *client) error {
	_, err := tpm2.PCRRead{}.Execute(tpmtest.Func(c.send))
	return err
}

// A client's filter changes as its grant says, and a refused change changes nothing.
func TestClientsChanges(t *testing.T) {
	c, j := enter(t, tpmtest.SWTPM(t), grant{filter: named(t, "rsa"), chip: anyChip})
	root := holder{node: true, openerIsRoot: true, callerIsRoot: true}
	all := func(g *grant) { g.filter = named(t, "all") }
	missing := func(g *grant) { g.chip = 1 }
	for _, step := range []struct {
		name    string
		do      func() error
		want    string // of its error
		allowed bool   // TPM2_PCR_Read, afterwards
	}{
		{"nothing", func() error { return nil }, "", false},
		{"widen by anybody", func() error { return c.widen(all, holder{node: true}) }, "only root widens", false},
		{"widen", func() error { return c.widen(all, root) }, "", true},
		{"a chip that is not there", func() error { return c.widen(missing, root) }, "there is no chip 1", true},
		{"narrow", func() error { return c.narrow(named(t, "use"), holder{}) }, "", false},
		{"seal", func() error { return c.seal(holder{}) }, "", false},
		{"widen what is sealed", func() error { return c.widen(all, root) }, "it is sealed", false},
		{"narrow what is sealed", func() error { return c.narrow(named(t, "use"), root) }, "it is sealed", false},
	} {
		err := step.do()
		if (err == nil) != (step.want == "") || err != nil && !strings.Contains(err.Error(), step.want) {
			t.Errorf("%s: %v, want %q", step.name, err, step.want)
		}
		if err := pcrs(c); (err == nil) != step.allowed || err != nil && !errors.Is(err, filter.RCDenied) {
			t.Errorf("after %s: PCRs: %v", step.name, err)
		}
	}
	if got := c.granted(); !got.sealed || got.filter.Name() != "all narrowed by use" || got.chip != anyChip {
		t.Errorf("granted is %+v, filter %s", got, got.filter.Name())
	}
	j.await(t, "denied uid=1000 pid=7 TPM2_PCR_Read: ")
}

// Whom the log tells of when he is not let in.
func TestNotEntered(t *testing.T) {
	j := &journal{}
	s := newServer(&chips{dir: t.TempDir()}, nil, log.New(j, "", 0))
	if _, err := s.enter(caller{uid: 1000, pid: 7}, grant{chip: 3}); err == nil || len(s.count) > 0 {
		t.Errorf("entered a missing chip: %v, clients %v", err, s.count)
	}
	if want := "refused uid=1000 pid=7: there is no TPM"; !strings.Contains(j.String(), want) {
		t.Errorf("the log says %q, want %q", j, want)
	}
}

// A client that narrows its filter again and again costs us no more than so much.
func TestMostNarrowings(t *testing.T) {
	d := newDescriptor(t)
	for range mostNarrowings {
		if err := d.client.narrow(filter.Default(), holder{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.client.narrow(filter.Default(), holder{}); err != errTooNarrow {
		t.Errorf("once more: %v", err)
	}
}

// One text may have many profiles.
func TestMostProfiles(t *testing.T) {
	many, err := filter.Parse(strings.Repeat("profile none: nothing\n\n", mostNarrowings) + "profile none: nothing\n")
	if err != nil {
		t.Fatal(err)
	}
	d := newDescriptor(t)
	if err := d.client.narrow(many, holder{}); err != errTooNarrow {
		t.Errorf("narrowed by %d profiles: %v", many.Profiles(), err)
	}
}

// A gated chip answers one command not before it is told to.
type gated struct {
	rm.Chip
	command      []byte
	came, answer chan bool
}

func (g gated) Send(command []byte) ([]byte, error) {
	if bytes.Equal(command, g.command) {
		g.came <- true
		<-g.answer
	}
	return g.Chip.Send(command)
}

// A command that waits for its turn while its client gets another space is answered all the same.
func TestMoveWhileWaiting(t *testing.T) {
	gate := gated{command: getRandom(5), came: make(chan bool), answer: make(chan bool)}
	config, err := device.OpenChip(tpmtest.SWTPM(t))
	if err != nil {
		t.Fatal(err)
	}
	open := config.Open
	config.Open = func() (chip rm.Chip, err error) {
		gate.Chip, err = open()
		return gate, err
	}
	s := newServer(&chips{named: []rm.Config{config}}, nil, log.New(&journal{}, "", 0))
	defer s.chips.close()
	g := grant{filter: filter.Default(), chip: anyChip}
	busy, err1 := s.enter(caller{uid: 1000}, g)
	waits, err2 := s.enter(caller{uid: 1001}, g)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer busy.leave()
	defer waits.leave()
	var both sync.WaitGroup
	ask := func(c *client, n uint16) func() {
		return func() {
			response, err := c.send(getRandom(n))
			if err != nil {
				t.Error(err)
			}
			wantRandom(t, response, int(n))
		}
	}
	both.Go(ask(busy, 5))
	<-gate.came
	both.Go(ask(waits, 7))
	for s.usage.users()[1].Queue == 0 {
		runtime.Gosched()
	}
	space, err := waits.open(g)
	if err != nil {
		t.Fatal(err)
	}
	waits.moveTo(g, space)
	close(gate.answer)
	both.Wait()
}
